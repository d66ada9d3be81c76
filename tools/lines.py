"""How many lines of code the package has, by folder: without comments, docstrings and blank lines.

    python tools/lines.py                            # of the package
    python tools/lines.py minigpt/train/loop.py      # of some files or folders

Only Python is counted; kernels are not. The story world (its texts in `data/storyworld`, and the tasks that are made of
them in `tasks/world`), which is text more than code, and `minigpt/lab`, which looks on from outside, are counted by
themselves.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minigpt"
APART = ("data/storyworld", "tasks/world", "lab")  # folders of the package that the total leaves out
NO_CODE = {
    tokenize.ENCODING,
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """The number of lines of a module that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(ast.parse(source)))


def docstring_lines(tree: ast.AST) -> set[int]:
    """The lines of all docstrings below a node."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if ast.get_docstring(node, clean=False) is not None and first is not None:
                lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def python_files(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and the modules in the folders."""
    return sorted({file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])})


def folder_of(file: Path) -> str:
    """The folder of the package under which a file is counted: its first one, or one that stands apart."""
    name = file.relative_to(PACKAGE).as_posix()
    apart = [folder for folder in APART if name.startswith(f"{folder}/")]
    return apart[0] if apart else name.rpartition("/")[0].partition("/")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; by default the package, by folder")
    paths = parser.parse_args().paths
    if paths:
        counts = {str(file): code_lines(file.read_text(encoding="utf-8")) for file in python_files(paths)}
        left_out = 0
    else:
        counts = Counter()
        for file in python_files([PACKAGE]):
            counts[folder_of(file)] += code_lines(file.read_text(encoding="utf-8"))
        left_out = sum(counts[folder] for folder in APART)
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{count:7,}  {name or '(no folder)'}")
    print(f"{sum(counts.values()) - left_out:7,}  in all" + (f", without {', '.join(APART)}" if left_out else ""))


if __name__ == "__main__":
    main()
