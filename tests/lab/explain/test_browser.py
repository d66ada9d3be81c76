"""The page in a browser: from a file, without a network, with a mouse, with keys, on a telephone, in the dark."""

import numpy as np
import pytest

from minigpt import ops
from minigpt.blocks.run import Run
from minigpt.lab.explain.arrays import unpacked
from minigpt.lab.explain.batches import make_row

from .conftest import FAMILIES, PATIENCE, go, step_of

pytestmark = pytest.mark.browser


def find(page, **wanted):
    return next(n for n, step in enumerate(page.data["steps"]) if all(step[k] == v for k, v in wanted.items()))


@pytest.mark.parametrize("name", FAMILIES)
def test_stepping_all_the_way_visits_every_step(name, visit, made):
    tab, page = visit(name), made(name)[1]
    for direction, key in (("on", "ArrowRight"), ("back", "ArrowLeft")):
        seen = [step_of(tab)]
        while True:
            tab.keyboard.press(key)
            if step_of(tab) == seen[-1]:
                break
            seen.append(step_of(tab))
            assert tab.inner_text("#stage h2") == page.data["steps"][seen[-1]]["title"]
            assert tab.locator(".road [aria-current=step]").count() == 1
        assert seen == list(range(len(page.data["steps"])))[:: 1 if direction == "on" else -1]


@pytest.mark.parametrize("name", FAMILIES)
def test_random_numbers_are_those_of_the_operations(name, visit, made):
    """Point at squares of results of forward and backward calls; the tip has what `ops` gave, to five digits."""
    tab, (_, page, (loaded, prompt, target)) = visit(name), made(name)
    results = results_of(loaded, make_row(loaded, prompt, target).batch)
    assert len(results) == len(page.data["calls"])
    steps = [n for n, s in enumerate(page.data["steps"]) if shown(s) is not None and usable(page, s)]
    draw = np.random.default_rng(7)
    for n in draw.choice(steps, 5, replace=False):
        step = page.data["steps"][n]
        go(tab, int(n))
        result = results[step["call"]][""].reshape(-1, results[step["call"]][""].shape[-1])
        row, column = (
            int(draw.integers(min(length, 384))) for length in result.shape
        )  # of long rows a page has as many
        wanted = result[row, column]
        assert point_at(tab, shown(step), row, column) == float(f"{wanted:.5g}"), (step["place"], row, column)


@pytest.mark.parametrize("name", FAMILIES)
def test_random_numbers_of_heads_are_those_of_attention(name, visit, made):
    tab, (_, page, (loaded, prompt, target)) = visit(name), made(name)
    results = results_of(loaded, make_row(loaded, prompt, target).batch)
    parts = {"softmax": "probabilities", "dq": "dq", "dk": "dk", "dv": "dv"}
    steps = [n for n, s in enumerate(page.data["steps"]) if s["part"] in parts]
    draw, seen = np.random.default_rng(11), set()
    for n in draw.choice(steps, 5, replace=False):
        step = page.data["steps"][n]
        kind, head = parts[step["part"]], int(draw.choice(page.data["headsShown"]))
        go(tab, int(n))
        tab.click(f"[aria-label='head {head + 1}']")
        heads, count = results[step["call"]][kind], page.data["model"]["heads"]
        row, column = int(draw.integers(heads.shape[1])), int(draw.integers(heads.shape[2]))
        wanted = heads[head * len(heads) // count, row, column]
        assert point_at(tab, kind, row, column) == float(f"{wanted:.5g}"), (step["place"], kind, head, row, column)
        assert ("sum of the gradients" in tab.inner_text(".say")) == (len(heads) < count)
        seen.add(kind)
    assert len(seen) >= 2


def point_at(tab, name, row, column):
    """Point at a square of a picture: the number that the page tells."""
    box = tab.locator(f".pictures figure[data-name='{name}'] canvas").first
    box.scroll_into_view_if_needed()
    wide, high = box.evaluate("c => [c.width, c.height]")
    assert row < high and column < wide
    area = box.bounding_box()
    tab.mouse.move(area["x"] + (column + 0.5) * area["width"] / wide, area["y"] + (row + 0.5) * area["height"] / high)
    return float(tab.inner_text("#tip b").replace("−", "-").replace("∞", "inf"))


def results_of(loaded, batch):
    """What each call of an operation gives, in order, from a table that only listens: its first array under "", and of
    attention by name, heads first.
    """
    found = []

    def listening(name, function):
        def call(*arguments, **options):
            result = function(*arguments, **options)
            y = result[0] if isinstance(result, tuple) else result
            found.append({"": np.array(np.nan if y is None else y)})
            if name == "attention_forward":
                found[-1]["probabilities"] = flat_heads(result[1].probabilities)
            elif name == "attention_backward":
                named = zip(("dq", "dk", "dv"), result, strict=True)
                found[-1] |= {key: np.array(x[0].swapaxes(0, 1)) for key, x in named}  # (1, T, H, D)
            return result

        return call

    table = dict(ops.TABLE)
    names = [n for n in table if (n.endswith(("_forward", "_backward")) and "dropout" not in n) or n == "add"]
    table |= {name: listening(name, table[name]) for name in names}
    table["ACTIVATIONS"] = {n: (listening(n, f), listening(n, b)) for n, (f, b) in ops.ACTIVATIONS.items()}
    run = Run(ops=type("Table", (), {name: staticmethod(x) if callable(x) else x for name, x in table.items()})())
    _, cache = loaded.model.forward(loaded.params, batch, run)
    loaded.model.backward(loaded.params, loaded.params.zeros_like(), cache, run)
    return found


def flat_heads(x):
    """(1, G, R, T, S) as (H, T, S), a copy."""
    return np.array(x).reshape(-1, *x.shape[-2:])


def shown(step):
    """The name under which a step shows its call's result."""
    names = [show["name"] for show in step["shows"]]
    return next((name for name in ("x + y", "dx", "y") if name in names and not step["place"].endswith("split")), None)


def usable(page, step):
    """Whole rows of features: no heads, and nothing of the vocabulary's columns."""
    array = page.data["arrays"][next(s["array"] for s in step["shows"] if s["name"] == shown(step))]
    result = step["shows"][-1]["name"] == shown(step) or shown(step) == "dx"
    return array["axes"] == ["token", "feature"] or (tuple(array["axes"]) == ("token", "feature") and result)


def test_pointing_and_heads(visit, made):
    tab, page = visit("tiny"), made("tiny")[1]
    go(tab, find(page, part="softmax", place="blocks.2.attention.attention"))
    tab.click("[aria-label='head 2']")
    row = page.data["lists"]["tokens"].index(" he")
    tab.click(f".tokens [aria-label^='token {row}:']")
    said = tab.inner_text(".answer p")
    p = attention(page, 2)[1]
    best = page.data["lists"]["tokens"][int(p[row].argmax())]
    assert said.startswith("Head 2 looks from “␣he” most at") and f"“{best.replace(' ', '␣')}”" in said
    tab.click("#tab-heads")  # the same answer at a glance
    assert best.replace(" ", "␣") in tab.inner_text("[data-place='blocks.2.attention.attention'][data-head='1'] .looks")
    tab.hover("[data-place='blocks.2.attention.attention'][data-head='0'] canvas")
    assert "Layer 3, head 1: head 1, query" in tab.inner_text("#tip")  # the square's own, whichever is chosen
    tab.click("[data-place='blocks.2.attention.attention'][data-head='1'] .looks")
    assert step_of(tab) == find(page, part="softmax", place="blocks.2.attention.attention")


def attention(page, layer):
    return unpacked(page.data["arrays"][page.data["heads"][layer]["array"]], page.data["holes"])


def test_the_page_answers_a_newcomer_s_questions(visit, made):
    tab, page = visit("tiny"), made("tiny")[1]
    go(tab, find(page, part="dscores"))
    assert "the masked half of dscores is exactly zero" in " ".join(tab.inner_text(".say").split())
    go(tab, find(page, part="dk"))
    assert "dk = xp.matmul(dscores.swapaxes(-1, -2), q_heads)" in tab.inner_text(".keyline .own")
    assert "minigpt/ops/attention.py:" in tab.inner_text(".keyline .own")
    lit = tab.locator(".column.backward .line.lit .source").all_inner_texts()
    assert any(text.startswith("dk = xp.matmul(dscores") for text in lit)
    go(tab, find(page, place="blocks.1.mlp.split"))
    assert "hands its gradient on to both summands, unchanged" in " ".join(tab.inner_text(".say").split())
    tab.locator(".code").scroll_into_view_if_needed()  # it is laid out when it comes into sight
    assert "No line computes this" in tab.inner_text(".column.backward")
    go(tab, find(page, place="blocks.1.mlp.join"))
    tab.locator(".code").scroll_into_view_if_needed()
    assert "return x + y" in tab.inner_text(".column.backward")
    assert "nothing is computed" in tab.inner_text(".column.forward")


def test_every_line_s_array_can_be_looked_at(visit, made):
    tab, page = visit("tiny"), made("tiny")[1]
    go(tab, find(page, place="blocks.0.norm1"))
    tab.click(".column.forward .chip:has-text('variance')")
    assert tab.inner_text(".inspected figcaption b") == "variance"


def test_keys_and_roles(visit, made):
    tab, page = visit("tiny"), made("tiny")[1]
    turn = next(n for n, s in enumerate(page.data["steps"]) if s["phase"] == "backward") - 1
    for key, step in (("End", len(page.data["steps"]) - 1), ("Home", 0), ("t", turn)):
        tab.keyboard.press(key)
        assert step_of(tab) == step
    tab.keyboard.press("v")
    assert tab.get_attribute("#tab-heads", "aria-selected") == "true"
    go_to = find(page, part="scores")
    tab.click("#tab-steps")
    go(tab, go_to)
    tab.keyboard.press("3")
    assert tab.get_attribute("[aria-label='head 3']", "aria-checked") == "true"
    tab.focus("[aria-label='head 3']")
    tab.keyboard.press("ArrowRight")  # within the group, and the focus goes along
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == "head 4" and step_of(tab) == go_to
    tab.keyboard.press("ArrowLeft")
    tab.focus(".pictures figure canvas")
    tab.keyboard.press("ArrowRight")
    assert step_of(tab) == go_to  # an arrow in a picture reads a number, and does not step
    assert tab.inner_text("#readout").startswith("q_heads: head 3, query 0")
    unnamed = tab.evaluate(
        "[...document.querySelectorAll('button, input, select, canvas')].filter(e => !(e.getAttribute('aria-label') || "
        "e.textContent.trim() || e.closest('label'))).length"
    )
    assert unnamed == 0
    assert tab.locator("h1").count() == 1 and tab.locator("main[role=tabpanel]").count() == 1


def test_boxes_open_and_close(visit, made):
    tab, page = visit("tiny"), made("tiny")[1]
    for button, box, key in (("#help", "#keys", "?"), ("#terms", "#glossary", "g")):
        tab.click(button)
        assert tab.locator(f"{box}[open]").count() == 1
        tab.keyboard.press("ArrowRight")
        assert step_of(tab) == 0  # the page behind the box rests
        tab.keyboard.press("Escape")
        assert tab.locator("dialog[open]").count() == 0
        assert tab.evaluate("document.activeElement.id") == button[1:]  # where the reader was
        tab.keyboard.press(key)
        assert tab.locator(f"{box}[open] dd").count() >= 10
        tab.keyboard.press(key)
        assert tab.locator("dialog[open]").count() == 0
    assert tab.locator("#glossary dt").all_text_contents() == [term for term, _ in page.data["glossary"]]


def test_a_step_is_read_from_its_beginning(visit, made):
    tab, page = visit("tiny", viewport={"width": 1360, "height": 500}), made("tiny")[1]
    go(tab, find(page, part="scores"))
    tab.click(".tokens [data-n='3']")
    tab.evaluate("scrollTo(0, 700)")
    tab.keyboard.press("2")  # another head of the same step: the page stays where it is
    assert tab.evaluate("scrollY") == 700
    tab.keyboard.press("ArrowRight")  # and the mouse's choice of a token did not keep the arrow keys
    assert step_of(tab) == find(page, part="scores") + 1
    assert 0 <= tab.locator("#stage h2").bounding_box()["y"] < 100


def test_the_loss_names_its_hardest_token(visit, made):
    for name in ("tiny", "bert", "bart"):
        tab, page = visit(name), made(name)[1]
        tab.click("[aria-label^='To the loss']")
        assert page.data["steps"][step_of(tab)]["place"] == "loss" and tab.locator(".cost").count()
        call = next(c for c in page.data["calls"] if c["name"] == "cross_entropy_forward")
        costs = unpacked(page.data["arrays"][[m for m in call["made"] if m[1] == "cost"][-1][2]], page.data["holes"])
        at = int(np.where(np.array(page.data["targets"]) < 0, -1, costs).argmax())
        said = tab.inner_text(".hardest")
        assert f"“{page.data['lens']['targets'][at].replace(' ', '␣')}”" in said and f"{costs[at]:.3g} nats" in said
        tab.keyboard.press("ArrowRight")
        assert tab.inner_text("#stage h2") == "Here the gradient starts"


def test_arrows_are_turned(visit, made):
    """Half of the way is half of each token's angle; the end is what the model computed."""
    tab, page = visit("llama", reduced_motion="reduce"), made("llama")[1]
    tab.click("#tab-rotation")
    assert tab.locator(".turner button").count() == 0  # whom motion disturbs turns by hand
    found = page.data["rotation"]
    before, after = (unpacked(page.data["arrays"][found[k]], page.data["holes"])[0, 3, 0] for k in ("before", "after"))
    for share, wanted in ((1, after), (0.5, turned(before, 0.5 * 3 * found["angles"][0])), (0, before)):
        tab.locator(".turner input").fill(str(share))
        x, y = (float(tab.locator(".dial .tip").nth(3).get_attribute(end)) for end in ("cx", "cy"))
        direction = np.array([x - 50, 50 - y]) / np.hypot(x - 50, 50 - y)
        assert direction == pytest.approx(wanted / np.linalg.norm(wanted), abs=2e-3), share
    moving = visit("llama")
    moving.click("#tab-rotation")
    moving.evaluate(LISTEN)
    moving.click(".turner button")
    moving.wait_for_function("window.said.at(-1) === 'Turned 100 % of the way'")
    assert moving.evaluate("window.said[0]") == "Turned 0 % of the way"


LISTEN = """() => {
  const says = document.querySelector(".turner span");
  window.said = [];
  new MutationObserver(() => window.said.push(says.textContent)).observe(says, { childList: true });
}"""


def turned(point, angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([point[0] * c - point[1] * s, point[0] * s + point[1] * c])


def test_dark_and_light(visit):
    tab = visit("tiny", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 23)"
    tab.keyboard.press("d")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 247)"


@pytest.mark.parametrize("name", ["tiny", "bart", "llama"])
def test_every_view_fits_a_telephone(name, visit):
    tab = visit(name, viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    for view in tab.locator("#tabs [role=tab]").all():
        view.click()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, view.inner_text()
        assert tab.inner_text("main h2")
    tab.click("#tab-steps")
    tab.click("[aria-label^='One step on']")
    assert step_of(tab) == 1


def test_the_reach_names_only_what_is_reached(visit, made):
    tab, page = visit("tiny"), made("tiny")[1]
    tokens = page.data["lists"]["tokens"]
    tab.click("#tab-reach")
    tab.click(f".tokens [aria-label^='token {len(tokens) - 1}:']")
    assert "Nothing comes after" in tab.inner_text(".view") and not tab.locator("table.reach").count()
    tab.click(".tokens [aria-label^='token 0:']")
    said = tab.inner_text(".view > div:last-child > p")
    assert said.count("(") == 1 and f"“{tokens[0]}”" in said  # the first token sees itself alone


def test_a_step_s_nudge_can_be_tried(visit, made):
    tab = visit("tiny")
    tab.click("#tab-nudge")
    tab.locator("input[type=range]").last.focus()
    tab.keyboard.press("Home")  # the largest move down
    tab.click("#tab-steps")
    go(tab, next(n for n, step in enumerate(made("tiny")[1].data["steps"]) if step["place"] == "tokens"))
    move = tab.inner_text(".nudged").split("Add ")[1].split()[0]
    tab.click(".nudged button")
    assert f"Move by +{move}" in tab.inner_text(".view.nudge")


def test_a_nudge_moves_the_loss_as_it_said(visit):
    tab = visit("tiny")
    tab.click("#tab-nudge")
    facts = dict(
        zip(tab.locator(".facts dt").all_inner_texts(), tab.locator(".facts dd").all_inner_texts(), strict=True)
    )
    said, truly = (
        float(facts[k].replace("−", "-")) for k in ("the gradient says the loss moves by", "it truly moves by")
    )
    assert said == pytest.approx(truly, rel=0.02)
    marks = [float(text.replace("−", "-")) for text in tab.locator(".chart text").all_text_contents()[:-2]]
    assert len(marks) >= 9 and {-0.002, -0.001, 0.001, 0.002} <= set(marks)  # the axes have numbers
    assert max(marks) >= abs(truly) > 0


def test_without_scripts_there_is_a_still_picture(visit, made, chromium):
    context = chromium.new_context(java_script_enabled=False, offline=True)
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    tab.goto(made("gpt")[0].as_uri())
    assert tab.locator("noscript img, img[alt='Where each head looks']").count() == 1
    context.close()


def test_in_a_notebook_s_frame(chromium, made):
    page = made("gpt")[1]
    context = chromium.new_context(offline=True)
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    tab.set_content(page._repr_mimebundle_()["text/html"])
    frame = tab.frame_locator("iframe")
    assert frame.locator("#stage h2").inner_text() == "The text becomes tokens"
    frame.locator("[aria-label^='One step on']").click()
    assert frame.locator("#stage h2").inner_text() == "Look up each token"
    context.close()


def test_chosen_heads(visit, made):
    tab, page = visit("some-heads"), made("some-heads")[1]
    assert "Attention is shown of 2 of its heads (2, 4)" in tab.inner_text("#summary")
    go(tab, find(page, part="softmax", place="blocks.1.attention.attention"))
    assert tab.locator(".heads [role=radio]").all_inner_texts() == ["2", "4"]
    tab.keyboard.press("4")
    tab.keyboard.press("3")  # which is not there
    said = tab.inner_text(".answer p")
    row = len(page.data["lists"]["tokens"]) - 2
    p = attention(page, 1)[1][row]
    assert said.startswith("Head 4 looks") and f"({p.max():.3g})" in said
    tab.click("#tab-heads")
    assert tab.locator(".onehead").count() == 8
