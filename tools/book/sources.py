"""The site's sources: the project's pages, each in its own place, so that links between them stay as they are."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from . import figures, reference

HERE = "https://here.invalid"  # stands for the site's own root in links to what Sphinx does not make
PICTURES = ("docs/*.png", "data/figures/*.png")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "data/README.md", "minigpt/*/README.md")
_LINK = re.compile(r"(?<!\\)\]\((?!https?:|mailto:|#)([^)#\s]*)(#[^)\s]*)?\)")


def gather(root: Path, to: Path) -> None:
    """Copy pages, notebooks and pictures, write the reference, and the index that holds them together."""
    pages = [path for pattern in PAGES for path in sorted(root.glob(pattern))]
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    known = {path.resolve() for path in (*pages, *notebooks)}
    for path in pages:
        text = relinked(path.read_text(encoding="utf-8"), path, root, known)
        _write(to / path.relative_to(root), text)
    for path in notebooks:
        _write(to / path.relative_to(root), _notebook(path, lambda text, path=path: relinked(text, path, root, known)))
    for pattern in PICTURES:
        for path in root.glob(pattern):
            (to / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to / path.relative_to(root))
    folders = reference.write_pages(root, to / "reference")
    _write(to / "explain.md", _EXPLAIN.format(here=HERE))
    (to / "README.md").rename(to / "index.md")
    with (to / "index.md").open("a", encoding="utf-8") as index:
        index.write(_contents(root, pages, notebooks, folders))
    (to / "_static").mkdir(exist_ok=True)
    for name in ("conf.py", "site.css"):
        shutil.copy(Path(__file__).parent / name, to / ("_static" if name.endswith("css") else "") / name)


def relinked(text: str, page: Path, root: Path, known: set[Path]) -> str:
    """A page's text, in which links to files that are no pages lead to the pages of code."""

    def link(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        path = (page.parent / target).resolve()
        if path == root / "README.md":
            return f"]({target.removesuffix('README.md')}index.md{anchor})"
        if path in known or path.suffix == ".png" or not path.exists():  # of what does not exist Sphinx warns
            return match[0]
        name = path.relative_to(root).as_posix()
        return f"]({HERE}/code/{name}{'/index' if path.is_dir() else ''}.html{anchor.replace('#L', '#L-')})"

    return _LINK.sub(link, text)


def _notebook(path: Path, relink: Callable[[str], str]) -> str:
    """A notebook as the site has it: with links that lead somewhere, and figures that say what they show."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["metadata"].pop("minigpt", None)
    section = ""
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = relink(text).splitlines(keepends=True)
            section = next(iter(re.findall(r"^#+ (.*)$", text, re.M)[::-1]), section)
        else:
            cell["metadata"] = {"mystnb": {"image": {"alt": figures.description(text, section)}}}
    return json.dumps(notebook, ensure_ascii=False)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _contents(root: Path, pages: list[Path], notebooks: list[Path], folders: list[str]) -> str:
    names = [path.relative_to(root).with_suffix("").as_posix() for path in pages]
    docs = [name for name in names if name.startswith("docs/")]
    rest = [name for name in names if name not in docs and name != "README"]
    parts = {
        "Notebooks": [path.relative_to(root).with_suffix("").as_posix() for path in notebooks],
        "Open a model": ["explain"],
        "Guides": docs,
        "Reference": [f"reference/{name}" for name in folders],
        "The project": rest,
    }
    blocks = (f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(parts[title]) + "\n```" for title in parts)
    return "\n" + "\n\n".join(blocks) + "\n"


_EXPLAIN = """# Open a model

Each page walks through the forward and the backward pass of a small model on one text: every array with its numbers,
beside the line of code that computes it. `minigpt explain` writes such a page for any model.

| | |
|---|---|
| [GPT]({here}/explain/gpt.html) | `data/checkpoints/tiny` reads "Anna was looking for her red ball." |
| [BERT]({here}/explain/bert.html) | `data/checkpoints/bert-tiny` fills in a blank |
| [BART]({here}/explain/bart.html) | a small BART, trained for this page, restores a damaged text |
| [Llama]({here}/explain/llama.html) | a small Llama, trained for this page, reads the same as GPT |

![Where each head of the small GPT looks, and how probable each next word was](docs/explain.png)
"""
