"""Where a number comes from: the functions of `minigpt.ops` as their files have them, statement by statement.

The page shows each array beside the line that made it. So that the two cannot drift apart, nothing is written down
here: functions are read from their files, and a call's place in the blocks or models from Python's own stack.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import NamedTuple

from minigpt import ops

_PACKAGE = Path(ops.__file__).resolve().parents[1]
_BETWEEN = {"linear_forward", "linear_backward", "norm_forward", "norm_backward"}  # they only look up parameters


class Statement(NamedTuple):
    """One statement: its lines, and the names that it gives a value."""

    first: int
    last: int
    targets: tuple[str, ...]
    returns: bool


class Source(NamedTuple):
    """A function's body without its docstring, its statements by each of their lines, and what the docstring derives.

    `file` is as in the project: "minigpt/ops/attention.py".
    """

    name: str
    file: str
    lines: tuple[tuple[int, str], ...]
    statements: dict[int, Statement]
    equation: str


class Site(NamedTuple):
    """Where an operation was called from."""

    function: str
    file: str
    line: int
    text: str


@cache
def operation_sources() -> dict[CodeType, Source]:
    """The public functions of `minigpt.ops`, by their code."""
    return {f.__code__: read_source(f) for f in ops.TABLE.values() if isinstance(f, FunctionType)}


def read_source(function: FunctionType) -> Source:
    """Read a function from its file."""
    text, first = inspect.getsourcelines(function)
    (definition,) = ast.parse("".join(text)).body
    assert isinstance(definition, ast.FunctionDef)
    body = definition.body
    documented = ast.get_docstring(definition) is not None
    start = (body[0].end_lineno or 0) if documented else body[0].lineno - 1
    lines = [(first + n, line.rstrip()) for n, line in enumerate(text) if n >= start]
    statements: dict[int, Statement] = {}
    for node in ast.walk(definition):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return | ast.Expr | ast.Raise):
            made = Statement(
                first + node.lineno - 1, first + (node.end_lineno or 0) - 1, _targets(node), _returns(node)
            )
            statements.update((line, made) for line in range(made.first, made.last + 1))
        elif isinstance(node, ast.If | ast.For):  # only its first line: what is in it are statements of their own
            line = first + node.lineno - 1
            statements[line] = Statement(line, line, (), False)
    equation = _equation(ast.get_docstring(definition) or "")
    return Source(function.__name__, _in_project(function.__code__.co_filename), tuple(lines), statements, equation)


def _targets(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Assign):
        found = [name for target in node.targets for name in ast.walk(target)]
        stored = [n.id for n in found if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        written = [n.value.id for n in found if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name)]
        return tuple(name for name in (*stored, *written) if name != "_")
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        target = node.target.value if isinstance(node.target, ast.Subscript) else node.target
        return (target.id,) if isinstance(target, ast.Name) else ()
    return ()


def _returns(node: ast.AST) -> bool:
    return isinstance(node, ast.Return) and node.value is not None


def _equation(docstring: str) -> str:
    """What a docstring says before it goes through arguments and results."""
    kept = []
    for line in docstring.splitlines():
        if line.startswith(("Args:", "Returns:", "Raises:")):
            break
        kept.append(line)
    return "\n".join(kept).strip()


def call_site(frame: FrameType | None) -> Site:
    """The statement of a block or model that called an operation; what only looks up parameters is passed over."""
    while frame is not None and (frame.f_code.co_name in _BETWEEN or "lab/explain" in _in_project(_file(frame))):
        frame = frame.f_back
    if frame is None:
        raise ValueError("operations are called by blocks and models")
    first, last = _statement_lines(_file(frame), frame.f_lineno)
    text = " ".join(linecache.getline(_file(frame), line).strip() for line in range(first, last + 1))
    return Site(frame.f_code.co_name, _in_project(_file(frame)), first, text)


def _statement_lines(file: str, line: int) -> tuple[int, int]:
    """The first and last line of the smallest statement that a line of a file belongs to."""
    return _simple_statements(file).get(line, (line, line))


@cache
def _simple_statements(file: str) -> dict[int, tuple[int, int]]:
    """Of every line in a simple statement, the first and last line of that statement."""
    found: dict[int, tuple[int, int]] = {}
    for node in ast.walk(ast.parse("".join(linecache.getlines(file)))):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return | ast.Expr):
            last = node.end_lineno or node.lineno
            found.update((line, (node.lineno, last)) for line in range(node.lineno, last + 1))
    return found


def _file(frame: FrameType) -> str:
    return frame.f_code.co_filename


@cache
def _in_project(file: str) -> str:
    path = Path(file).resolve()
    return f"minigpt/{path.relative_to(_PACKAGE).as_posix()}" if path.is_relative_to(_PACKAGE) else path.name
