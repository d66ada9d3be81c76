"""The kernels' page in a browser."""

import pytest

from minigpt.kernels.emulator import compiler_problem
from minigpt.lab.explain.kernel_page import explain_kernels

from .conftest import go, step_of

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    if compiler_problem():
        pytest.skip(compiler_problem())
    page = explain_kernels()
    return page.save(tmp_path_factory.mktemp("kernels") / "kernels.html"), page


def test_a_kernel_is_walked_through(visit, kernels):
    path, page = kernels
    tab = visit(path)
    assert path.stat().st_size < 5_000_000 and tab.inner_text("#stage h2") == "A grid of blocks"
    steps = page.data["steps"]
    at = next(n for n, s in enumerate(steps) if s["kind"] == "scores" and s["block"] == 1 and s["keys"] == 16)
    tab.click("[aria-label^='block 1:']")
    for _ in range(4):
        tab.keyboard.press("ArrowRight")
    assert step_of(tab) == at
    row = tab.locator(".online tbody tr").nth(3).locator("td").all_inner_texts()
    rows = steps[at]["rows"]
    wanted = [rows[key][3] for key in ("largest", "m_before", "m", "shrink", "total", "l_before", "l")]
    assert [float(text.replace("−", "-")) for text in row] == [float(f"{x:.5g}") for x in wanted]
    board = tab.locator(".stacked canvas").first
    area = board.bounding_box()
    tab.mouse.click(area["x"] + 7.5 * area["width"] / 16, area["y"] + 3.5 * area["height"] / 16)  # ty 3, tx 7
    assert tab.inner_text(".stacked b >> nth=-1").strip() and "thread 55" in tab.inner_text(".stacked")
    said = dict(
        zip(tab.locator(".memory figcaption b").all_inner_texts(), tab.locator(".memory figcaption").all(), strict=True)
    )
    assert "16 read by thread 55" in said["qs: rows of Q"].inner_text()
    assert "1 written by thread 55" in said["ps: exp(score − m)"].inner_text()
    assert "not touched" in said["vs: rows of V"].inner_text()
    assert tab.inner_text(".online tr.chosen th") == "19"
    tab.keyboard.press("Escape")
    assert "256 read by 256 threads" in said["ks: rows of K"].inner_text()
    lit = tab.locator(".line.lit .source").all_inner_texts()
    assert any("row_max(largest)" in text for text in lit) and not any("load_tile" in text for text in lit)
    tab.keyboard.press("b")
    assert steps[step_of(tab)]["block"] == 2 and steps[step_of(tab)]["phase"] == 0


def test_a_kernel_fits_a_telephone(visit, kernels):
    path, page = kernels
    tab = visit(path, viewport={"width": 390, "height": 844}, color_scheme="dark")
    for n in range(len(page.data["steps"])):
        go(tab, n)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, n
    tab.evaluate(COUNT_CANVASES)
    for n in range(len(page.data["steps"])):  # pictures are made once: a second time only that of the threads is new
        go(tab, n)
        assert tab.evaluate("made.splice(0).length") == (n > 0), n


COUNT_CANVASES = """() => {
  window.made = [];
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function (tag, ...rest) {
    if (tag === "canvas") made.push(tag);
    return create.call(this, tag, ...rest);
  };
}"""
