"""Kernel sources: .cu files read with their own headers put in place, so that one text is all there is to compile.

CuPy's cache of compiled kernels does not look into included files; a text without includes cannot go stale in it.
"""

from __future__ import annotations

import re
from importlib import resources

_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$')
# A kernel that a source defines (each must be `extern "C"`, so that it can be found by its name).
KERNEL = re.compile(r"__global__\s+(?:void\s+)?(?:__launch_bounds__\([^)]*\)\s*)?(?:void\s+)?(\w+)\s*\(")


def read_source(file: str) -> str:
    """The text of a .cu file of this package, every header of the package once in its place.

    `#line` keeps files and lines what they are in the compiler's messages and in a debugger.
    """
    seen: set[str] = set()

    def expand(name: str) -> list[str]:
        seen.add(name)
        lines = [f'#line 1 "{name}"']
        text = (resources.files("minigpt.kernels") / name).read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            include = _INCLUDE.match(line)
            if not include:
                lines.append("" if line == "#pragma once" else line)
            elif include[1] not in seen:
                lines += [*expand(include[1]), f'#line {number + 1} "{name}"']
            else:
                lines.append("")
        return lines

    return "\n".join(expand(file)) + "\n"
