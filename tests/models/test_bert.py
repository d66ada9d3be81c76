"""BERT as a whole: sizes, initial weights, shards, what a state may depend on, and the heads."""

import dataclasses
import math

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.core.params import transfer
from minigpt.data.bert_batch import BertBatch
from minigpt.lab.gradcheck.bert import BERT_CASES
from minigpt.lab.gradcheck.cases import MODEL_CASES
from minigpt.lab.testing import random_parameters
from minigpt.models.bert import Bert, BertConfig
from minigpt.models.bert_body import counted_positions
from minigpt.models.bert_heads import BertClassifier, BertMultipleChoice, BertSpans, ClassificationBatch
from minigpt.ops import IGNORE
from minigpt.train.optimizer import AdamW, OptimizerConfig
from minigpt.train.stepper import stepping


def small(cls=Bert, *args, **changed):
    shape = {"vocab_size": 11, "context": 8, "layers": 2, "heads": 2, "width": 8, "dropout": 0.0}
    return cls(BertConfig(**shape | {"attention_dropout": 0.0} | changed), *args)


def random_batch(rows=5, length=8, vocab=11, seed=0, padded=True):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, vocab, (rows, 3))
    targets[1, 1:] = IGNORE  # uneven counts, so that a mean of shard means would be wrong
    lengths = rng.integers(4, length + 1, rows)
    return BertBatch(
        rng.integers(0, vocab, (rows, length)),
        rng.integers(0, 2, (rows, length)),
        np.array([rng.permutation(4)[:3] for _ in range(rows)]),
        targets,
        rng.integers(0, 2, rows),
        np.arange(length) < lengths[:, None] if padded else None,
    )


BASE, LARGE = {"layers": 12, "heads": 12, "width": 768}, {"layers": 24, "heads": 16, "width": 1024}


@pytest.mark.parametrize(
    "shape, vocab, with_heads, body",
    [
        (BASE, 30522, 110_106_428, 109_482_240),
        (LARGE, 30522, 336_226_108, 335_141_888),
        (BASE, 28996, None, 108_310_272),
        (LARGE, 28996, None, 333_579_264),
    ],
)
def test_published_sizes(shape, vocab, with_heads, body):
    model = Bert(BertConfig(vocab_size=vocab, context=512, **shape))
    assert with_heads is None or model.parameter_count == with_heads
    assert sum(s.size for s in model.specs if not s.name.startswith(("masked.", "pairs."))) == body


def test_initial_weights_are_truncated_normal():
    c = BertConfig(vocab_size=500, context=64, layers=2, heads=2, width=64)
    params = Bert(c).init(seed=3)
    truncated_std = 0.02 * math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))
    for name in ("tokens", "token_types", "blocks.1.mlp.down.weight", "pooler.weight", "pairs.weight"):
        assert np.abs(params[name]).max() <= 0.04
        assert params[name].size < 1000 or params[name].std() == pytest.approx(truncated_std, rel=0.05)
    assert (params["blocks.0.norm1.gain"] == 1).all() and (params["masked.bias"] == 0).all()
    plain = Bert(dataclasses.replace(c, truncated_init=False)).init(seed=3)["tokens"]
    assert np.abs(plain).max() > 0.04 and plain.std() == pytest.approx(0.02, rel=0.02)
    near = np.abs(plain) <= 0.04
    assert np.array_equal(plain[near], params["tokens"][near])  # only what was too far is drawn again


def test_the_first_loss_is_that_of_guessing():
    batch = random_batch(20, vocab=50)
    loss, _ = (model := small(vocab_size=50, width=32)).forward(model.init(seed=1), batch)
    assert loss == pytest.approx(math.log(50) + math.log(2), rel=0.02)
    loss, _ = (model := small(vocab_size=50, width=32, pairs=False)).forward(
        model.init(seed=1), batch._replace(labels=None)
    )
    assert loss == pytest.approx(math.log(50), rel=0.02)


def test_every_token_sees_every_real_one_and_none_sees_padding():
    model, batch = small(), random_batch()
    params = random_parameters(model)

    def logits(ids):
        return model.logits(params, ids, key_padding=batch.key_padding, token_types=batch.token_types)

    before, real = logits(batch.inputs), batch.key_padding
    hidden = np.where(real, batch.inputs, (batch.inputs + 1) % 11)
    np.testing.assert_array_equal(logits(hidden)[real], before[real])
    changed = batch.inputs.copy()
    changed[:, 3] = (changed[:, 3] + 1) % 11
    assert (logits(changed) != before)[real].any(axis=-1).all()  # before it and behind it


def test_padding_changes_nothing():
    model, batch = small(), random_batch(length=5, padded=False)
    params = random_parameters(model)
    wide = batch._replace(
        inputs=np.pad(batch.inputs, ((0, 0), (0, 3))),
        token_types=np.pad(batch.token_types, ((0, 0), (0, 3))),
        key_padding=np.arange(8) < np.full((5, 1), 5),
    )
    grads = [params.zeros_like() for _ in range(2)]
    losses = []
    for b, g in zip((batch, wide), grads, strict=True):
        loss, cache = model.forward(params, b)
        model.backward(params, g, cache)
        losses.append(loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-13)
    np.testing.assert_allclose(grads[0].flat, grads[1].flat, rtol=1e-9, atol=1e-12)


def test_places_are_rows_of_the_whole():
    """The head at some places gives what it gives there when it is applied everywhere."""
    model, batch = small(), random_batch()
    params = random_parameters(model)
    x, _ = model.body_forward(params, batch.inputs, Run(), batch.token_types, batch.key_padding)
    some, _ = model.masked_forward(params, x, batch.places, Run())
    everywhere = model.logits(params, batch.inputs, key_padding=batch.key_padding, token_types=batch.token_types)
    np.testing.assert_allclose(some, np.take_along_axis(everywhere, batch.places[..., None], axis=1), rtol=1e-12)


def test_roberta_counts_its_tokens_from_behind_the_padding():
    """Wherever the padding stands, the first token has the position pad + 1; the states at tokens are the same."""
    ids = np.array([[5, 7, 3, 1, 1], [1, 1, 5, 7, 3]])
    assert counted_positions(ids, 1).tolist() == [[2, 3, 4, 1, 1], [1, 1, 2, 3, 4]] and counted_positions(ids, -1) == 0
    model = small(pairs=False, token_types=1, pad=1)
    params = random_parameters(model)
    assert params["positions"].shape == (10, 8)
    x, _ = model.body_forward(params, ids, Run(), key_padding=ids != 1)
    np.testing.assert_allclose(x[0, :3], x[1, 2:], rtol=1e-12)
    full, _ = model.body_forward(params, np.full((1, 8), 5), Run())  # as many as the context
    assert np.isfinite(full).all()


def test_missing_token_types_are_zeros():
    model, batch = small(), random_batch()
    params = random_parameters(model)
    zeros = np.zeros_like(batch.inputs)
    expected = model.logits(params, batch.inputs, token_types=zeros)
    np.testing.assert_array_equal(model.logits(params, batch.inputs), expected)


CASES = {name: case for name, case in BERT_CASES.items() if name in ("bert-dropout", "bert-choice", "bert-classifier")}


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
@pytest.mark.parametrize("name", CASES)
def test_shards_agree(name, implementation):
    """One, two and three shards give the same loss and gradient: the same drops, each term's global mean."""
    case, results = CASES[name](), []
    for workers in (1, 2, 3):
        with stepping(case.model, case.params, workers=workers, operations=implementation) as stepper:
            loss, grads = stepper.loss_and_grads([case.batch], seed=1, step=2)
            results.append((loss, grads.flat.copy()))
    for loss, grads in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-13)
        np.testing.assert_allclose(grads, results[0][1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", BERT_CASES)
def test_backward_adds_and_scales(name):
    case = MODEL_CASES[name]()
    _, cache = case.model.forward(case.params, case.batch, case.run)
    once, scaled = case.params.zeros_like(), case.params.zeros_like()
    case.model.backward(case.params, once, cache, case.run)
    scaled.flat[...] = 1.0
    case.model.backward(case.params, scaled, cache, case.run, scale=0.5)
    np.testing.assert_allclose(scaled.flat, 1 + 0.5 * once.flat, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
@pytest.mark.parametrize("name", BERT_CASES)
def test_single_precision_stays_single(name, implementation):
    case = BERT_CASES[name]()
    run = dataclasses.replace(case.run, ops=implementation)
    params = case.params.astype("float32")
    _, cache = case.model.forward(params, case.batch, run)
    grads = params.zeros_like()
    case.model.backward(params, grads, cache, run)

    def dtypes(x):
        if isinstance(x, np.ndarray):
            return {x.dtype.name}
        return set().union(*map(dtypes, x)) if isinstance(x, tuple | list) and x else set()

    assert "float64" not in dtypes(cache) and grads.flat.dtype == np.float32


def test_it_learns_one_batch_by_heart():
    model, batch = small(width=16), random_batch(rows=8)
    params = model.init(seed=0, dtype="float64")
    optimizer = AdamW(params, OptimizerConfig(variant="bert", eps=1e-6, weight_decay=0.0))
    for step in range(150):
        loss, cache = model.forward(params, batch)
        grads = params.zeros_like()
        model.backward(params, grads, cache)
        optimizer.step(params, grads, 3e-3 * min(1.0, (step + 1) / 10))
    assert loss < 0.02


def test_a_batch_with_nothing_hidden_has_no_masked_loss():
    model, batch = small(), random_batch()
    params = random_parameters(model)
    nothing = batch._replace(targets=np.full_like(batch.targets, IGNORE), labels=None)
    loss, cache = model.forward(params, nothing)
    grads = params.zeros_like()
    model.backward(params, grads, cache)
    assert loss == 0.0 and not grads.flat.any()


def test_pair_labels_need_pairs():
    model = small(pairs=False)
    assert not [n for n in model.init() if n.startswith(("pooler", "pairs"))]
    with pytest.raises(UserError, match="made without sentence pairs"):
        model.forward(model.init(), random_batch())


def test_spans_have_no_pooler():
    assert "pooler.weight" not in small(BertSpans).init() and "pooler.weight" in small(BertMultipleChoice).init()


def test_choices_stay_together():
    batch = ClassificationBatch(np.arange(24).reshape(4, 3, 2), np.array([0, 2, IGNORE, 1]))
    assert batch.counts() == {"examples": 3}
    parts = batch.split(2)
    assert [row for row, _ in parts] == [0, 2] and parts[1][1].inputs.shape == (2, 3, 2)


def test_a_pretrained_body_goes_under_a_new_head():
    pretrained, model = small(), small(BertClassifier, 3)
    source, target = random_parameters(pretrained), model.init(seed=5, dtype="float64")
    fresh = target["classifier.weight"].copy()
    transfer(source, target, missing=["classifier."], unexpected=["masked.", "pairs."])
    assert np.array_equal(target["classifier.weight"], fresh)
    assert all(np.array_equal(target[n], source[n]) for n in target if not n.startswith("classifier"))


@pytest.mark.parametrize(
    "missing, unexpected, sentence",
    [
        ([], ["masked.", "pairs."], "they lack classifier.weight, classifier.bias"),
        (["classifier."], ["masked."], "they have, though the model does not, pairs.weight, pairs.bias"),
    ],
)
def test_what_does_not_fit_is_named(missing, unexpected, sentence):
    source, target = small().init(), small(BertClassifier, 3).init()
    with pytest.raises(UserError, match=sentence):
        transfer(source, target, missing=missing, unexpected=unexpected)
    with pytest.raises(UserError, match="another shape for tokens"):
        transfer(small(vocab_size=12).init(), small().init())


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"context": 4}, "at least 5"),
        ({"width": 9}, "not a multiple of model.heads"),
        ({"token_types": 1}, "sentence pairs need 2"),
        ({"activation": "swiglu"}, "choose from relu"),
        ({"attention_dropout": 1.0}, "model.attention_dropout is 1.0"),
        ({"layers": 0}, "model.layers is 0"),
        ({"norm_eps": 0.0}, "must be positive"),
        ({"vocab_size": 0}, "give the size of the vocabulary"),
    ],
)
def test_impossible_shapes_are_refused(changed, sentence):
    with pytest.raises(UserError, match=sentence):
        small(**changed)


def test_sizes_that_cannot_be_are_refused():
    for name, least in (("vocab_size", 0), ("token_types", 0), ("pad", -1)):
        with pytest.raises(UserError, match=rf"model\.{name} is {least - 1}; it must"):
            BertConfig(**{"pairs": False, name: least - 1})
    assert BertConfig(token_types=1, pairs=False).token_types == 1


@pytest.mark.parametrize("name", ["bert-classifier", "bert-choice"])
def test_scores_of_a_head_are_those_of_its_loss(name):
    """Cross-entropy of what `logits` gives, by its definition, is the loss of a batch."""
    case = BERT_CASES[name]()
    batch, run = case.batch, Run()
    z = case.model.logits(case.params, batch.inputs, run, batch.key_padding, batch.token_types)  # (B, K)
    known = batch.labels != IGNORE
    z, labels = z[known], batch.labels[known]
    expected = np.mean(np.log(np.exp(z).sum(axis=-1)) - z[np.arange(len(z)), labels])
    assert case.model.forward(case.params, batch, run)[0] == pytest.approx(expected, rel=1e-12)
