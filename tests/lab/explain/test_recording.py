"""Recording: the numbers are those of the plain operations, for every family, and lines are where they say."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minigpt import ops
from minigpt.blocks.run import EVALUATION
from minigpt.lab.explain.arrays import Limits, Store, unpacked
from minigpt.lab.explain.recording import record
from minigpt.lab.explain.source import operation_sources
from minigpt.lab.explain.stations import Stations, family_of, part_of
from minigpt.lab.explain.words import words
from minigpt.lab.gradcheck.cases import MODEL_CASES

from ...tiers import some

ROOT = Path(__file__).resolve().parents[3]
FAMILIES = ["gpt", "gpt2", "gpt3", "llama-grouped", "bert", "bart", "transformer"]
ALL = ["blocks.", "encoder.", "decoder."]
LIMITS = Limits(64, 64, 7, tuple(range(7)))


@pytest.fixture(scope="module")
def recorded():
    """Each family's case, its first row as a batch, and the recording."""
    kept = {}

    def of(name):
        if name not in kept:
            case = MODEL_CASES[name]()
            batch = case.batch.rows(0, 1)
            kept[name] = case, batch, record(case.model, case.params, batch, LIMITS, ALL)
        return kept[name]

    return of


def last(record, name, function=None):
    made = [m.kept.data for m in record.made if m.name == name and m.function == (function or record.call.name)]
    return made[-1]


@pytest.mark.parametrize("name", some(FAMILIES, ["gpt2", "bart"], "the same of other families"))
def test_loss_and_gradients_are_the_model_s_own(name, recorded):
    case, batch, recording = recorded(name)
    loss, cache = case.model.forward(case.params, batch, EVALUATION)
    grads = case.params.zeros_like()
    case.model.backward(case.params, grads, cache, EVALUATION)
    assert recording.loss == loss and np.array_equal(recording.grads.flat, grads.flat)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_record_is_what_the_operation_gives_for_its_inputs(name, recorded):
    """Linear layers, sums, activations and attention, both ways, from the recorded inputs alone, in float64."""
    _, _, recording = recorded(name)
    undone = {r.call.partner: r for r in recording.backward if r.call.partner is not None}
    checked = Counter()
    for r in recording.forward:
        back, given = undone.get(r.call.number), {k: x.data.astype(np.float64) for k, x in r.inputs.items()}
        if r.call.name == "linear_forward":
            y = given["x"] @ given["weight"] + given.get("bias", 0.0)
            dy = back.inputs["dy"].data.astype(np.float64)
            assert np.allclose(back.result[0].data, dy @ given["weight"].T, atol=1e-6)
        elif r.call.name == "add":
            y = given["x"] + given["y"]
        elif r.call.name == "attention_forward":
            y = attended(r, back, given)
        elif r.call.name.removesuffix("_forward") in ops.ACTIVATIONS:
            forward, backward = ops.ACTIVATIONS[r.call.name.removesuffix("_forward")]
            y, cache = forward(given["x"])
            dx = backward(back.inputs["dy"].data.astype(np.float64), cache)
            assert np.allclose(back.result[0].data, dx, atol=1e-6)
        else:
            continue
        assert np.allclose(r.result[0].data, y, atol=1e-5), r.call
        checked[r.call.name] += 1
    assert checked["linear_forward"] >= 8 and checked["attention_forward"] >= 2 and checked["add"] >= 4


def attended(r, back, given):
    """Attention written once more, head by head, with the gradients of its scores and keys."""
    heads = len(given["q"])
    k, v = (np.repeat(given[n], heads // len(given[n]), axis=0) for n in "kv")
    scores = given["q"] @ k.swapaxes(1, 2) / np.sqrt(given["q"].shape[-1])
    allowed = r.mask.allowed(np, *scores.shape[1:])
    if allowed is not None:
        scores = np.where(np.broadcast_to(allowed, (1, 1, 1, *scores.shape[1:]))[0, 0], scores, -np.inf)
        assert np.array_equal(np.isneginf(last(r, "scores")), np.isneginf(scores))
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    assert np.allclose(last(r, "probabilities"), p, atol=1e-6)
    dy = back.inputs["dy"].data.astype(np.float64)
    dp = dy @ v.swapaxes(1, 2)
    dz = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(given["q"].shape[-1])
    assert np.allclose(last(back, "dscores"), dz, atol=1e-6)
    assert (last(back, "dscores")[np.isneginf(scores)] == 0).all()  # the masked half, exactly
    dk = (dz.swapaxes(1, 2) @ given["q"]).reshape(len(given["k"]), -1, *k.shape[1:]).sum(1)
    assert np.allclose(back.result[1].data, dk, atol=1e-6)
    return p @ v


@pytest.mark.parametrize("name", some(FAMILIES, ["gpt2", "bert", "transformer"], "the same of other families"))
def test_steps_go_through_every_call_and_back(name, recorded):
    _, _, recording = recorded(name)
    stations = Stations(recording, Store(), lambda place: ("tokens", "tokens"))
    steps = stations.steps()
    assert [s["phase"] for s in steps] == sorted((s["phase"] for s in steps), reverse=True)
    walked = {s["call"] for s in steps if not s["place"].endswith("split")}
    assert walked == set(range(len(stations.calls)))
    sums = sum(r.call.name == "add" for r in recording.forward)
    assert sum(s["place"].endswith("split") for s in steps) == sums
    for step in steps:
        assert step["shows"] and step["title"] and (step["key"] or step["place"].endswith("split")), step["place"]
        assert step["place"].endswith("split") == (not step["lines"])


def test_lines_stand_in_the_files_as_they_are_shown(recorded):
    _, _, recording = recorded("gpt2")
    files = {}
    for source in operation_sources().values():
        text = files.setdefault(source.file, (ROOT / source.file).read_text(encoding="utf-8").split("\n"))
        assert all(text[number - 1] == line for number, line in source.lines)
    for r in (*recording.forward, *recording.backward):
        site = r.call.site
        text = files.setdefault(site.file, (ROOT / site.file).read_text(encoding="utf-8").split("\n"))
        assert site.text.startswith(text[site.line - 1].strip()), site
        operation = r.call.name.rpartition("_")[0] or r.call.name
        said = "norm" if operation == "layernorm" else "activation" if operation in ops.ACTIVATIONS else operation
        assert said in site.text
    steps = Stations(recording, Store(), lambda place: ("tokens", "tokens")).steps()
    (dk,) = [s["key"] for s in steps if s["part"] == "dk" and s["place"].startswith("blocks.0.")]
    file, line = dk[0][1].split(":")
    assert dk[0][0] == "dk = xp.matmul(dscores.swapaxes(-1, -2), q_heads)"
    assert files[file][int(line) - 1].strip().startswith(dk[0][0])


def test_every_statement_of_attention_has_its_part(recorded):
    """Each array is noted where it was made, before a later statement writes into it."""
    _, _, recording = recorded("gpt2")
    text = {s.name: dict(s.lines) for s in operation_sources().values()}
    (first, *_) = [r for r in recording.forward if r.call.name == "attention_forward"]
    parts = {}
    for m in first.made:
        parts.setdefault(part_of(m, text[m.function][m.line]), []).append(m)
    assert list(parts) == ["scores", "mask", "softmax", "mixture"]
    raw, scaled = [m.kept.data for m in parts["scores"] if m.name == "scores"]
    assert np.allclose(raw / np.sqrt(3), scaled, atol=1e-6) and not np.allclose(raw, scaled)
    assert np.isfinite(scaled).all() and np.isneginf(last(first, "scores")).sum() == 2 * 10  # 2 heads, T = 5


def test_the_gradient_at_a_residual_sum_is_that_of_both_summands(recorded):
    _, _, recording = recorded("gpt2")
    store = Store()
    steps = Stations(recording, store, lambda place: ("tokens", "tokens")).steps()
    (split,) = [s for s in steps if s["place"] == "blocks.0.mlp.split"]
    assert len({show["array"] for show in split["shows"]}) == 1
    (down,) = [r for r in recording.backward if r.call.place == "blocks.0.mlp.down"]
    (join,) = [r for r in recording.backward if r.call.place == "blocks.1.attention.join"]
    assert np.array_equal(down.inputs["dy"].data, join.result[0].data)  # what came down the stream


def test_a_shared_head_s_gradient_is_the_sum_that_attention_gives(recorded):
    """Not what the line makes for each query head, before they are added up."""
    case, _, recording = recorded("llama-grouped")
    store = Store()
    steps = Stations(recording, store, lambda place: ("tokens", "tokens")).steps()
    calls = [r for r in recording.backward if r.call.name == "attention_backward"]
    for part, result in (("dq", 0), ("dk", 1), ("dv", 2)):
        found = [s for s in steps if s["part"] == part]
        assert len(found) == len(calls) == case.model.config.layers
        for step, call in zip(found, calls, strict=True):
            entry = store.entries[step["shows"][-1]["array"]]
            heads = case.model.config.heads if part == "dq" else case.model.config.kv_heads
            assert entry["shape"][0] == heads and entry["norm"] == pytest.approx(call.result[result].norm, rel=1e-5)
            assert np.array_equal(unpacked(entry, store.holes), call.result[result].data)
            assert ("serves several query heads" in step["say"]) == (part != "dq")


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_gradients_of_parameters_are_shown_as_they_are_afterwards(recorded, name):
    """Not as the zeros that they are given as, to be added to."""
    _, _, recording = recorded(name)
    store = Store()
    steps = Stations(recording, store, lambda place: ("tokens", "tokens")).steps()
    seen = 0
    for step in (s for s in steps if s["phase"] == "backward" and s["place"].startswith("blocks.")):
        for show in step["shows"]:
            ending = {"dweight": ".weight", "dgain": ".gain"}.get(show["name"])
            if ending:
                expected = np.linalg.norm(recording.grads[step["place"] + ending])
                assert store.entries[show["array"]]["norm"] == pytest.approx(float(expected), rel=1e-5)
                seen += 1
    assert seen == 12  # four matrices and two norms in each of two layers


def test_exponentials_are_shown_before_they_are_divided(recorded):
    _, _, recording = recorded("gpt2")
    (loss,) = [r for r in recording.forward if r.call.name == "cross_entropy_forward"]
    store = Store()
    (step,) = [
        s
        for s in Stations(recording, store, lambda place: ("tokens", "tokens")).steps()
        if s["call"] is not None and s["place"] == "loss" and s["phase"] == "forward"
    ]
    shown = next(show for show in step["shows"] if show["name"] == "exponentials")
    logits = loss.inputs["logits"].data.astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))  # not divided yet
    assert store.entries[shown["array"]]["norm"] == pytest.approx(float(np.linalg.norm(exponentials)), rel=1e-5)


def test_every_operation_of_a_model_that_predicts_tokens_has_its_words():
    apart = {"dropout", "softmax", "squared_error"}  # off; inside of others; only heads for tasks have it
    parts = {"attention": {"forward": ("scores", "mask"), "backward": ("dscores", "dk")}}
    for name in ops.TABLE:
        operation, _, way = name.rpartition("_")
        if way in ("forward", "backward") and operation not in apart:
            for part in parts.get(operation, {}).get(way, ("",)):
                said = words(family_of(name), part, backward=way == "backward")
                assert said.title and said.say.endswith("."), name


def test_large_arrays_are_cut_and_say_so():
    case = MODEL_CASES["gpt2"]()
    recording = record(case.model, case.params, case.batch.rows(0, 1), Limits(4, 3, 7, (1, 5)), ["blocks.1."])
    assert {r.call.place.split(".")[1] for r in recording.forward if "blocks." in r.call.place} == {"1"}
    assert list(recording.probabilities) == ["blocks.0.attention.attention", "blocks.1.attention.attention"]
    (output,) = [r for r in recording.forward if r.call.place == "output"]
    y = output.result[0]
    assert y.axes == ("token", "vocabulary") and y.shape == (5, 7) and y.kept == (None, [1, 5])
    whole = case.model.logits(case.params, case.batch.inputs[:1])[0]
    assert np.allclose(y.data, whole[:, [1, 5]], atol=1e-6) and y.norm == pytest.approx(np.linalg.norm(whole))
