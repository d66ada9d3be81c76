"""llama2.c's files, in its first format and version 1, written here and read, bit for bit; and a reader of its own."""

import struct

import numpy as np
import pytest

import minigpt
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.interop import llama2c
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig

SHAPE = {"vocab_size": 11, "context": 6, "layers": 2, "heads": 4, "kv_heads": 2, "width": 24, "feed_forward": 10}
IDS = np.array([[1, 5, 2, 9, 3, 3], [4, 4, 0, 10, 8, 7]])
VERSIONS = {"first": 0, "v1": 1}


def llama(**changed):
    model = Llama(LlamaConfig(**SHAPE, scaled_residual_init=False, **changed))
    return model, random_parameters(model, seed=7).astype("float32")


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_there_and_back_is_exact(tied, version, tmp_path):
    model, params = llama(tied=tied)
    llama2c.write_model(tmp_path / "model.bin", model, params, version)
    loaded = minigpt.load(tmp_path / "model.bin")
    assert loaded.model.config == model.config and np.array_equal(loaded.params.flat, params.flat)
    llama2c.write_model(tmp_path / "again.bin", loaded.model, loaded.params, version)
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "model.bin").read_bytes()


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_metas_layout_of_heads_is_written_as_it_is(version, tmp_path):
    """A model that has it already computes the same as the one that is read back."""
    model, params = llama(tied=True, rope_layout="interleaved")
    llama2c.write_model(tmp_path / "model.bin", model, params, version)
    loaded = minigpt.load(tmp_path / "model.bin", dtype="float64")
    expected = model.logits(params.astype("float64"), IDS)
    assert loaded.config.model.rope_layout == "half"
    assert np.abs(loaded.logits(IDS) - expected).max() <= 1e-12 * np.abs(expected).max()


def reference_logits(path, ids):
    """What llama2.c computes, in float64, straight from the first format: token by token, pairs as neighbours."""
    data = path.read_bytes()
    width, hidden, layers, heads, kv_heads, vocab, context = struct.unpack("<7i", data[:28])
    numbers = np.frombuffer(data, "<f4", offset=28).astype(np.float64)
    d, kv = width // heads, width // heads * kv_heads
    position = 0

    def take(*shape):
        nonlocal position
        position += (size := int(np.prod(shape)))
        return numbers[position - size : position].reshape(shape)

    tokens, norm1 = take(abs(vocab), width), take(layers, width)
    wq, wk, wv = take(layers, width, width), take(layers, kv, width), take(layers, kv, width)
    wo, norm2 = take(layers, width, width), take(layers, width)
    w1, w2, w3 = take(layers, hidden, width), take(layers, width, hidden), take(layers, hidden, width)
    norm, cos, sin = take(width), take(context, d // 2), take(context, d // 2)
    output = tokens if vocab > 0 else take(-vocab, width)
    assert position == len(numbers)

    def rms(x, weight):
        return weight * x / np.sqrt((x * x).mean() + 1e-5)

    def turn(x, t):
        a, b = x.reshape(-1, d // 2, 2).transpose(2, 0, 1)
        return np.stack([a * cos[t] - b * sin[t], a * sin[t] + b * cos[t]], axis=-1).reshape(-1, d)

    keys, values = np.zeros((layers, len(ids), kv_heads, d)), np.zeros((layers, len(ids), kv_heads, d))
    logits = []
    for t, token in enumerate(ids):
        x = tokens[token]
        for layer in range(layers):
            h = rms(x, norm1[layer])
            q = turn(wq[layer] @ h, t)
            keys[layer, t], values[layer, t] = turn(wk[layer] @ h, t), (wv[layer] @ h).reshape(-1, d)
            seen = []
            for head in range(heads):
                group = head * kv_heads // heads
                scores = keys[layer, : t + 1, group] @ q[head] / np.sqrt(d)
                weights = np.exp(scores - scores.max())
                seen.append(weights / weights.sum() @ values[layer, : t + 1, group])
            x = x + wo[layer] @ np.concatenate(seen)
            h = rms(x, norm2[layer])
            gate = w1[layer] @ h
            x = x + w2[layer] @ (gate / (1 + np.exp(-gate)) * (w3[layer] @ h))
        logits.append(output @ rms(x, norm))
    return np.array(logits)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_program_that_follows_the_format_computes_the_same(tied, tmp_path):
    model, params = llama(tied=tied)
    llama2c.write_model(tmp_path / "model.bin", model, params)
    ours = minigpt.load(tmp_path / "model.bin", dtype="float64").logits(IDS)
    for row, ids in zip(ours, IDS, strict=True):
        theirs = reference_logits(tmp_path / "model.bin", ids)
        assert np.abs(row - theirs).max() <= 1e-5 * np.abs(theirs).max()  # its cosines and sines are float32s


def test_through_the_command_line(tmp_path, capsys):
    """llama2.c, a run, llama2.c again: the same bytes; the tokenizer.bin beside the file becomes the run's."""
    model, params = llama(tied=True)
    llama2c.write_model(tmp_path / "model.bin", model, params)
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", b" ", b"a", b"b", b"c", b" a", b"ab"]
    rows = b"".join(struct.pack("<fi", -float(n), len(p)) + p for n, p in enumerate(pieces))
    (tmp_path / "tokenizer.bin").write_bytes(struct.pack("<i", 6) + rows)
    run = tmp_path / "run"
    assert main(["convert", str(tmp_path / "model.bin"), str(run)]) == 0
    assert minigpt.load(run).tokenizer.encode("ab c") == minigpt.load(tmp_path / "model.bin").tokenizer.encode("ab c")
    for to, version in (("llama2c", 0), ("llama2c-v1", 1)):
        target = tmp_path / f"{to}.bin"
        assert main(["convert", str(run), str(target), "--to", to]) == 0
        llama2c.write_model(tmp_path / f"{to}-direct.bin", model, params, version)
        assert target.read_bytes() == (tmp_path / f"{to}-direct.bin").read_bytes()
    with pytest.raises(UserError, match="exists already, and nothing is ever overwritten"):
        llama2c.write_model(target, model, params)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def said(path):
    with pytest.raises(UserError) as error:
        minigpt.load(path)
    return str(error.value)


def test_damage(tmp_path):
    model, params = llama(tied=True)
    path = tmp_path / "model.bin"
    llama2c.write_model(path, model, params)
    good = path.read_bytes()
    needs = f"its header (2 layers of width 24 and 10, 11 tokens, context 6) needs {len(good)}"
    for damaged, sentence in [
        (b"", "is empty"),
        (good[:100], "is truncated, or no model of llama2.c: it has 100 bytes"),
        (good[:-8], f"is damaged: it has {len(good) - 8} bytes, but {needs}"),
        (good + bytes(4), f"is damaged: it has {len(good) + 4} bytes, but {needs}"),
        (b"\xff" * 300, "its first bytes would say [-1, -1, -1, -1, -1, 1, -1]"),
        (b"plain text, long enough " * 20, "is no model that minigpt can read (as a header of llama2.c, its"),
        (struct.pack("<7i", 24, 10, 2, 5, 2, 11, 6) + good[28:], "its first bytes would say [24, 10, 2, 5, 2, 11, 6]"),
        (struct.pack("<7i", 24, 10, 2, 4, 3, 11, 6) + good[28:], "model.heads 4 is not a multiple of model.kv_heads 3"),
        (struct.pack("<7i", 24, 10, 2, 8, 2, 11, 6) + good[28:], "model.head_width is 3; rotary positions turn pairs"),
        (good[:28] + struct.pack("<f", float("nan")) + good[32:], "tokens has values that are not finite"),
        (struct.pack("<Ii", llama2c.MAGIC, 2) + good, "is in version 2 of llama2.c's format (2 is quantized)"),
    ]:
        path.write_bytes(damaged)
        assert f"{path}" in (sentence_said := said(path)) and sentence in sentence_said


def test_what_llama2c_cannot_express(tmp_path):
    for changed, problem in [
        ({"rope_base": 500000.0}, "the rotation base 500000.0, not 10000.0"),
        ({"rope_factor": 8.0}, "a scaled rotation"),
        ({"norm_eps": 1e-6}, "norms with ε = 1e-06, not 1e-05"),
        ({"head_width": 8}, "heads of width 8, not 24/4"),
    ]:
        with pytest.raises(UserError, match="cannot express this model: it has") as error:
            llama2c.write_model(tmp_path / "m.bin", *llama(**changed))
        assert problem in str(error.value)
    model, params = llama()
    with pytest.raises(UserError, match="weights in float64, not float32"):
        llama2c.write_model(tmp_path / "m.bin", model, params.astype("float64"))
    gpt = GPT(GPTConfig(vocab_size=5))
    with pytest.raises(UserError, match="the family gpt, not llama"):
        llama2c.write_model(tmp_path / "m.bin", gpt, gpt.init())
    assert not (tmp_path / "m.bin").exists()
