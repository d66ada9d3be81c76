"""The page's data: views, nudges and the film, from what the model itself gives; and one file that needs no other."""

import base64
import dataclasses
import json
import re

import numpy as np
import pytest

from minigpt import ops
from minigpt.core.errors import UserError
from minigpt.interop.loaded import Loaded
from minigpt.lab.explain import batches, bundling, explain, views
from minigpt.lab.explain.arrays import Heads, Store
from minigpt.lab.explain.nudges import STEPS, nudges
from minigpt.lab.gradcheck.cases import MODEL_CASES
from minigpt.models import GPT, GPTConfig
from minigpt.tokenizers import ByteTokenizer

from ...tiers import some


@pytest.fixture(scope="module")
def loaded():
    model = GPT(GPTConfig(vocab_size=256, context=24, layers=2, heads=2, width=8, init_std=0.3))
    return Loaded(model, model.init(3), ByteTokenizer(), None)


@pytest.fixture(scope="module")
def page(loaded):
    return explain(loaded, "a cat </script>")


@pytest.mark.parametrize(
    "name",
    some(["gpt2", "llama-grouped", "bert", "bart", "transformer"], ["gpt2", "bart"], "the same of other families"),
)
def test_the_loss_moves_as_the_gradient_says(name):
    case = MODEL_CASES[name]()
    loss, found = nudges(case.model, case.params, case.batch.rows(0, 1), 6)
    assert len(found) == 6 and {n.place in case.params for n in found} == {True, False}
    for n in found:
        slope = (n.losses[STEPS.index(1)] - n.losses[STEPS.index(-1)]) / (2 * n.h)
        assert slope == pytest.approx(n.gradient, rel=0.02, abs=1e-6), n
        assert any(x != loss for x in n.losses) or n.gradient == 0


@pytest.mark.parametrize("name", ["gpt2", "bert", "bart"])
def test_the_reach_of_each_place_is_a_gradient_of_its_own(name):
    """Moving a stream by a little along its gradient moves that place's cost by the gradient's length."""
    case = MODEL_CASES[name]()
    model, batch = case.model, case.batch.rows(0, 1)
    lists = {"source": [""] * 6, "target": [""] * 4} if name == "bart" else {"tokens": [""] * 6}
    row = batches.Row(batch, lists, {}, batch.targets[0].tolist(), "target" if name == "bart" else "tokens")
    row = row._replace(batch=batch._replace(labels=None)) if name == "bert" else row
    store = Store()
    found = views.reach(model, case.params, row, store)
    for numbers in found["lists"].values():
        for number in numbers:
            entry = store.entries[number]
            assert entry["shape"][0] == len(found["places"]) and entry["norm"] > 0
    if name == "gpt2":
        norms = np.frombuffer(numbers_of(store, found["lists"]["tokens"][0]), np.float32).reshape(5, 5)
        assert (np.triu(norms, 1) == 0).all() and (np.diag(norms) > 0).all()  # nothing later, always itself
        for place in range(5):  # the gradient of a position's row is that of the stream there
            alone = np.where(np.arange(5) == place, batch.targets, ops.IGNORE)
            _, cache = model.forward(case.params, batch._replace(targets=alone))
            grads = case.params.zeros_like()
            model.backward(case.params, grads, cache)
            assert np.allclose(norms[place], np.linalg.norm(grads["positions"][:5], axis=1), rtol=1e-5, atol=1e-9)


def numbers_of(store, number):
    return base64.b64decode(store.entries[number]["data"])


def test_the_lens_ends_with_the_model_s_own_guess(loaded, page):
    ids = loaded.tokenizer.encode("a cat </script>")
    scores = loaded.logits([ids])[0]
    for cell, row, target in zip(page.data["lens"]["layers"][-1], scores, page.data["targets"], strict=True):
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        assert cell["top"][0][0] == batches.shown(loaded.tokenizer, int(row.argmax()))
        assert cell["top"][0][1] == pytest.approx(p.max(), rel=1e-3)
        assert target < 0 or cell["rank"] == int((p > p[target]).sum()) + 1
    gain, bias = (loaded.params[f"final_norm.{name}"] for name in ("gain", "bias"))
    for layer in (0, 1):  # what the first and the second block read, put through the end of the model
        x = loaded.hidden_states([ids], layer=layer)[0]
        scores = ops.layernorm_forward(x, gain, bias)[0] @ loaded.params["tokens"].T
        guesses = [batches.shown(loaded.tokenizer, int(i)) for i in scores.argmax(-1)]
        assert [cell["top"][0][0] for cell in page.data["lens"]["layers"][layer]] == guesses


def test_it_is_one_file_that_needs_no_other(page):
    text = page.html
    assert not re.search(r"(src|href)=[\"']?(https?:|//)|@import|url\(", text)
    scripts = bundling.script_order()
    assert scripts[-1] == "main" and all(f"const ${name} = " in text for name in scripts)
    assert "import {" not in text.split('<script type="module">')[1]
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1)
    assert json.loads(data)["prompt"] == "a cat </script>"  # which did not end the data
    assert text.count("</script>") == 2 and "<noscript>" in text and "data:image/png" in text


def test_scripts_are_small_and_none_is_left_over():
    page = bundling.files("minigpt.lab.explain") / "page"
    scripts = {path.name.removesuffix(".js") for path in page.iterdir() if path.name.endswith(".js")}
    assert scripts == {*bundling.script_order(), *bundling.script_order("kernels")}
    assert all(len(bundling.page_file(f"{name}.js").split("\n")) <= 400 for name in scripts)


def test_a_notebook_shows_the_page_or_the_picture(page):
    shown = page._repr_mimebundle_()
    assert shown["text/html"].startswith("<iframe") and shown["image/png"][:4] == b"\x89PNG"
    assert "a cat" in shown["text/plain"]


def test_layers_can_be_chosen(loaded):
    data = explain(loaded, "abc", layers=[2]).data
    assert data["kept"] == ["blocks.1"] and len(data["heads"]) == 2
    assert not any(step["place"].startswith("blocks.0") for step in data["steps"])


@pytest.mark.parametrize(
    ("prompt", "options", "said"),
    [
        ("", {}, "the prompt has no tokens"),
        ("a", {}, "one token long"),
        ("a" * 25, {}, "25 tokens, but a page shows at most 24"),
        ("abc", {"layers": [3]}, "no layer 3"),
        ("abc", {"target": "d"}, "--target"),
    ],
)
def test_what_cannot_be_shown_is_said(loaded, prompt, options, said):
    with pytest.raises(UserError, match=said):
        explain(loaded, prompt, **options)


def test_a_head_for_a_task_predicts_no_tokens(loaded):
    model = MODEL_CASES["bert-classifier"]().model
    with pytest.raises(UserError, match="predicts tokens"):
        explain(dataclasses.replace(loaded, model=model), "abc")


def test_heads_can_be_chosen(loaded):
    whole, some = explain(loaded, "abcd").data, explain(loaded, "abcd", heads=[2]).data
    assert some["headsShown"] == (1,) and len(some["steps"]) == len(whole["steps"])
    counted = 0
    for call, full in zip(some["calls"], whole["calls"], strict=True):
        for name, number in call["inputs"].items():
            entry, all_of_it = some["arrays"][number], whole["arrays"][full["inputs"][name]]
            assert entry["shape"] == all_of_it["shape"] and entry["norm"] == all_of_it["norm"]
            if entry["axes"][0] == "head":
                assert entry["kept"][0] == [1]
                counted += 1
                assert np.array_equal(floats(entry)[0], floats(all_of_it)[1])
    assert counted >= 6 and len(some["heads"]) == 2
    with pytest.raises(UserError, match="there is no head 3: the model has 2"):
        explain(loaded, "abcd", heads=[3])


def test_key_value_heads_follow_those_that_they_serve():
    assert Heads((2, 3, 5), 6).kept(6) == [2, 3, 5] and Heads((2, 3, 5), 6).kept(3) == [1, 2]
    assert Heads((2, 3, 5), 6).kept(1) is None and Heads((0, 1), 2).kept(2) is None


def floats(entry):
    data = np.frombuffer(base64.b64decode(entry["data"]), np.float32)
    kept = entry.get("kept") or [None] * len(entry["shape"])
    return data.reshape([n if k is None else len(k) for n, k in zip(entry["shape"], kept, strict=True)])
