"""The equation sheet, docs/equations.md: what the docstrings of the operations, optimizer and schedule derive.

python -m tools.book.equations           # writes it
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHEET = ROOT / "docs" / "equations.md"
CHAPTERS = {
    "Linear layers": "ops/linear.py",
    "Embeddings": "ops/embedding.py",
    "Sinusoidal positions": "ops/sinusoid.py",
    "Rotary positions": "ops/rope.py",
    "Norms": "ops/norm.py",
    "Activations": "ops/activation.py",
    "Softmax": "ops/softmax.py",
    "Attention": "ops/attention.py",
    "Dropout": "ops/dropout.py",
    "Losses": "ops/losses.py",
    "Optimizer": "train/optimizer.py",
    "Learning rate": "train/schedule.py",
}
_HEAD = """# Equations

Every equation that the code computes, from the docstrings of the functions that compute it.
`python -m tools.book.equations` writes this page. The letters: B batch, T queries, S keys, C width, H heads, G
key-value heads, D head width, F feed-forward width, V vocabulary. dx is the gradient of the loss with respect to x.
A backward function returns the gradients of its inputs and *adds* to those of parameters.
"""


def sheet() -> str:
    """The whole page."""
    return _HEAD + "".join(f"\n## {title}\n{''.join(_chapter(path))}" for title, path in CHAPTERS.items())


def derived(docstring: str) -> str:
    """What a docstring says before its arguments."""
    return re.split(r"^(?:Args|Returns|Raises|Yields):", docstring, maxsplit=1, flags=re.M)[0].strip()


def named_arguments(docstring: str) -> list[str]:
    """The arguments that a docstring describes: "dgain, dbias: (C,), added to" has two."""
    block = re.search(r"^Args:\n((?:    .*\n?|\n)*)", docstring, re.M)
    lines = re.findall(r"^    ((?:\w+, )*\w+):", block[1], re.M) if block else []
    return [name for line in lines for name in line.split(", ")]


def functions(path: str) -> Iterator[ast.FunctionDef]:
    """The public functions of a module that are a pass, or that have an equation."""
    for node in _module(path).body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        if node.name.endswith(("_forward", "_backward")) or "=" in derived(ast.get_docstring(node) or ""):
            yield node


def _module(path: str) -> ast.Module:
    return ast.parse((ROOT / "minigpt" / path).read_text(encoding="utf-8"))


def _chapter(path: str) -> Iterator[str]:
    link, about = f"[{path}](../minigpt/{path})", ast.get_docstring(_module(path)) or ""
    if re.search("[=←]", about):
        yield f"\n{link}\n\n{_text(about)}"
    for node in functions(path):
        arguments = ", ".join(a.arg for a in node.args.args)
        yield f"\n**{node.name}**({arguments}), {link}\n\n{_text(derived(ast.get_docstring(node) or ''))}"


def _text(docstring: str) -> str:
    return f"```text\n{docstring}\n```\n"


if __name__ == "__main__":
    SHEET.write_text(sheet(), encoding="utf-8")
