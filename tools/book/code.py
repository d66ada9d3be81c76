"""The project's files as pages: coloured, with numbered lines that links lead to (#L-142), light or dark."""

from __future__ import annotations

import html
import subprocess
from collections import defaultdict
from pathlib import Path

SHOWN = (".py", ".cu", ".cuh", ".h", ".js", ".css", ".toml", ".html", ".json", ".txt", ".cff")
FOLDERS = ("minigpt/", "tests/", "tools/", "data/")
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="stylesheet" href="{top}_static/code.css">
<body><p><a href="{top}index.html">minigpt</a> / {title}</p>
{body}</body></html>
"""


def write_pages(root: Path, to: Path) -> None:
    """Write a page for each file that the project keeps, a list for each folder, and the style sheet of both."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import TextLexer, get_lexer_for_filename
    from pygments.util import ClassNotFound

    said = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    formatter = HtmlFormatter(linenos="table", lineanchors="L", anchorlinenos=True)
    listed: dict[str, set[str]] = defaultdict(set)
    for name in filter(None, said.stdout.split("\0")):
        path = root / name
        if not path.suffix or not path.exists() or path.suffix not in SHOWN or path.stat().st_size > 300_000:
            continue
        if "/" in name and not name.startswith(FOLDERS):
            continue
        for parent in Path(name).parents:
            listed[parent.as_posix()].add(Path(name).relative_to(parent).parts[0])
        try:
            lexer = get_lexer_for_filename("x.cpp" if path.suffix in (".cu", ".cuh") else path.name)
        except ClassNotFound:
            lexer = TextLexer()
        _write(to, name, highlight(path.read_text(encoding="utf-8", errors="replace"), lexer, formatter))
    for folder, names in listed.items():
        if folder != ".":
            items = (_item(root / folder, name) for name in sorted(names))
            _write(to, f"{folder}/index", f"<ul>{''.join(items)}</ul>")
    css = to.parent.parent / "_static" / "code.css"
    css.parent.mkdir(exist_ok=True)
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    css.write_text(f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n{_CSS}", encoding="utf-8")


def _item(folder: Path, name: str) -> str:
    target = f"{name}/index.html" if (folder / name).is_dir() else f"{name}.html"
    return f'<li><a href="{html.escape(target)}">{html.escape(name)}</a></li>'


def _write(to: Path, name: str, body: str) -> None:
    path = to / f"{name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    top = "../" * (name.count("/") + 1)
    path.write_text(_PAGE.format(title=html.escape(name.removesuffix("/index")), top=top, body=body), encoding="utf-8")


_CSS = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1rem auto; padding: 0 1rem; max-width: 75rem; }
pre { font: 13px/1.5 ui-monospace, monospace; margin: 0; }
.highlight { overflow-x: auto; } .highlighttable { width: 100%; border-collapse: collapse; }
td.linenos { padding-right: 1em; text-align: right; user-select: none; } td.code { width: 100%; }
td.linenos a { color: inherit; text-decoration: none; }
a:target { scroll-margin-top: 30vh; background: #8884; padding: 0 .3em; }
"""
