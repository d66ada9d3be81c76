"""Mistakes, made from a right backward pass by changing one place of its source: a term, a factor, a sign, an axis, ….

Every change is one that people make. The changed function is compiled and run by `catalogue.py` on the reference's
cache.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple

# Which of two mistakes with the same numbers is named: the one that comes first here.
RANK = {"sign": 0, "term": 1, "mean": 2, "axis": 3, "transpose": 4, "mask": 4, "factor": 5, "variable": 6}
_MASK = re.compile(r"\b(valid|mask|multiplier|allowed|keep)\b|> 0")


class Change(NamedTuple):
    """One changed place: the kind of mistake, a sentence about it, the source's line, and the compiled function."""

    kind: str
    says: str
    line: int
    code: CodeType | None  # None where it is no program


def changes(function: ast.FunctionDef, extra: tuple[str, ...] = ()) -> Iterator[Change]:
    """Every function that differs from this one by one mistake.

    The tree is changed, compiled and put back, which takes a tenth of the time of copying it.

    Args:
        extra: names of the forward pass that a mistaken cache might have held in place of the right one.
    """
    yield from _statements(function)
    options = [(place, told) for place in _places(function) for told in _alternatives(place[0], function, extra)]
    for (node, holder, field, index), (kind, says, new) in sorted(options, key=lambda option: RANK[option[1][0]]):
        _set(holder, field, index, ast.fix_missing_locations(ast.copy_location(new, node)))
        code = compiled(function)
        _set(holder, field, index, node)
        yield Change(kind, says, node.lineno, code)


def compiled(function: ast.FunctionDef) -> CodeType | None:
    try:
        return compile(ast.Module([function], []), "a mistake", "exec")
    except (SyntaxError, ValueError, TypeError):
        return None


def _places(function: ast.FunctionDef) -> Iterator[tuple[ast.expr, ast.AST, str, int | None]]:
    """The expressions of a function, each with where it hangs; what only unpacks the cache is left alone."""
    left: list[ast.AST] = [s for s in function.body if not _is_unpacking(s)]
    while left:
        holder = left.pop(0)
        for field, value in ast.iter_fields(holder):
            for index, node in enumerate(value) if isinstance(value, list) else ((None, value),):
                if isinstance(node, ast.expr):
                    yield node, holder, field, index
                if isinstance(node, ast.AST):
                    left.append(node)


def _set(holder: ast.AST, field: str, index: int | None, node: ast.expr) -> None:
    if index is None:
        setattr(holder, field, node)
    else:
        getattr(holder, field)[index] = node


def _is_unpacking(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True  # the docstring
    return isinstance(statement, ast.Assign) and isinstance(statement.value, (ast.Name, ast.Attribute))


def _alternatives(
    node: ast.AST, function: ast.FunctionDef, extra: tuple[str, ...]
) -> Iterator[tuple[str, str, ast.expr]]:
    if isinstance(node, ast.BinOp):
        yield from _binary(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not _is_number(node.operand):
        yield "sign", f"the sign of `{_text(node.operand)}` is wrong", node.operand
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield from _called(node)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield "transpose", f"`{_text(node.value)}` is not transposed", node.value
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cache":
        for name in extra:
            yield "variable", f"forward kept `{name}` where backward needs `{node.attr}`", _seen(name)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        names = _arrays(function)
        for name in names if node.id in names else ():
            if name != node.id and (len(names) <= 10 or _alike(name, node.id)):
                yield "variable", f"`{name}` stands where `{node.id}` belongs", ast.Name(name, ast.Load())
        for name in extra if node.id in names and node.id != "dy" else ():
            if name != node.id:
                yield "variable", f"forward kept `{name}` where backward needs `{node.id}`", _seen(name)


def _alike(a: str, b: str) -> bool:
    """Whether two names are of one kind (w_q and w_k; q and v), so that one is easily written for the other."""
    return len(a) == len(b) and a[:-1] == b[:-1]


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)  # the −1 of an axis has no sign that could be wrong


def _is_mask(text: str) -> bool:
    return _MASK.search(text) is not None


def _seen(name: str) -> ast.expr:
    return ast.Subscript(ast.Name("_seen", ast.Load()), ast.Constant(name), ast.Load())


def _binary(node: ast.BinOp) -> Iterator[tuple[str, str, ast.expr]]:
    left, right = node.left, node.right
    if isinstance(node.op, (ast.Add, ast.Sub)):
        yield "term", f"the term `{_text(right)}` is missing", left
        alone = ast.UnaryOp(ast.USub(), right) if isinstance(node.op, ast.Sub) else right
        yield "term", f"the term `{_text(left)}` is missing", alone
        other = ast.Add() if isinstance(node.op, ast.Sub) else ast.Sub()
        yield "sign", f"the sign of `{_text(right)}` is wrong", ast.BinOp(left, other, right)
    elif isinstance(node.op, (ast.Mult, ast.Div)):
        for gone, kept in ((right, left), (left, right)):
            if isinstance(node.op, ast.Div) and gone is left:
                kept = ast.BinOp(ast.Constant(1.0), ast.Div(), right)
            kind = "mask" if _is_mask(_text(gone)) else "factor"
            what = "the mask" if kind == "mask" else "the factor"
            if isinstance(node.op, ast.Div) and gone is right:
                yield "factor", f"it is not divided by `{_text(gone)}`", kept
            else:
                yield kind, f"{what} `{_text(gone)}` is missing", kept
        other = ast.Div() if isinstance(node.op, ast.Mult) else ast.Mult()
        words = "divided" if isinstance(node.op, ast.Mult) else "multiplied"
        yield "factor", f"it is {words} by `{_text(right)}`: the other way round", ast.BinOp(left, other, right)
        if not isinstance(right, ast.Constant):
            yield "factor", f"the factor `{_text(right)}` stands there twice", ast.BinOp(node, node.op, right)


def _called(node: ast.Call) -> Iterator[tuple[str, str, ast.expr]]:
    name, inner = node.func.attr, node.func.value
    if name in ("sum", "mean"):
        other = "mean" if name == "sum" else "sum"
        func = ast.Attribute(inner, other, ast.Load())
        yield "mean", f"a {other} stands where the {name} belongs", ast.Call(func, node.args, node.keywords)
        yield from _axes(node)
    elif name == "swapaxes":
        yield "transpose", f"`{_text(inner)}` is not transposed", inner
    if name in ("matmul", "swapaxes", "reshape", "sum", "_as_heads"):
        for a, b in ((-1, -2), (1, 2)):
            turned = ast.Call(ast.Attribute(node, "swapaxes", ast.Load()), [ast.Constant(a), ast.Constant(b)], [])
            shaped = ast.Call(
                ast.Attribute(turned, "reshape", ast.Load()), [ast.Attribute(node, "shape", ast.Load())], []
            )
            says = (
                f"`{_text(node)}` is reshaped as if it were already transposed (its axes are swapped, the shape is not)"
            )
            yield "transpose", says, shaped


def _axes(node: ast.Call) -> Iterator[tuple[str, str, ast.expr]]:
    for place, keyword in enumerate(node.keywords):
        if keyword.arg != "axis":
            continue
        for axis in (-1, 0, -2, 1, None):
            if _text(keyword.value) == str(axis):
                continue
            own = copy.deepcopy(node)
            own.keywords[place].value = ast.parse(str(axis), mode="eval").body
            if axis is not None and not any(k.arg == "keepdims" for k in own.keywords):
                shaped = copy.deepcopy(own)
                yield "axis", f"the sum runs over axis {axis}, not {_text(keyword.value)}", shaped
            else:
                words = "all axes" if axis is None else f"axis {axis}"
                yield "axis", f"the {node.func.attr} runs over {words}, not over {_text(keyword.value)}", own


def _statements(function: ast.FunctionDef) -> Iterator[Change]:
    """Changes of whole statements: left out, the sign turned, `=` for `+=`, an array overwritten too early."""
    for place, statement in enumerate(list(function.body)):
        options: list[tuple[str, str, list[ast.stmt]]] = []
        if isinstance(statement, ast.AugAssign):
            options = list(_augmented(statement))
        elif isinstance(statement, ast.If):
            text = _text(statement)
            kind = "mask" if _is_mask(text) else "term"
            last = text.splitlines()[-1].strip()
            says = "the mask is not applied on the way back" if kind == "mask" else f"`{last}` is missing"
            options = [(kind, says, [ast.Pass()])]
        for kind, says, new in options:
            function.body[place : place + 1] = [ast.fix_missing_locations(ast.copy_location(n, statement)) for n in new]
            code = compiled(function)
            function.body[place : place + len(new)] = [statement]
            yield Change(kind, says, statement.lineno, code)
    yield from _in_place(function)


def _augmented(statement: ast.AugAssign) -> Iterator[tuple[str, str, list[ast.stmt]]]:
    text = _text(statement.value)
    target = copy.deepcopy(statement.target)
    if isinstance(statement.op, (ast.Add, ast.Sub)):
        yield "term", f"the term `{text}` is missing", [ast.Pass()]
        other = ast.Sub() if isinstance(statement.op, ast.Add) else ast.Add()
        yield "sign", f"the sign of `{text}` is wrong", [ast.AugAssign(target, other, statement.value)]
    else:
        kind = "mask" if _is_mask(text) else "factor"
        yield kind, f"the {kind} `{text}` is missing", [ast.Pass()]
        other = ast.Div() if isinstance(statement.op, ast.Mult) else ast.Mult()
        yield "factor", f"`{text}` divides where it should multiply", [ast.AugAssign(target, other, statement.value)]
        yield "factor", f"the factor `{text}` stands there twice", [statement, statement]


def _in_place(function: ast.FunctionDef) -> Iterator[Change]:
    """`g = dy * gain` written as `dy *= gain`: whatever reads dy besides gets g."""
    for place, statement in enumerate(function.body):
        if not (isinstance(statement, ast.Assign) and isinstance(statement.value, ast.BinOp)):
            continue
        target = statement.targets[0]
        operands = [n for n in (statement.value.left, statement.value.right) if isinstance(n, ast.Name)]
        if not isinstance(target, ast.Name):
            continue
        for operand in operands:
            own = copy.deepcopy(function)
            moved = own.body.pop(place)
            first = next((i for i, s in enumerate(own.body) if not _is_unpacking(s)), 0)
            for inner in own.body[first:]:
                for name in ast.walk(inner):
                    if isinstance(name, ast.Name) and name.id == operand.id and isinstance(name.ctx, ast.Load):
                        name.id = target.id
            own.body.insert(first, moved)
            value = _text(statement.value)
            says = f"`{operand.id}` is overwritten by `{value}` before everything that needs it has read it"
            yield Change("in place", says, statement.lineno, compiled(ast.fix_missing_locations(own)))


def _arrays(function: ast.FunctionDef) -> list[str]:
    """The names that hold arrays or numbers: arguments but for the cache, what is unpacked, what is assigned."""
    names: dict[str, None] = {}
    for argument in function.args.args:
        names[argument.arg] = None
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
    skip = {
        "cache",
        "xp",
        "out",
        "shape",
        "first",
        "self",
        "groups",
        "classes",
        "length",
        "context",
        "b",
        "t",
        "h",
        "d",
    }
    return [name for name in names if name not in skip and not name.startswith("_")]


def _text(node: ast.AST) -> str:
    return ast.unparse(node)


def scaled(function: ast.FunctionDef, place: int, factor: float) -> CodeType | None:
    """The function with one statement's value multiplied by a factor; None where that makes no sense."""
    statement = function.body[place]
    if _is_unpacking(statement) or not isinstance(statement, (ast.Assign, ast.AugAssign)):
        return None
    if isinstance(statement, ast.AugAssign) and not isinstance(statement.op, (ast.Add, ast.Sub)):
        return None
    if isinstance(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target, ast.Tuple):
        return None
    own = copy.deepcopy(function)
    own.body[place].value = ast.BinOp(own.body[place].value, ast.Mult(), ast.Constant(factor))
    return compiled(ast.fix_missing_locations(own))


def target_name(statement: ast.stmt) -> str:
    return _text(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target)
