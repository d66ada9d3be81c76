"""Writing with a KV cache gives what reading the whole text again would give."""

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.data.batch import Batch
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig

SHAPE = {"vocab_size": 11, "context": 12, "layers": 3, "heads": 4, "width": 8}
MODELS = {
    "gpt": GPT(GPTConfig(**SHAPE, norm="post")),
    "gpt2": GPT(GPTConfig(**SHAPE)),
    "gpt3": GPT(GPTConfig(**SHAPE, window=3)),
    "gpt-neo": GPT(GPTConfig(**SHAPE, window=2, window_layers="wf", qkv_bias=False, scaled_scores=False)),
    "mistral": Llama(LlamaConfig(**SHAPE, kv_heads=2, window=3)),
    "qwen2": Llama(LlamaConfig(**SHAPE, window=2, window_layers="fw", attention_bias="qkv")),
    "llama": Llama(LlamaConfig(**SHAPE, kv_heads=2)),
    "llama-interleaved": Llama(LlamaConfig(**SHAPE, kv_heads=1, rope_layout="interleaved", tied=True)),
}


@pytest.fixture(params=MODELS, name="model")
def each_model(request):
    return MODELS[request.param]


@pytest.fixture(params=[ops, fast], ids=["plain", "fast"], name="run")
def each_implementation(request):
    return Run(ops=request.param)


def padded(lengths, longest, rng):
    """Rows that are padded on the left, and where they are real."""
    ids = rng.integers(0, 11, (len(lengths), longest))
    real = np.arange(longest) >= longest - np.array(lengths)[:, None]
    return np.where(real, ids, 0), real


def whole_text_scores(model, params, run, ids, real):
    """Each row alone, without padding and without a cache."""
    rows = [model.logits(params, row[keep][None], run)[0, -1] for row, keep in zip(ids, real, strict=True)]
    return np.stack(rows)


def test_steps_equal_the_whole_text(model, run):
    rng = np.random.default_rng(0)
    params = random_parameters(model)
    ids, real = padded([5, 2, 4], 5, rng)
    state = model.start(params, Batch(ids, ids, real), 12, run)
    new = ids
    for tokens in (1, 2, 1, 3):  # how many are read at a time
        scores, state = model.step(params, new, state)
        np.testing.assert_allclose(scores, whole_text_scores(model, params, run, ids, real), rtol=1e-10, atol=1e-12)
        new = rng.integers(0, 11, (len(ids), tokens))
        ids = np.concatenate([ids, new], axis=1)
        real = np.concatenate([real, np.ones(new.shape, dtype=bool)], axis=1)
    assert scores.shape == (3, 11) and state.own.length == 9


def test_without_padding_positions_are_column_numbers(model, run):
    ids = np.random.default_rng(1).integers(0, 11, (2, 4))
    params = random_parameters(model)
    state = model.start(params, Batch(ids, ids), 6, run)
    assert state.real is None and state.positions is None
    scores, state = model.step(params, ids, state)
    np.testing.assert_allclose(scores, model.logits(params, ids, run)[:, -1], rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="made for 6 tokens, not for 7"):
        model.step(params, ids[:, :3], state)


def test_reordered_rows_go_on_as_their_own(model, run):
    rng = np.random.default_rng(2)
    params = random_parameters(model)
    ids, real = padded([4, 3, 1], 4, rng)
    _, state = model.step(params, ids, model.start(params, Batch(ids, ids, real), 8, run))
    rows = np.array([2, 0, 0, 1])
    new = rng.integers(0, 11, (4, 1))
    scores, _ = model.step(params, new, state.reorder(rows))
    text = np.concatenate([ids[rows], new], axis=1)
    keep = np.concatenate([real[rows], np.ones((4, 1), dtype=bool)], axis=1)
    np.testing.assert_allclose(scores, whole_text_scores(model, params, run, text, keep), rtol=1e-10, atol=1e-12)


def test_padding_on_the_right_is_refused():
    model = MODELS["gpt2"]
    ids = np.zeros((1, 3), dtype=int)
    with pytest.raises(ValueError, match="padded on the left"):
        model.start(random_parameters(model), Batch(ids, ids, np.array([[True, True, False]])), 5)
