"""Mistakes planted into the right operations of styles/, by changing the text of one line of a backward pass.

Written apart from the catalogue that names mistakes (`minigpt/lab/check/mutate.py`), and in another way: by patterns on
lines of text, where that works on the syntax of our own operations. A mutant counts if it runs and some gradient
differs from the right code's by more than rounding (`harness.py`); which ones differ is the answer that the check has
to find.
"""

import ast
import random
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .harness import NAMES, gradients

FOLDER = Path(__file__).parent / "styles"
SOURCES = {style: (FOLDER / f"{style}.py").read_text(encoding="utf-8") for style in NAMES}
ATOM = r"(?:[a-zA-Z_][\w.]*(?:\([^()]*\))?|\d+\.?\d*|\([^()]*\))"


class Mutant(NamedTuple):
    style: str
    name: str
    kind: str
    line: int
    old: str
    new: str
    source: str
    roles: frozenset


def span(style, name):
    """The first and last line of an operation's backward pass (counted from 1), the def and what unpacks left out."""
    tree = ast.parse(SOURCES[style])
    for node in ast.walk(tree):
        if style == "out_in" and isinstance(node, ast.FunctionDef) and node.name == f"{name}_bwd":
            return node.body[0].lineno, node.end_lineno
        if style != "out_in" and isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            back = next(n for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n.name == "backward")
            return back.body[0].lineno, back.end_lineno
    raise LookupError(name)


def each(pattern, new, text):
    """The text with one occurrence of a pattern replaced, for every occurrence."""
    return [text[: m.start()] + m.expand(new) + text[m.end() :] for m in re.finditer(pattern, text)]


def edits(line, names):
    """(kind, new line) of every mistake that one line can have."""
    indent = line[: len(line) - len(line.lstrip())]
    found = []
    for new in each(r"(?<=[\w)\]]) - (?=[\w(])", " + ", line) + each(r"(?<=[\w)\]]) \+ (?=[\w(])", " - ", line):
        found.append(("sign", new))
    for new in each(rf" [*/] {ATOM}(?! \*\*)", "", line) + each(rf"(?<![\w.)]){ATOM} \* (?=[\w(])", "", line):
        gone = set(re.findall(r"[\w.]+", line)) - set(re.findall(r"[\w.]+", new))
        masked = any(re.fullmatch(r"(self\.)?(mask|keep|positive)", g) for g in gone)
        found.append(("mask" if masked else "factor", new))
    for new in each(rf" [-+] {ATOM}(?: [*/] {ATOM})*", "", line):
        found.append(("term", new))
    for a, b in (("sum", "mean"), ("mean", "sum")):
        found += [("mean", new) for new in each(rf"\b{a}\(", f"{b}(", line)]
    found += [("axis", new) for new in each(r"axis=-1", "axis=0", line) + each(r"axis=-1", "axis=-2", line)]
    for axis in ("0", "-2"):
        found += [("axis", new) for new in each(r"\(-1, keepdims", f"({axis}, keepdims", line)]
    for pattern in (r"\.T\b", r"\.swapaxes\([^()]*\)", r"\.transpose\([^()]*\)"):
        found += [("transpose", new) for new in each(pattern, "", line)]
    assigned = re.match(r"\s*([\w.\[\]\"]+) (\+?=) (.*)$", line)
    if assigned:
        target, sign, value = assigned.groups()
        if sign == "=":
            for swap in ("-1, -2", "1, 2"):
                turned = f"{target} = {target}.swapaxes({swap}).reshape({target}.shape)"
                found.append(("transpose", f"{indent}{target} = ({value})\n{indent}{turned}"))
            found.append(("factor", f"{indent}{target} = 1.11 * ({value})"))
            found.append(("dropped", f"{indent}{target} = 0 * ({value})"))
        else:
            found.append(("overwritten", f"{indent}{target}{'' if '[' in target else '[...]'} = {value}"))
            found.append(("factor", f"{indent}{target} += 0.5 * ({value})"))
            found.append(("sign", f"{indent}{target} -= {value}"))
            found.append(("dropped", f"{indent}pass"))
        product = re.fullmatch(r"(d\w+) \* ([\w.]+)", value) or re.fullmatch(r"([\w.]+) \* (d\w+)", value)
        if product and sign == "=":
            a, b = product.groups() if product.group(1).startswith("d") else product.groups()[::-1]
            found.append(("in place", f"{indent}{a} *= {b}\n{indent}{target} = {a}"))
    if "np.add.at(" in line:
        table, ids, values = re.search(r"np\.add\.at\((\w+), (\w+), (\w+)\)", line).groups()
        found += [("overwritten", f"{indent}{table}[{ids}] {sign} {values}") for sign in ("=", "+=")]
    for name in sorted(set(re.findall(r"(?<![\w.])(?:self\.)?[a-zA-Z_]\w*", line)) & names):
        right = line.partition("=")[2] if assigned else line
        for other in sorted(names - {name}):
            pattern = rf"(?<![\w.]){re.escape(name)}(?![\w(])"
            found += [("variable", line[: len(line) - len(right)] + new) for new in each(pattern, other, right)]
    return found


def arrays_of(style, name):
    """The names that hold arrays in a backward pass: what one can be taken for another."""
    first, last = span(style, name)
    text = "\n".join(SOURCES[style].splitlines()[first - 1 : last])
    names = set(re.findall(r"(?<![\w.])(?:self\.)?[a-zA-Z_]\w*(?![\w(.\[])", text))
    skip = {"np", "axis", "True", "keepdims", "return", "for", "in", "range", "zip", "flat", "g", "self", *"BTCDHn"}
    return {n for n in names if n not in skip}


def hoisted(lines, first, place, new):
    """In place: the overwriting comes before all else, so that later lines read what it has left."""
    changed = lines[:place] + lines[place + 1 :]
    start = first - 1
    while re.search(r"= (ctx|cache|len\(|x\.shape)|^\s*(n|hs|C) =", changed[start]):
        start += 1
    return changed[:start] + new.split("\n") + changed[start:]


def all_mutants(style, name):
    """Every mutant of one operation that runs and gives other gradients."""
    right = gradients(style, name, SOURCES[style])
    lines = SOURCES[style].splitlines()
    first, last = span(style, name)
    names, seen = arrays_of(style, name), set()
    for place in range(first - 1, last):
        for kind, new in edits(lines[place], names):
            moved = [*lines[:place], new, *lines[place + 1 :]]
            if kind == "in place":
                moved = hoisted(lines, first, place, new)
            source = "\n".join(moved) + "\n"
            if source in seen or new == lines[place]:
                continue
            seen.add(source)
            roles = differing(style, name, source, right)
            if roles:
                yield Mutant(style, name, kind, place + 1, lines[place].strip(), new.strip(), source, roles)


def differing(style, name, source, right):
    """The roles whose gradients differ from the right ones; None of what does not run."""
    try:
        with np.errstate(all="ignore"):
            found = gradients(style, name, source)
    except Exception:
        return None
    if found.keys() != right.keys() or any(isinstance(g, (tuple, type(None))) for g in found.values()):
        return None
    if any(np.shape(found[role]) != np.shape(right[role]) for role in right):
        return None
    return frozenset(
        role for role in right if not np.allclose(found[role], right[role], rtol=1e-6, atol=1e-9, equal_nan=False)
    )


def sample(count=300, seed=0):
    """A draw of mutants in which every kind has its share, and no operation more than the others."""
    rng = random.Random(seed)
    by_kind = {}
    for style, names in NAMES.items():
        for name in names:
            for mutant in all_mutants(style, name):
                by_kind.setdefault(mutant.kind, []).append(mutant)
    chosen, left = [], {}
    share = count // len(by_kind)
    for kind, found in sorted(by_kind.items()):
        rng.shuffle(found)
        chosen += found[:share]
        left[kind] = found[share:]
    rest = [m for found in left.values() for m in found]
    rng.shuffle(rest)
    return chosen + rest[: count - len(chosen)]
