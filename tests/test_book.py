"""The book: the equation sheet is the docstrings', which name the code's variables; notebooks' figures have words."""

import ast
import json
import re
from pathlib import Path

import pytest

from tools.book import equations, figures, links, sources

ROOT = Path(__file__).resolve().parents[1]


def test_the_equation_sheet_is_up_to_date():
    """If this fails, `python -m tools.book.equations` writes it anew."""
    assert equations.SHEET.read_text(encoding="utf-8") == equations.sheet()


@pytest.mark.parametrize("path", equations.CHAPTERS.values())
def test_docstrings_name_the_arguments_that_there_are(path):
    for node in equations.functions(path):
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        named = equations.named_arguments(ast.get_docstring(node))
        assert set(named) <= {a.arg for a in every}, node.name


def test_arguments_are_read_from_a_docstring():
    said = "y = x.\n\nArgs:\n    x: one.\n    gain, bias: two,\n        and more: of it.\nReturns:\n    y: three."
    assert equations.named_arguments(said) == ["x", "gain", "bias"] and equations.derived(said) == "y = x."


def test_what_a_figure_shows():
    cell = """axes.set(xlabel="step", ylabel="loss")
axes.plot(x, label=f"{size} layers")
axes.set_title("Training")
print("label")"""
    said = "Figure: A section; across: step; upwards: loss; curves; … layers; Training"
    assert figures.description(cell, "A section") == said


@pytest.mark.slow("test_what_a_figure_shows: the words of one cell's figure")
def test_every_stored_figure_has_words():
    """Of its own, not just the heading above it: what its axes, titles or lines are called."""
    cells = [
        (f"{path.name}, cell {cell['id']}", "".join(cell["source"]))
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))
    ]
    assert len(cells) > 90 and [name for name, source in cells if ";" not in figures.description(source, "A")] == []


def test_pictures_of_pages_have_words():
    pages = [path for pattern in sources.PAGES for path in ROOT.glob(pattern)]
    pictures = [(path.name, *found) for path in pages for found in re.findall(r"!\[(.*?)\]\((.*?)\)", path.read_text())]
    assert [picture for picture in pictures if len(picture[1].split()) < 4] == [] and len(pictures) > 3


def test_links_of_a_site(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "index.html").write_text('<a id="here" href="deep/page.html#there">x</a><a href="http://a.org">y</a>')
    page = tmp_path / "deep" / "page.html"
    page.write_text(f'<a class="reference external" href="{links.HERE}/index.html#here" id="there">x</a>')
    links.make_relative(tmp_path)
    assert 'class="reference" href="../index.html#here"' in page.read_text() and links.broken(tmp_path) == []
    page.write_text('<img src="https://a.org/b.png"><a href="../index.html#gone">x</a><a href="gone.html">y</a>')
    assert links.broken(tmp_path) == [
        "deep/page.html loads https://a.org/b.png",
        "deep/page.html: ../index.html#gone is no place in that page",
        "deep/page.html: gone.html is not there",
        "index.html: deep/page.html#there is no place in that page",
    ]
