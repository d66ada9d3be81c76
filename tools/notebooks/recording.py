"""Which functions of a package a program entered: itself, its threads, the processes it forked, those it started.

Every function of the package gets a number. A program that records imports the package from changed code: the first
thing each function does is to write a 1 at its number into a file that all processes have mapped into their memory. So
nothing is lost when a process is killed, and it costs a twentieth of a microsecond a call. Functions inside functions
belong to the one around them. Modules have numbers too, and files that were opened are listed by name.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HOOK = Path(__file__).parent / "hook"
Function = ast.FunctionDef | ast.AsyncFunctionDef
TABLE, ENTERED, OPENED = "table.json", "entered", "opened.txt"  # the files in a recording's folder
NOT_TOUCHED = "fast.loops."  # Numba compiles these functions itself: of such a module everything counts as entered


class Recorded(NamedTuple):
    """What a program used of a package."""

    functions: dict[str, set[str]]  # of each imported module those that were entered, "f" or "Class.f"
    files: list[str]  # what it opened of the project that is no Python, relative to the project's folder


def functions_of(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """The functions of a module and the methods of its classes, by their names."""
    for node in tree.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{f.name}", f) for f in node.body if isinstance(f, Function))


def modules_of(package: Path) -> dict[str, Path]:
    """The modules of a package by name: {"minigpt.ops": …/minigpt/ops/__init__.py, …}."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def environment(package: Path, folder: Path) -> dict[str, str]:
    """Prepare a recording in an empty folder: the variables under which a Python program records there."""
    numbers: dict[str, int] = {}
    for module, path in modules_of(package).items():
        numbers[f"{module}:"] = len(numbers)
        for name, _ in functions_of(ast.parse(path.read_bytes())):
            numbers.setdefault(f"{module}:{name}", len(numbers))
    (folder / TABLE).write_text(json.dumps({"package": str(package), "numbers": numbers}), encoding="utf-8")
    (folder / ENTERED).write_bytes(bytes(len(numbers)))
    (folder / OPENED).touch()
    paths = [str(HOOK), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "MINIGPT_RECORDING": str(folder)}


def recorded(package: Path, folder: Path) -> Recorded:
    """What was recorded in a folder."""
    numbers = json.loads((folder / TABLE).read_text(encoding="utf-8"))["numbers"]
    entered = (folder / ENTERED).read_bytes()
    functions: dict[str, set[str]] = {}
    for key, number in numbers.items():
        module, name = key.split(":")
        touched = not module.startswith(f"{package.name}.{NOT_TOUCHED}")
        if entered[numbers[f"{module}:"]] and (entered[number] or not touched):
            functions.setdefault(module, set()).update({name} - {""})
    root = package.parent
    lines = (folder / OPENED).read_text(encoding="utf-8").splitlines()
    opened = {Path(line).relative_to(root) for line in lines if Path(line).is_file()}
    return Recorded(functions, sorted(path.as_posix() for path in opened))


def start(folder: Path) -> None:
    """Record from now on in this process and in those that it forks (what the hook calls)."""
    import builtins
    import importlib.abc
    import importlib.machinery
    import mmap

    table = json.loads((folder / TABLE).read_text(encoding="utf-8"))
    package, numbers = Path(table["package"]), table["numbers"]
    with (folder / ENTERED).open("r+b") as file:
        builtins.__entered__ = mmap.mmap(file.fileno(), len(numbers))  # type: ignore[attr-defined]

    class Loader(importlib.machinery.SourceFileLoader):
        def get_code(self, name: str):  # never the compiled file: that one does not record
            builtins.__entered__[numbers[f"{name}:"]] = 1  # type: ignore[attr-defined]
            path = self.get_filename(name)
            tree = ast.parse(self.get_data(path))
            if not name.startswith(f"{package.name}.{NOT_TOUCHED}"):
                for function, node in functions_of(tree):
                    _let_record(node, numbers[f"{name}:{function}"])
            return compile(tree, path, "exec", dont_inherit=True)

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, path, target=None):
            spec = importlib.machinery.PathFinder.find_spec(name, path, target) if f"{name}:" in numbers else None
            if spec is not None and spec.origin and Path(spec.origin).is_relative_to(package):
                spec.loader = Loader(name, spec.origin)
            return spec

    sys.meta_path.insert(0, Finder())
    _list_opened(package.parent, folder / OPENED)


def _let_record(function: Function, number: int) -> None:
    """Put `__entered__[number] = 1` before a function's first statement, in the same line, after its docstring."""
    at = 1 if ast.get_docstring(function) is not None and len(function.body) > 1 else 0
    (statement,) = ast.parse(f"__entered__[{number}] = 1").body
    for node in ast.walk(statement):
        ast.copy_location(node, function.body[at])
    function.body.insert(at, statement)


def _list_opened(root: Path, to: Path) -> None:
    """Append to a file the name of each file under `root` that is opened and is no Python."""
    out = os.open(to, os.O_WRONLY | os.O_APPEND)
    seen, inside = set(), f"{root}{os.sep}"

    def note(event: str, arguments: tuple) -> None:
        if event != "open" or not isinstance(arguments[0], str | os.PathLike):
            return
        path = os.path.abspath(os.fspath(arguments[0]))
        if isinstance(path, str) and path not in seen and path.startswith(inside):
            seen.add(path)
            installed = ".egg-info" in path or f"{os.sep}." in path.removeprefix(str(root))  # differs by machine
            if not path.endswith((".py", ".pyc")) and not installed:
                os.write(out, f"{path}\n".encode())

    sys.addaudithook(note)
