"""The encoder–decoders as a whole: what depends on what, writing step by step, and what is never trained."""

import dataclasses
import math

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.data.seq2seq import Seq2SeqBatch, seq2seq_batch
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import (
    BART,
    BARTClassifier,
    BARTConfig,
    BARTQuestionAnswering,
    Transformer,
    TransformerConfig,
)
from minigpt.ops import IGNORE, sinusoid_table
from minigpt.train.optimizer import AdamW, OptimizerConfig
from minigpt.train.stepper import stepping

SHAPE = {"vocab_size": 11, "context": 9, "encoder_layers": 2, "decoder_layers": 3, "heads": 2, "width": 8}


def small(family, **changed):
    model, config = {"transformer": (Transformer, TransformerConfig), "bart": (BART, BARTConfig)}[family]
    return model(config(**(SHAPE | changed)))


def random_batch(rows=4, source=7, target=6, seed=0):
    rng = np.random.default_rng(seed)
    sources = [rng.integers(3, 11, size=max(2, source - 2 * i)) for i in range(rows)]
    targets = [rng.integers(3, 11, size=target - i % 3) for i in range(rows)]
    return seq2seq_batch(sources, targets, pad=1, start=2)


families = pytest.mark.parametrize("family", ["transformer", "bart"])
implementations = pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])


@families
@implementations
@pytest.mark.parametrize("chunks", [[1] * 6, [4, 2], [1, 3, 2]])
def test_writing_step_by_step_gives_the_scores_of_the_whole(family, implementation, chunks):
    model, batch, run = small(family), random_batch(), Run(ops=implementation)
    params = random_parameters(model)
    whole, end = model.logits(params, batch, run), 0
    state = model.start(params, batch, 6, run)
    for size in chunks:
        end += size
        logits, state = model.step(params, batch.inputs[:, end - size : end], state)
        np.testing.assert_allclose(logits, whole[:, end - 1], rtol=1e-11, atol=1e-11)
    with pytest.raises(ValueError, match="made for 6 tokens, not for 7"):
        model.step(params, batch.inputs[:, :1], state)


@families
def test_texts_may_be_exchanged_between_steps(family):
    model, batch = small(family), random_batch()
    params = random_parameters(model)
    rows = np.array([2, 0, 0, 1, 3, 2])
    state = model.start(params, batch, 9)
    _, state = model.step(params, batch.inputs[:, :3], state)
    state = state.reorder(rows)
    logits, state = model.step(params, batch.inputs[rows, 3:4], state)
    np.testing.assert_allclose(logits, model.logits(params, batch)[rows, 3], rtol=1e-11, atol=1e-11)
    memory = state.memory
    within = np.array([5, 1, 1, 3, 4, 0])  # every text is still about the same source row
    state = state.reorder(within)
    assert state.memory is memory
    logits, _ = model.step(params, batch.inputs[rows[within], 4:5], state)
    np.testing.assert_allclose(logits, model.logits(params, batch)[rows[within], 4], rtol=1e-11, atol=1e-11)


@families
def test_what_the_scores_depend_on(family):
    model, batch = small(family), random_batch()
    params = random_parameters(model)
    before = model.logits(params, batch)
    later = batch.inputs.copy()
    later[:, 4:] = (later[:, 4:] + 1) % 11
    after = model.logits(params, batch._replace(inputs=later))
    np.testing.assert_array_equal(after[:, :4], before[:, :4])  # not on later target tokens
    assert (after[:, 4:] != before[:, 4:]).any()
    padding = np.where(batch.source_padding, batch.source, 9)
    np.testing.assert_array_equal(model.logits(params, batch._replace(source=padding)), before)  # not on padding
    last = batch.source.copy()
    last[0, -1] = (last[0, -1] + 1) % 11
    after = model.logits(params, batch._replace(source=last))
    assert (after[0] != before[0]).all(axis=-1).all()  # every target token, on every source token of its row
    np.testing.assert_array_equal(after[1:], before[1:])


@families
def test_a_longer_text_than_the_context_is_refused(family):
    model, long = small(family), np.full((1, 10), 3)
    short = np.full((1, 4), 3)
    for source, inputs in ((long, short), (short, long)):
        with pytest.raises(ValueError, match="do not fit the model's context"):
            model.logits(model.init(), Seq2SeqBatch(source, inputs))


@families
def test_the_first_loss_is_that_of_guessing(family):
    model, batch = small(family, vocab_size=50, width=64, dropout=0.0), random_batch()
    loss, _ = model.forward(model.init(seed=1), batch)
    assert loss == pytest.approx(math.log(50), rel=0.05 if family == "bart" else 0.35)


@families
@implementations
def test_labels_are_smoothed_in_training_only(family, implementation):
    rates = {"dropout": 0.0, "attention_dropout": 0.0}
    model, batch = small(family, label_smoothing=0.1, **rates), random_batch()
    params = random_parameters(model)
    z = model.logits(params, batch)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    true, smoothed = [], []
    for row, targets in zip(log_p, batch.targets, strict=True):
        for scores, target in zip(row, targets, strict=True):
            if target != IGNORE:
                true.append(-scores[target])
                smoothed.append(-0.9 * scores[target] - 0.1 / 10 * np.delete(scores, target).sum())
    assert model.forward(params, batch, Run(ops=implementation))[0] == pytest.approx(np.mean(true), rel=1e-12)
    loss = model.forward(params, batch, Run(train=True, ops=implementation))[0]
    assert loss == pytest.approx(np.mean(smoothed), rel=1e-12)


def test_embeddings_and_positions_of_the_first_transformer():
    model = small("transformer", positions="halves")
    params = random_parameters(model)
    x, _ = model.embed_forward(params, "encoder", np.array([[4, 7]]), Run(), start=3)
    expected = params["tokens"][[4, 7]] * math.sqrt(8) + sinusoid_table(9, 8, layout="halves")[3:5]
    np.testing.assert_allclose(x[0], expected, rtol=1e-15)
    assert not any("positions" in name for name in params)
    start = model.init(seed=2)
    large = Transformer(dataclasses.replace(model.config, vocab_size=500, width=128, feed_forward=512)).init()
    assert large["tokens"].std() == pytest.approx(1 / math.sqrt(128), rel=0.02)
    assert large["encoder.blocks.0.attention.qkv.weight"].std() == pytest.approx(math.sqrt(1 / 128), rel=0.02)
    assert large["decoder.blocks.0.cross.kv.weight"].std() == pytest.approx(math.sqrt(1 / 128), rel=0.02)
    assert large["decoder.blocks.0.mlp.up.weight"].std() == pytest.approx(math.sqrt(2 / (5 * 128)), rel=0.02)
    assert "encoder.blocks.0.attention.qkv.bias" not in start and "encoder.blocks.0.mlp.up.bias" in start


def test_barts_first_token_has_the_third_position():
    model = small("bart")
    params = random_parameters(model)
    x, _ = model.embed_forward(params, "decoder", np.array([[4]]), Run())
    total = params["tokens"][4] + params["decoder.positions"][2]
    normal = (total - total.mean()) / np.sqrt(total.var() + 1e-5)
    np.testing.assert_allclose(x[0, 0], normal * params["decoder.norm.gain"] + params["decoder.norm.bias"], rtol=1e-12)
    _, cache = model.forward(params, random_batch())
    grads = params.zeros_like()
    model.backward(params, grads, cache)
    assert (grads["encoder.positions"][:2] == 0).all() and (grads["encoder.positions"][2:9] != 0).any(axis=1).all()


@pytest.mark.parametrize("variant", ["adamw", "openai", "bert", "fairseq"])
def test_the_bias_of_the_logits_is_a_constant(variant):
    model, batch = small("bart"), random_batch()
    params = random_parameters(model)
    assert model.specs[-1].name == "final_logits_bias" and params.trained == params.flat.size - 11
    assert model.parameter_count == params.trained
    z = model.logits(params, batch)
    bias, others = params["final_logits_bias"].copy(), params.flat[: params.trained].copy()
    _, cache = model.forward(params, batch)
    grads = params.zeros_like()
    model.backward(params, grads, cache)
    assert (grads["final_logits_bias"] == 0).all()
    AdamW(params, OptimizerConfig(variant=variant, weight_decay=0.1)).step(params, grads, 1e-2)
    np.testing.assert_array_equal(params["final_logits_bias"], bias)
    assert (params.flat[: params.trained] != others).mean() > 0.9
    params.flat[: params.trained] = others
    params["final_logits_bias"][...] = 0.0
    np.testing.assert_allclose(model.logits(params, batch), z - bias, rtol=1e-12, atol=1e-12)


def test_the_class_is_read_off_the_last_token():
    model = BARTClassifier(BARTConfig(**SHAPE), classes=3)
    params, batch = random_parameters(model), random_batch()
    inputs = np.concatenate([np.full((4, 1), 2), batch.source[:, :-1]], axis=1)
    batch = batch._replace(inputs=inputs, targets=None, labels=np.array([0, 2, 1, IGNORE]))
    before = model.logits(params, batch)
    assert before.shape == (4, 3)
    states, _ = model.body_forward(params, batch, Run())
    last = batch.source_padding.sum(axis=1) - 1
    for row in range(4):
        h = np.tanh(states[row, last[row]] @ params["head.dense.weight"] + params["head.dense.bias"])
        np.testing.assert_allclose(before[row], h @ params["head.out.weight"] + params["head.out.bias"], rtol=1e-12)
    assert batch.counts() == {"examples": 3}
    halves = [model.forward(params, part, Run(denominators={"examples": 3}))[0] for _, part in batch.split(2)]
    assert sum(halves) == pytest.approx(model.forward(params, batch)[0], rel=1e-12)


def test_the_span_is_the_mean_of_start_and_end():
    model = BARTQuestionAnswering(BARTConfig(**SHAPE))
    params, batch = random_parameters(model), random_batch()
    batch = batch._replace(inputs=batch.source, targets=None, spans=np.array([[0, 3], [1, 1], [2, 4], [0, 0]]))
    z = model.logits(params, batch)
    assert z.shape == (4, 2, 7)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    start = -np.mean([log_p[i, 0, a] for i, (a, _) in enumerate(batch.spans)])
    end = -np.mean([log_p[i, 1, b] for i, (_, b) in enumerate(batch.spans)])
    assert model.forward(params, batch)[0] == pytest.approx((start + end) / 2, rel=1e-12)


@families
@implementations
def test_accuracy_counts_the_largest_scores(family, implementation):
    model, batch = small(family), random_batch()
    params = random_parameters(model)
    _, cache = model.forward(params, batch, Run(ops=implementation))
    best = model.logits(params, batch).argmax(axis=-1)
    valid = batch.targets != IGNORE
    assert model.measures(cache) == {"accuracy": ((best == batch.targets)[valid].sum(), valid.sum())}
    batch = batch._replace(targets=np.where(valid, best, IGNORE))
    _, cache = model.forward(params, batch)
    assert model.measures(cache) == {"accuracy": (valid.sum(), valid.sum())}


@families
@implementations
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_shards_agree(family, implementation, dropout):
    """One, two and four shards give the same loss, gradient and measures: the same drops, the global mean."""
    rates = dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), dropout)
    model, batch = small(family, **rates), random_batch(rows=5)
    params, results = random_parameters(model), []
    for workers in (1, 2, 4):
        measures = {}
        with stepping(model, params, workers=workers, operations=implementation) as stepper:
            loss, grads = stepper.loss_and_grads([batch], seed=1, step=2, measures=measures)
            results.append((loss, grads.flat.copy(), measures))
    for loss, grads, measures in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-12) and measures == results[0][2]
        np.testing.assert_allclose(grads, results[0][1], rtol=1e-9, atol=1e-11)


@families
@implementations
def test_single_precision_stays_single(family, implementation):
    model, batch = small(family, activation_dropout=0.1), random_batch()
    params = random_parameters(model).astype("float32")
    run = Run(train=True, ops=implementation)
    _, cache = model.forward(params, batch, run)
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)

    def dtypes(x):
        if isinstance(x, np.ndarray):
            return {x.dtype.name}
        return set().union(*map(dtypes, x)) if isinstance(x, (tuple, list)) and x else set()

    assert "float64" not in dtypes(cache) and grads.flat.dtype == np.float32
    logits, state = model.step(params, batch.inputs[:, :1], model.start(params, batch, 4, run))
    assert logits.dtype == state.own.keys[0].dtype == np.float32


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"heads": 3}, "model.width 8 is not a multiple of model.heads 3"),
        ({"decoder_layers": 0}, "model.decoder_layers is 0; it must be at least 1"),
        ({"activation": "swiglu"}, "model.activation is 'swiglu'; choose from relu"),
        ({"activation_dropout": 1.0}, "model.activation_dropout is 1.0"),
        ({"vocab_size": 0}, "model.vocab_size is 0"),
        ({"vocab_size": -1}, "model.vocab_size is -1"),
        ({"norm_eps": 0.0}, "model.norm_eps is 0.0"),
    ],
)
@families
def test_impossible_shapes_are_refused(family, changed, message):
    with pytest.raises(UserError, match=message):
        small(family, **changed)
    with pytest.raises(UserError, match=r'choose "interleaved" or "halves"'):
        small("transformer", positions="learned")
