"""What a notebook's figure shows, in words, for whoever does not see it: its titles, axes and legend, from its code."""

from __future__ import annotations

import ast

_WORDS = {"title": "", "suptitle": "", "xlabel": "across: ", "ylabel": "upwards: ", "label": ""}
_DRAWN = {  # what functions draw
    "bar": "bars",
    "bars": "bars",
    "barh": "bars",
    "plot": "curves",
    "semilogx": "curves",
    "semilogy": "curves",
    "loglog": "curves",
    "imshow": "matrices as pictures",
    "hist": "histograms",
    "draw_timeline": "what each rank does and when it waits, as coloured strips along the time",
    "draw_attention": "a map of attention: a row for each token that looks, a column for each that is looked at",
    "draw_tokens": "rows of tokens as boxes, coloured by kind",
    "training_figure": "losses, learning rate and gradient norm of a run, by step",
    "explain": "every head's map of attention, and bars for the most probable next tokens",
    "show_check": "what is wrong with a gradient",
    "figure": "what the threads of a kernel touch",
}


def description(cell: str, section: str) -> str:
    """One sentence about the figures of a cell, under the heading `section`."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(cell)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            values = [(k.arg, k.value) for k in node.keywords if k.arg in _WORDS]
            name = name.removeprefix("set_")
            values += [(name, value) for value in node.args[:1] if name in _WORDS and name != "label"]
            values += [("title", value) for value in node.args[1:2] if name == "bars"]  # notebook 10's
            if name in _DRAWN:
                found[_DRAWN[name]] = None
            for key, value in values:
                if text := _text(value):
                    found[f"{_WORDS[key or '']}{text}"] = None
    return f"Figure: {section}" + "".join(f"; {text}" for text in found)


def _text(node: ast.expr) -> str:
    """A string, with … for what is computed in it; nothing where no word is left."""
    if isinstance(node, ast.Constant):
        text = node.value if isinstance(node.value, str) else ""
    elif isinstance(node, ast.JoinedStr):
        text = "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    else:
        text = ""
    return " ".join(text.split()) if any(c.isalpha() for c in text) else ""
