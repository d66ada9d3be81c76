"""The page's data: views, nudges and the film, from what the model itself gives; and one file that needs no other."""

import dataclasses
import json
import re

import numpy as np
import pytest

import minigpt
from minigpt import ops
from minigpt.core.errors import UserError
from minigpt.interop.loaded import Loaded
from minigpt.lab.explain import batches, building, bundling, explain, room, views
from minigpt.lab.explain.arrays import Heads, Limits, Store, unpacked
from minigpt.lab.explain.nudges import STEPS, nudges
from minigpt.lab.gradcheck.cases import MODEL_CASES
from minigpt.models import BART, GPT, BARTConfig, GPTConfig, Llama, LlamaConfig
from minigpt.tokenizers import ByteTokenizer

from ...notebooks.sources import FOLDER
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
        norms = unpacked(store.entries[found["lists"]["tokens"][0]], store.holes)
        assert (np.triu(norms, 1) == 0).all() and (np.diag(norms) > 0).all()  # nothing later, always itself
        for place in range(5):  # the gradient of a position's row is that of the stream there
            alone = np.where(np.arange(5) == place, batch.targets, ops.IGNORE)
            _, cache = model.forward(case.params, batch._replace(targets=alone))
            grads = case.params.zeros_like()
            model.backward(case.params, grads, cache)
            assert np.allclose(norms[place], np.linalg.norm(grads["positions"][:5], axis=1), rtol=1e-5, atol=1e-9)


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
    parts = re.findall(r'<script type="text/plain" class="numbers">(.*?)</script>', text)
    numbers = "".join(parts)
    spans = [entry["data"] for entry in json.loads(data)["arrays"]]
    assert [numbers[a:b] for a, b in spans] == [entry["data"] for entry in page.data["arrays"]]
    assert text.count("</script>") == 2 + len(parts) and "<noscript>" in text and "data:image/png" in text


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


def test_heads_can_be_chosen(loaded, monkeypatch):
    monkeypatch.setattr(building, "nudges", lambda *a: (0.0, []))
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
                assert np.array_equal(unpacked(entry, some["holes"])[0], unpacked(all_of_it, whole["holes"])[1])
    assert counted >= 6 and len(some["heads"]) == 2
    with pytest.raises(UserError, match="there is no head 3: the model has 2"):
        explain(loaded, "abcd", heads=[3])


def test_key_value_heads_follow_those_that_they_serve():
    assert Heads((2, 3, 5), 6).kept(6) == [2, 3, 5] and Heads((2, 3, 5), 6).kept(3) == [1, 2]
    assert Heads((2, 3, 5), 6).kept(1) is None and Heads((0, 1), 2).kept(2) is None


def test_what_is_left_out_comes_back():
    rng = np.random.default_rng(5)
    whole = rng.standard_normal((2, 9, 9)).astype(np.float32)
    low = np.tri(9, dtype=bool)
    store = Store()
    arrays = [whole, *(np.where(low, whole, fill) for fill in (0, -np.inf, np.nan)), np.zeros((3, 4))]
    for x in arrays:
        store.plain(x, *["axis"] * x.ndim)
    assert [e.get("fill", "all") for e in store.entries] == ["all", 0, None, "all", 0]
    assert len(store.holes) == 2  # the triangle serves two
    for x, entry in zip(arrays, store.entries, strict=True):
        assert np.array_equal(unpacked(entry, store.holes), x.astype(np.float32), equal_nan=True)
    assert len(store.entries[1]["data"]) == pytest.approx(2 * 45 * 16 / 3, abs=4)
    large = Store()
    large.plain(np.array([3e30, 4e30, -np.inf], np.float32), "axis")  # whose squares float32 does not have
    assert large.entries[0]["norm"] == pytest.approx(5e30, rel=1e-5)
    assert store.bytes == sum(len(e["data"]) for e in store.entries) + sum(map(len, store.holes))


BYTES = {"vocab_size": 256, "context": 64}
SHAPES = {
    "gpt": lambda: GPT(GPTConfig(**BYTES, width=96, heads=12, layers=5, feed_forward=128)),
    "llama": lambda: Llama(LlamaConfig(**BYTES, width=48, heads=6, kv_heads=2, feed_forward=80, layers=6)),
    "bart": lambda: BART(BARTConfig(**BYTES, width=48, heads=4, encoder_layers=2, decoder_layers=2)),
}


@pytest.mark.parametrize("tokens", some([24, 52], [24], "the same of a shorter text"))
@pytest.mark.parametrize("name", some(list(SHAPES), ["llama"], "the same of another family"))
def test_a_page_s_size_is_known_before(name, tokens, monkeypatch):
    """What the formula says is enough for a page, and at most half as much again, for one layer and for three."""
    monkeypatch.setattr(building, "nudges", lambda *a: (0.0, []))  # a few kB that take most of the time
    model = SHAPES[name]()
    text = ("abcdefghijklmnopqrstuvwxyz" * 2)[:tokens]
    target = text if name == "bart" else None
    limits = Limits(384, 48, 256, tuple(range(72)))
    total = len(building._all_layers(model))
    for layers in ([1], [1, 2, total]):
        data = building.build(Loaded(model, model.init(1), ByteTokenizer(), None), text, layers=layers, target=target)
        size = len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())
        known = len(layers) * room.layer_bytes(model, tokens, limits)
        known += room.other_bytes(model, tokens, total - len(layers), limits) - room.FRAME
        assert size <= known <= 1.5 * size, (layers, size, known)


def test_three_layers_of_a_model_of_135_million_fit():
    """64 tokens, by the formula that the test above holds to real pages, and with heads chosen far more do.

    Two real pages with random weights had 16.8 and 17.9 MB.
    """
    limits = Limits(48, 48, 50257, tuple(range(72)))
    gpt2 = GPT(GPTConfig(vocab_size=50257, context=1024, width=768, heads=12, layers=12))
    llama = Llama(
        LlamaConfig(vocab_size=49152, context=2048, width=576, heads=9, kv_heads=3, feed_forward=1536, layers=30)
    )
    for model, layers in ((gpt2, 12), (llama, 30)):
        assert model.parameter_count > 120_000_000
        rest = room.other_bytes(model, 64, layers - 3, limits)
        assert 3 * room.layer_bytes(model, 64, limits) + rest <= room.CHOSEN == 20_000_000
        few = limits._replace(heads=Heads((0, 1, 2), model.block.heads))
        assert room.layer_bytes(model, 64, few) < 0.6 * room.layer_bytes(model, 64, limits)


@pytest.mark.slow("test_a_page_s_size_is_known_before")
def test_64_tokens_of_the_default_model_fit():
    m = minigpt.load(FOLDER.parent / "data" / "checkpoints" / "tiny")
    text = "Anna saw the dog in the garden. The dog had the red ball and was playing with it. She was happy. " * 4
    page = explain(m, m.tokenizer.decode(m.tokenizer.encode(text)[:64]))
    assert len(page.data["lists"]["tokens"]) in (63, 64, 65) and len(page.data["kept"]) >= 2
    assert len(page.html.encode()) <= 5_000_000
