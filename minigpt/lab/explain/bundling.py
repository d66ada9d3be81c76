"""One file of our plain modules: styles, scripts and data put into the page, which then needs nothing else.

Scripts are modules that import each other by name. In the page each is a function that gives what it exports, those
that others need first, and an import takes its names out of what such a function gave.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import accumulate, pairwise
from typing import Any

_IMPORT = re.compile(r'^import (\{[^;]*?\}) from "\./([\w-]+)\.js";\n', re.MULTILINE | re.DOTALL)
_EXPORT = re.compile(r"^export (const|function) (\w+)", re.MULTILINE)

_PART = 250_000  # letters


def page_file(name: str) -> str:
    """The text of one of the page's files."""
    return (files("minigpt.lab.explain") / "page" / name).read_text(encoding="utf-8")


def script_order(first: str = "main") -> list[str]:
    """The names of the scripts, each behind those that it imports."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for _, needed in _IMPORT.findall(page_file(f"{name}.js")):
                visit(needed)
            order.append(name)

    visit(first)
    return order


def script(first: str = "main") -> str:
    """A page's scripts as one module."""
    return "\n".join(_as_function(name, page_file(f"{name}.js")) for name in script_order(first))


def _as_function(name: str, text: str) -> str:
    exports = ", ".join(exported for _, exported in _EXPORT.findall(text))
    text = _EXPORT.sub(r"\1 \2", _IMPORT.sub(r"const \1 = $\2;\n", text))
    return f"const ${name} = (() => {{\n{text}\nreturn {{ {exports} }};\n}})();\n"


def bundle(data: dict[str, Any], still: str = "", *, title: str, heading: str, first: str = "main") -> str:
    """The whole page.

    Args:
        still: what stands in it for readers without scripts, as HTML.
        title, heading: of the window, and over the page.
        first: the script that starts it.
    """
    arrays, numbers = _apart(data["arrays"])
    text = json.dumps({**data, "arrays": arrays}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    parts = {
        "title": html.escape(title),
        "heading": html.escape(heading),
        "style": page_file("style.css"),
        "still": still,
        "data": text.replace("<", "\\u003c"),  # a text may hold "</script>"
        "numbers": numbers,
        "script": script(first),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page_file("index.html"))


def _apart(arrays: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """The entries with where their data begin and end in one text, and that text: megabytes that no JSON parser reads.

    It is cut into parts, between which a browser that reads the page can do other work.
    """
    ends = [0, *accumulate(len(entry["data"]) for entry in arrays)]
    entries = [{**entry, "data": span} for entry, span in zip(arrays, pairwise(ends), strict=True)]
    text = "".join(entry["data"] for entry in arrays)
    parts = [text[n : n + _PART] for n in range(0, len(text), _PART)]
    return entries, "\n".join(f'<script type="text/plain" class="numbers">{part}</script>' for part in parts)
