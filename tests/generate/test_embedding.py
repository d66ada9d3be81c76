"""Texts as vectors: what is pooled, padding that changes nothing, special tokens, and mistakes in one sentence."""

import json

import numpy as np
import pytest

import minigpt
from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.generate.embedding import POOLINGS, unit_length
from minigpt.interop.hf.writing import write_model
from minigpt.models import GPT, Bert, BertConfig, GPTConfig
from minigpt.tokenizers import ByteTokenizer

TEXTS = ["a cat sat", "a", "the cat and the dog", "dog"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A BERT without heads, and its tokenizer."""
    folder = tmp_path_factory.mktemp("encoder")
    (folder / "text.txt").write_text("a cat sat on the mat and the dog sat on the cat\n" * 20)
    tokenizer = tokenizers.train("wordpiece", [folder / "text.txt"], 60)
    model = Bert(
        BertConfig(vocab_size=tokenizer.vocab_size, context=9, layers=2, heads=2, width=6, headless=True, pairs=False)
    )
    write_model(folder / "hf", model, model.init(seed=1), tokenizer)
    return folder / "hf"


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("causal")
    model = GPT(GPTConfig(vocab_size=256, context=8, layers=1, heads=1, width=4))
    write_model(folder / "hf", model, model.init(seed=1), ByteTokenizer())
    return folder / "hf"


def said(call, *arguments, **named):
    with pytest.raises(UserError) as error:
        call(*arguments, **named)
    return str(error.value)


def test_poolings_by_hand():
    states = np.array([[[1.0, -4.0], [3.0, -2.0], [9.0, 9.0]]])
    real = np.array([[True, True, False]])
    assert POOLINGS["mean"](states, real).tolist() == [[2.0, -3.0]]
    assert POOLINGS["cls"](states, real).tolist() == [[1.0, -4.0]]
    assert POOLINGS["max"](states, real).tolist() == [[3.0, -2.0]]
    assert unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6, 0.8], [0.0, 0.0]]


def test_a_text_is_what_it_is_alone(encoder):
    """Between [CLS] and [SEP], whatever stands beside it in the batch."""
    loaded = minigpt.load(encoder)
    special = loaded.tokenizer.special_tokens
    together = loaded.embed(TEXTS, batch_size=3)
    assert together.shape == (4, 6) and together.dtype == np.float32
    for text, vector in zip(TEXTS, together, strict=True):
        ids = [special["[CLS]"], *loaded.tokenizer.encode(text), special["[SEP]"]]
        assert np.allclose(vector, loaded.hidden_states([ids])[0].mean(axis=0), atol=1e-6)
    assert np.allclose(np.linalg.norm(loaded.embed(TEXTS, normalize=True), axis=1), 1, atol=1e-6)
    assert loaded.embed([]).shape == (0, 6)


def test_a_causal_model_reads_the_text_alone(causal):
    loaded = minigpt.load(causal)
    assert np.allclose(loaded.embed(["abc"])[0], loaded.hidden_states([[97, 98, 99]])[0].mean(axis=0), atol=1e-6)


def test_texts_that_are_too_long(encoder):
    """Cut, the special tokens stay; the text's end goes."""
    loaded = minigpt.load(encoder)
    long = "a cat sat on the mat and the dog"
    ids = loaded.tokenizer.encode(long)
    assert len(ids) > 7
    assert f"text 2 has {len(ids) + 2} tokens, but the model's context is 9" in said(loaded.embed, ["a", long])
    special = loaded.tokenizer.special_tokens
    cut = [special["[CLS]"], *ids[:7], special["[SEP]"]]
    expected = loaded.hidden_states([cut])[0].mean(axis=0)
    assert np.allclose(loaded.embed([long], truncate=True)[0], expected, atol=1e-6)


def test_mistakes_are_named(encoder, causal):
    loaded = minigpt.load(encoder)
    assert said(loaded.embed, "a text") == "embed takes a list of texts, even of one"
    assert said(loaded.embed, ["a", 3]) == "embed takes texts, but number 2 is of the type int"
    assert said(loaded.embed, ["a"], pooling="last") == "pooling is 'last'; choose from mean, cls, max"
    assert "layer is 3, but the model has 2: choose from 0 to 2" in said(loaded.embed, ["a"], layer=3)
    assert "layer is -4" in said(loaded.hidden_states, [[1]], layer=-4)
    assert "10 tokens do not fit the model's context of 9" in said(loaded.hidden_states, [[1] * 10])
    assert said(minigpt.load(causal).embed, [""]) == "text 1 gives no tokens, and so no states to make a vector of"
    assert "this model has no tokenizer" in said(minigpt.load(causal, tokenizer=False).embed, ["a"])


def test_what_needs_a_head_says_so(encoder, tmp_path, capsys):
    assert main(["sample", str(encoder), "--prompt", "a [MASK]"]) == 2
    said = capsys.readouterr().err
    assert "this BERT is an encoder without the heads" in said and said.count("\n") == 1


def test_a_run_of_it(encoder, tmp_path, capsys):
    """It becomes a run, which says what it is good for and gives the same vectors."""
    assert main(["convert", str(encoder), str(tmp_path / "run")]) == 0
    assert f"turn texts into vectors: minigpt embed {tmp_path / 'run'} TEXT" in capsys.readouterr().out
    assert np.array_equal(minigpt.load(tmp_path / "run").embed(TEXTS), minigpt.load(encoder).embed(TEXTS))


def test_the_command(encoder, tmp_path, capsys):
    expected = minigpt.load(encoder).embed(TEXTS, pooling="max", normalize=True)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS[1:]) + "\n")
    words = ["embed", str(encoder), TEXTS[0], "--file", str(tmp_path / "texts.txt"), "--pooling", "max", "--normalize"]
    assert main([*words, "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["texts"], out["width"]) == (4, 6) and np.allclose(out["vectors"], expected, atol=1e-6)
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert np.allclose([[float(x) for x in line.split()] for line in lines], expected, atol=1e-5)
    target = tmp_path / "vectors.npy"
    assert main([*words, "--out", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: 4 vectors of width 6\n"
    assert np.array_equal(np.load(target), expected)
    for arguments, sentence in [
        ([*words, "--out", str(target)], "exists already"),
        ([*words, "--out", "vectors.txt"], "must be the name of a .npy file"),
        (["embed", str(encoder)], "there is no text"),
        ([*words, "--layer", "7"], "layer is 7"),
    ]:
        assert main(arguments) == 2
        shown = capsys.readouterr()
        assert sentence in shown.err and shown.err.count("\n") == 1 and not shown.out
