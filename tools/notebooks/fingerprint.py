"""A fingerprint of the code that a notebook ran: it changes when the outputs might.

A module is taken apart into what has a name: functions, methods, classes (with the names of their methods), constants,
imports. Of these count the functions that were entered, what they name, and what that names in turn; a statement
without a name (a loop at a module's top level) counts where the module was imported. Docstrings, comments, functions'
annotations and the place in the file do not. A name that is read as an attribute, or stands in a string, may belong to
any module: it counts in all. A cell counts as its code.
"""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from .recording import Function, Recorded, modules_of

STATEMENTS = "(statements)"
Units = dict[str, list[ast.AST]]  # what has a name in a module
Fingerprint = dict[str, Any]  # {"cells": hash, "modules": {name: "hash name name …"}, "files": {path: hash}}


def units(source: str) -> Units:
    """A module, taken apart."""
    found: Units = defaultdict(list)
    for node in ast.parse(source).body:
        for name, part in _named(node):
            found[name].append(_plain(part))
    return dict(found)


def _named(node: ast.stmt) -> list[tuple[str, ast.AST]]:
    if isinstance(node, Function):
        return [(node.name, node)]
    if isinstance(node, ast.ClassDef):
        methods = [f for f in node.body if isinstance(f, Function)]
        rest = [part for part in node.body if not isinstance(part, Function)]
        rest.append(ast.Expr(ast.Constant(tuple(sorted(f.name for f in methods)))))  # a new one may hide a base's
        head = ast.ClassDef(node.name, node.bases, node.keywords, rest, node.decorator_list)
        return [(node.name, head), *((f"{node.name}.{f.name}", f) for f in methods)]
    if isinstance(node, ast.Import):
        return [(a.asname or a.name.partition(".")[0], ast.Import([a])) for a in node.names]
    if isinstance(node, ast.ImportFrom):
        return [] if node.module == "__future__" else [(a.asname or a.name, _import(node, a)) for a in node.names]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        return [(name, node) for name in names or [STATEMENTS] if name != "__all__"]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return []  # a docstring
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return []
    return [(STATEMENTS, node)]


def _import(node: ast.ImportFrom, alias: ast.alias) -> ast.ImportFrom:
    return ast.ImportFrom(node.module, [alias], node.level)


def _plain(part: ast.AST) -> ast.AST:
    """Without docstrings and functions' annotations, which change nothing that is computed."""
    for node in ast.walk(part):
        if isinstance(node, Function | ast.ClassDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                node.body = node.body[1:]
        if isinstance(node, Function):
            node.returns = None
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
    return part


class Source:
    """The modules of a package as they are now; `changed` puts other text in place of a module's."""

    def __init__(self, package: Path, changed: Mapping[str, str] | None = None):
        self.root, self.package = package.parent, package.name
        self.paths, self.changed = modules_of(package), dict(changed or {})
        self.units = lru_cache(maxsize=None)(self._units)
        self.dump = lru_cache(maxsize=None)(self._dump)

    def _units(self, module: str) -> Units:
        if module not in self.paths:
            return {}
        return units(self.changed.get(module) or self.paths[module].read_text(encoding="utf-8"))

    def _dump(self, module: str, name: str) -> str:
        return "\n".join(map(ast.dump, self.units(module).get(name, ())))


def take(source: Source, cells: Sequence[str], used: Recorded) -> Fingerprint:
    """The fingerprint of a notebook that was just executed."""
    names = _names_that_count(source, cells, used.functions)
    return _fingerprint(source, cells, names, _whole_models(source.root, used.files))


def again(source: Source, cells: Sequence[str], before: Fingerprint) -> Fingerprint:
    """The fingerprint that a notebook with this one has now."""
    names = {module: text.split()[1:] for module, text in before["modules"].items()}
    return _fingerprint(source, cells, names, before["files"])


def changes(now: Fingerprint, before: Fingerprint) -> list[str]:
    """What a notebook's outputs are older than: "its cells", modules and files by name."""
    found = ["its cells"] if now["cells"] != before["cells"] else []
    for kind in ("modules", "files"):
        keys = [*now[kind], *(key for key in before[kind] if key not in now[kind])]
        found += [key for key in keys if now[kind].get(key) != before[kind].get(key)]
    return found


def _fingerprint(
    source: Source, cells: Sequence[str], names: Mapping[str, Iterable[str]], files: Iterable[str]
) -> Fingerprint:
    modules = {}
    for module, used in sorted(names.items()):
        dumps = (source.dump(module, name) for name in (STATEMENTS, *used))
        modules[module] = " ".join([_hash("\n".join(dumps).encode()), *used])
    hashes = {name: _hash(path.read_bytes()) if (path := source.root / name).is_file() else "" for name in files}
    return {"cells": _hash("\n".join(map(_code, cells)).encode()), "files": hashes, "modules": modules}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _code(cell: str) -> str:
    try:
        return ast.dump(ast.parse(cell))
    except SyntaxError:  # a line for the shell
        return cell


def _whole_models(root: Path, files: Iterable[str]) -> list[str]:
    """Weights are read by a library that does not tell: whoever opened one file of a checkpoint read them all."""
    found = set(files)
    for name in files:
        if name.startswith("data/checkpoints/"):
            folder = root.joinpath(*Path(name).parts[:3])
            found.update(p.relative_to(root).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(found)


def _names_that_count(source: Source, cells: Sequence[str], functions: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Of each module what was entered, and what that names, and what that names…"""
    count: dict[str, set[str]] = {}
    for module, entered in functions.items():
        names = entered | {name.partition(".")[0] for name in entered}  # a method's class counts with it
        count[module] = (names | {STATEMENTS}) & source.units(module).keys()
    anywhere: set[str] = set()  # names that may belong to any module
    here: dict[str, set[str]] = {module: set() for module in functions}  # names that belong to this one
    for cell in cells:
        plain, free = _names(ast.parse(cell), source.package)
        anywhere |= plain | free
    todo = [(module, name) for module, names in count.items() for name in names]
    while todo:
        for module, name in todo:
            for node in source.units(module)[name]:
                plain, free = _names(node, source.package)
                here[module] |= plain
                anywhere |= free
        todo = []
        for module in functions:
            for name, nodes in source.units(module).items():
                foreign = any(_is_from_outside(node, source.package) for node in nodes)
                named = name in here[module] or (name in anywhere and not foreign)
                constant = not all(isinstance(node, Function) for node in nodes)  # functions count when entered
                if named and constant and name not in count[module] and "." not in name:
                    count[module].add(name)
                    todo.append((module, name))
    return {module: sorted(names - {STATEMENTS}) for module, names in count.items()}


def _is_from_outside(node: ast.AST, package: str) -> bool:
    """Whether code imports what is not of this package (which imports itself by its whole name, or with dots)."""
    if isinstance(node, ast.ImportFrom):
        return not node.level and (node.module or "").partition(".")[0] != package
    return isinstance(node, ast.Import) and node.names[0].name.partition(".")[0] != package


def _names(tree: ast.AST, package: str) -> tuple[set[str], set[str]]:
    """The names that code reads: of its own module, and as attributes, imports or strings, of any."""
    plain, free = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            plain.add(node.id)
        elif isinstance(node, ast.Attribute):
            free.add(node.attr)
        elif isinstance(node, ast.ImportFrom | ast.Import) and not _is_from_outside(node, package):
            free.update(alias.name.rpartition(".")[2] for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            free.add(node.value)
    return plain, free
