"""GPT's heads: what they read, how the auxiliary loss is normalised; shards agree, planted bugs are caught."""

import math

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.data.batch import Batch
from minigpt.lab.gradcheck.cases import MODEL_CASES
from minigpt.lab.testing import random_parameters
from minigpt.models.causal_heads import CausalHead, ExtractBatch
from minigpt.models.gpt import GPT, GPTConfig
from minigpt.ops import IGNORE
from minigpt.train.stepper import stepping

V, T = 11, 9


def head(scores=3, dropout=0.0, context=12, **settings):
    body = GPT(GPTConfig(vocab_size=V, context=context, layers=2, heads=2, width=8, dropout=dropout))
    return CausalHead(body, scores, **settings)


def batch(examples=4, sequences=1, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, V, (examples, sequences, T))
    ends = rng.integers(1, T, (examples, sequences))
    targets = np.roll(inputs, -1, axis=2)
    targets[np.arange(T) >= ends[..., None]] = IGNORE
    return ExtractBatch(inputs, ends, rng.integers(0, labels, examples), targets)


def log_softmax(z):
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def test_l3_is_l2_plus_lambda_times_the_mean_over_sequences_of_their_means():
    model, data = head(auxiliary=0.5), batch()
    params = random_parameters(model)
    loss, cache = model.forward(params, data)
    l1, l2 = [], []
    for example in range(4):
        ids, end = data.inputs[example], data.ends[example, 0]
        state = model.body.body_forward(params, ids, Run())[0][0, end]
        l2.append(-log_softmax(state @ params["head.weight"] + params["head.bias"])[data.labels[example]])
        scores = log_softmax(model.body.logits(params, ids))[0]
        l1.append(np.mean([-scores[t, ids[0, t + 1]] for t in range(end)]))  # tokens 2 … n, with the extract token
    assert loss == pytest.approx(np.mean(l2) + 0.5 * np.mean(l1), rel=1e-12)
    value, count = model.measures(cache)["lm_loss"]
    assert value / count == pytest.approx(np.mean(l1)) and count == 4
    alone, _ = model.forward(params, data._replace(targets=None))
    assert alone == pytest.approx(np.mean(l2), rel=1e-12)
    assert head(auxiliary=0.0).forward(params, data)[0] == pytest.approx(np.mean(l2), rel=1e-12)


def test_fresh_heads_hesitate_between_all_labels():
    for model, data in ((head(5), batch(labels=5)), (head(1, choice=True), batch(sequences=4, labels=4))):
        classes = 5 if model.scores == 5 else 4
        loss, _ = model.forward(model.init(0, "float64"), data._replace(targets=None))
        assert loss == pytest.approx(math.log(classes), abs=0.1)
        assert not model.init(0)["head.bias"].any()


def test_both_orders_give_the_same_scores():
    """The states of the two sequences are added, so it does not matter which comes first."""
    model, data = head(2), batch(sequences=2, labels=2)
    params = random_parameters(model)
    scores = model.forward(params, data)[1].labels.scores
    turned = data._replace(inputs=data.inputs[:, ::-1], ends=data.ends[:, ::-1], targets=data.targets[:, ::-1])
    np.testing.assert_allclose(model.forward(params, turned)[1].labels.scores, scores, rtol=1e-9)


def test_padding_does_not_matter():
    model, data = head(auxiliary=0.5), batch()
    params = random_parameters(model)
    loss, _ = model.forward(params, data)
    parts = ((data.inputs, 7), (data.targets, IGNORE))
    wider = [np.concatenate([x, np.full((4, 1, 3), fill)], axis=2) for x, fill in parts]
    assert model.forward(params, data._replace(inputs=wider[0], targets=wider[1]))[0] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("choice", [False, True])
def test_shards_agree(choice):
    """Dropout in body and head, several sequences for each example: 1, 2 and 4 shards give the same gradient."""
    body = GPT(GPTConfig(vocab_size=V, context=12, layers=2, heads=2, width=8, dropout=0.3))
    model = CausalHead(body, 1 if choice else 3, choice=choice, auxiliary=0.5, dropout=0.4)
    params, data, found = random_parameters(model), batch(8, 3), []
    for workers in (1, 2, 4):
        with stepping(model, params, workers=workers, operations=fast) as stepper:
            loss, grads = stepper.loss_and_grads([data, batch(6, 3, seed=1)], seed=1, step=2)
            found.append((loss, grads.flat.copy()))
    for loss, flat in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-12)
        np.testing.assert_allclose(flat, found[0][1], rtol=1e-9, atol=1e-12)


def test_one_dropout_mask_for_all_sequences_of_an_example():
    model = head(1, choice=True, dropout=0.0)
    model.dropout = 0.5
    data = batch(3, 2, labels=2)
    same = data._replace(inputs=np.repeat(data.inputs[:, :1], 2, axis=1), ends=np.repeat(data.ends[:, :1], 2, axis=1))
    scores = model.forward(random_parameters(model), same, Run(train=True))[1].labels.scores
    np.testing.assert_allclose(scores[:, 0], scores[:, 1], rtol=1e-9)
    assert len(set(scores[:, 0].round(9))) == 3


def test_it_writes_as_its_body_does():
    model = head()
    params, ids = random_parameters(model), np.array([[1, 2, 3]])
    np.testing.assert_array_equal(model.logits(params, ids), model.body.logits(params, ids))
    scores, _ = model.step(params, ids, model.start(params, Batch(ids, ids), 5))
    np.testing.assert_allclose(scores, model.logits(params, ids)[:, -1], rtol=1e-9)


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match="a text has 9 tokens, but the model's context is 8"):
        head(context=8).forward(random_parameters(head(context=8)), batch())
    with pytest.raises(UserError, match="there is 1 option to choose from"):
        head(1, choice=True).forward(random_parameters(head(1)), batch())


def is_caught(name):
    """Whether the gradient check finds a wrong gradient; it looks no further than the first."""
    return any(not check.passed for check in MODEL_CASES[name]().checks())


def plant(monkeypatch, wrong):
    right = CausalHead.head_backward
    monkeypatch.setattr(CausalHead, "head_backward", lambda *args: wrong(right(*args), args))


def test_a_gradient_at_the_wrong_token_is_caught(monkeypatch):
    right = CausalHead.head_forward

    def wrong(self, params, x, data, run):
        scores, cache = right(self, params, x, data, run)
        rows, ends = cache.ends
        return scores, cache._replace(ends=(rows, np.maximum(ends - 1, 0)))

    monkeypatch.setattr(CausalHead, "head_forward", wrong)
    assert is_caught("gpt-classes")


def test_options_that_are_mixed_across_examples_are_caught(monkeypatch):
    plant(monkeypatch, lambda dh, args: dh.reshape(2, 2, -1).swapaxes(0, 1).reshape(4, -1))
    assert is_caught("gpt2-choice")


def test_a_sum_whose_parts_share_the_gradient_is_caught(monkeypatch):
    plant(monkeypatch, lambda dh, args: dh / 2)
    assert is_caught("gpt2-both-orders")


def test_a_mask_that_the_backward_pass_forgets_is_caught(monkeypatch):
    plant(monkeypatch, lambda dh, args: dh / np.where(args[3].mask == 0, 1, args[3].mask).repeat(2, axis=0))
    assert is_caught("gpt2-choice")


def test_an_auxiliary_loss_over_all_tokens_is_not_the_mean_of_means():
    """Long sequences would count for more: another number, which the formula's test would not accept."""
    model, data = head(auxiliary=1.0), batch()
    params = random_parameters(model)
    loss, _ = model.forward(params, data)
    alone, _ = model.forward(params, data._replace(targets=None))
    logits = model.body.logits(params, data.inputs.reshape(-1, T))
    flat, _ = ops.cross_entropy_forward(logits, data.targets.reshape(-1, T))
    assert abs(loss - alone - flat) > 1e-3
