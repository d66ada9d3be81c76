"""The reference: for each folder of the package its modules, classes and functions, with signatures and docstrings.

It is read from the files, so nothing has to be imported or installed. Docstrings have equations and tables that are
set in the file as they are to be read: they are shown as they stand.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

HERE = "https://here.invalid"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def write_pages(root: Path, to: Path) -> list[str]:
    """Write a page for each folder of minigpt; returns their names."""
    to.mkdir(parents=True, exist_ok=True)
    package = root / "minigpt"
    folders = sorted(path.parent for path in package.glob("*/__init__.py"))
    for folder in folders:
        modules = sorted(folder.rglob("*.py"), key=lambda path: (path.parent != folder, path))
        parts = [f"# {folder.name}\n", *(part for path in modules for part in _module(path, root))]
        (to / f"{folder.name}.md").write_text("\n".join(parts), encoding="utf-8")
    return [folder.name for folder in folders]


def _module(path: Path, root: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = path.relative_to(root).as_posix()
    dotted = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    public = [node for node in tree.body if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")]
    if public or ast.get_docstring(tree):
        yield f"## {dotted}\n\n[`{name}`]({HERE}/code/{name}.html)\n\n{_docstring(tree)}"
    for node in public:
        yield from _item(node, f"{HERE}/code/{name}.html")


def _item(node: Function | ast.ClassDef, page: str) -> Iterator[str]:
    kind = "class" if isinstance(node, ast.ClassDef) else "function"
    yield f"### {node.name}\n\n{kind}, [line {node.lineno}]({page}#L-{node.lineno})\n"
    yield f"```python\n{_signature(node)}\n```\n\n{_docstring(node)}"
    if isinstance(node, ast.ClassDef):
        for method in node.body:
            if isinstance(method, Function) and not method.name.startswith("_") and ast.get_docstring(method):
                yield f"```python\n{_signature(method, node.name)}\n```\n\n{_docstring(method)}"


def _signature(node: Function | ast.ClassDef, of: str = "") -> str:
    """A function's first line; of a class its bases and fields."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
        return "\n    ".join([f"class {node.name}({bases}):" if bases else f"class {node.name}:", *(fields or ["..."])])
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    name = f"{of}.{node.name}" if of else node.name
    one = f"{name}({ast.unparse(node.args)}){returns}"
    if len(one) <= 110:
        return one
    return f"{name}(\n    " + _broken(ast.unparse(node.args)) + f"\n){returns}"


def _broken(arguments: str) -> str:
    """Arguments, a line for each: cut at the commas that are in no bracket."""
    depth, out = 0, ""
    for c in arguments:
        depth += (c in "([{") - (c in ")]}")
        out += ",\n   " if c == "," and not depth else c
    return out


def _docstring(node: ast.Module | ast.ClassDef | Function) -> str:
    text = ast.get_docstring(node)
    return f"~~~~{{code-block}} text\n:class: docstring\n\n{text}\n~~~~\n" if text else ""
