"""The checker is checked: bugs that published hand-written implementations shipped are planted, and must be caught."""

import numpy as np
import pytest

from minigpt import ops
from minigpt.blocks import block
from minigpt.lab.gradcheck.cases import MODEL_CASES, operation_cases
from minigpt.lab.testing import check_gradient, telling_places


def worst_model_error(name="gpt2"):
    checks = list(MODEL_CASES[name]().checks(elements=1))
    assert not all(check.passed for check in checks)
    return max(check.error for check in checks), {check.name for check in checks if not check.passed}


def failing_operations(prefix):
    cases = [case for case in operation_cases() if case.name.startswith(prefix)]
    assert cases
    return {case.name for case in cases if not all(check.passed for check in case.checks())}, {c.name for c in cases}


def test_dk_reshaped_as_if_it_were_transposed(monkeypatch):
    right = ops.attention_backward

    def wrong(dy, cache, *, out=None):
        dq, dk, dv = right(dy, cache)
        b, s, g, d = dk.shape
        dk = dk.transpose(0, 2, 1, 3).reshape(b, s, g, d)  # heads and positions confused
        for target, value in zip(out, (dq, dk, dv), strict=True):
            target[...] = value

    monkeypatch.setattr(ops, "attention_backward", wrong)
    error, where = worst_model_error()
    assert error > 0.05 and "blocks.1.attention.qkv.weight" in where


def test_softmax_backward_divided_by_the_batch(monkeypatch):
    from minigpt.ops import attention

    right = attention.softmax_backward
    monkeypatch.setattr(attention, "softmax_backward", lambda dy, cache, **k: right(dy, cache, **k) / 2)
    assert worst_model_error()[0] > 0.05


def test_layernorm_backward_that_forgets_the_gain(monkeypatch):
    right = ops.layernorm_backward

    def wrong(dy, cache, dgain, dbias=None, *, out=None):
        return right(dy, cache._replace(gain=np.ones_like(cache.gain)), dgain, dbias, out=out)

    monkeypatch.setattr(ops, "layernorm_backward", wrong)
    assert worst_model_error()[0] > 0.05
    failing, every = failing_operations("layernorm")
    assert failing == every - {"layernorm-1"}  # one feature: its gradient is zero whatever the gain


def test_tied_output_gradient_dropped(monkeypatch):
    right = ops.linear_backward

    def wrong(dy, cache, dweight, dbias=None, **options):
        tied = dweight.base is not None and not dweight.flags["C_CONTIGUOUS"]
        return right(dy, cache, np.zeros_like(dweight) if tied else dweight, dbias, **options)

    monkeypatch.setattr(ops, "linear_backward", wrong)
    assert worst_model_error()[1] == {"tokens"}


def test_embedding_gradient_keeps_one_of_several_occurrences(monkeypatch):
    def wrong(dy, cache, dtable):
        dtable[cache.ids.reshape(-1)] += dy.reshape(-1, dy.shape[-1])

    monkeypatch.setattr(ops, "embedding_backward", wrong)
    assert worst_model_error()[1] == {"tokens"}
    failing, every = failing_operations("embedding")
    assert failing == every


def test_dropout_backward_multiplies_by_the_output(monkeypatch):
    right = ops.dropout_forward

    def wrong(x, rate, key, *, out=None):
        y, cache = right(x, rate, key, out=out)
        return y, cache if cache.multiplier is None else cache._replace(multiplier=y)

    monkeypatch.setattr(ops, "dropout_forward", wrong)
    assert worst_model_error("gpt2-dropout")[0] > 0.05
    assert failing_operations("dropout")[0] == {"dropout"}


def test_a_scale_that_is_off_by_eleven_percent(monkeypatch):
    right = ops.linear_backward

    def wrong(dy, cache, dweight, dbias=None, **options):
        return right(1.11 * dy, cache, dweight, dbias, **options)

    monkeypatch.setattr(ops, "linear_backward", wrong)
    assert worst_model_error()[0] > 0.05
    failing, every = failing_operations("linear")
    assert failing == every


@pytest.mark.parametrize("relative", [1e-5, 1e-6])
def test_even_a_tiny_error_is_seen(monkeypatch, relative):
    right = ops.gelu_tanh_backward
    pair = (ops.gelu_tanh_forward, lambda dy, cache, **k: right(dy, cache, **k) * (1 + relative))
    monkeypatch.setitem(ops.ACTIVATIONS, "gelu_tanh", pair)
    assert failing_operations("gelu_tanh")[0] == {"gelu_tanh"}


def test_rotary_gradient_turned_on_instead_of_back(monkeypatch):
    right = ops.rope.rope_backward

    def wrong(dy, cache, *, out=None):
        return right(dy, cache._replace(sin=-cache.sin), out=out)

    monkeypatch.setattr(ops, "rope_backward", wrong)
    error, where = worst_model_error("llama")
    assert error > 0.05 and "blocks.1.attention.qkv.weight" in where
    failing, every = failing_operations("rope")
    assert failing == every


def test_rmsnorm_backward_that_forgets_its_share_of_the_root(monkeypatch):
    def wrong(dy, cache, dgain, *, out=None):
        dgain += (dy * cache.normalized).reshape(-1, dy.shape[-1]).sum(axis=0)
        return dy * cache.gain * cache.inverse_rms

    monkeypatch.setattr(ops, "rmsnorm_backward", wrong)
    assert worst_model_error("llama")[0] > 0.05
    failing, every = failing_operations("rmsnorm")
    assert failing == every


def test_swiglu_gate_and_up_exchanged(monkeypatch):
    right = ops.swiglu_backward

    def wrong(dy, cache, *, out=None):
        dx = right(dy, cache)
        half = dx.shape[-1] // 2
        return np.concatenate([dx[..., half:], dx[..., :half]], axis=-1)

    monkeypatch.setitem(ops.ACTIVATIONS, "swiglu", (ops.swiglu_forward, wrong))
    assert worst_model_error("llama")[0] > 0.05
    assert failing_operations("swiglu")[0] == {"swiglu"}


def test_memory_gradient_of_one_decoder_layer_only(monkeypatch):
    """Every decoder layer adds into the gradient of the encoder's output; here the next one overwrites it."""
    right = block.cross_attention_backward

    class Overwritten(np.ndarray):
        def __iadd__(self, other):
            self[...] = other
            return self

    monkeypatch.setattr(
        block, "cross_attention_backward", lambda *arguments: right(*arguments[:-1], arguments[-1].view(Overwritten))
    )
    error, where = worst_model_error("transformer")
    assert error > 0.05 and "encoder.blocks.0.attention.qkv.weight" in where
    assert all(name.startswith("encoder.") or name == "tokens" for name in where)


def test_pooler_gradient_in_place_of_that_of_the_masked_head(monkeypatch):
    from minigpt.models.bert_body import BertBody

    right = BertBody.pooler_backward

    def wrong(self, dh, dx, grads, cache, run):
        dx[...] = 0  # the first token's state feeds both heads, and every other one the masked head
        right(self, dh, dx, grads, cache, run)

    monkeypatch.setattr(BertBody, "pooler_backward", wrong)
    error, where = worst_model_error("bert")
    assert error > 0.05 and "tokens" in where and not any(name.startswith(("pairs", "masked")) for name in where)


def test_masked_head_s_tied_gradient_dropped(monkeypatch):
    right = ops.linear_backward

    def wrong(dy, cache, dweight, dbias=None, **options):
        tied = dweight.base is not None and not dweight.flags["C_CONTIGUOUS"]
        return right(dy, cache, np.zeros_like(dweight) if tied else dweight, dbias, **options)

    monkeypatch.setattr(ops, "linear_backward", wrong)
    assert worst_model_error("bert")[1] == {"tokens"}


def test_a_few_elements_are_compared_and_a_mistake_in_any_other_shows_along_the_direction():
    """Each element of a parameter in turn is off by a thousandth of the largest, at one of the six places or not."""
    case = MODEL_CASES["gpt2-no-bias"]()
    name = "blocks.0.mlp.up.weight"
    _, cache = case.model.forward(case.params, case.batch, case.run)
    grads = case.params.zeros_like()
    case.model.backward(case.params, grads, cache, case.run)
    right, x = grads[name].copy(), case.params[name].copy()
    places = telling_places(right, 6)
    assert len(set(places)) == 6 and np.unravel_index(np.abs(right).argmax(), right.shape) in places

    def linear(gradient):  # a function whose true gradient is `right`: what is looked at is the check, not the model
        return check_gradient(lambda: float((x * right).sum()), x, gradient, elements=6)

    assert linear(right).passed
    for index in np.ndindex(right.shape):
        wrong = right.copy()
        wrong[index] += 1e-3 * np.abs(right).max()
        check = linear(wrong)
        assert not check.passed and (check.error > 1e-7) == (index in places)


def test_a_gradient_that_is_zero_or_not_a_number_does_not_pass():
    x = np.linspace(-1, 1, 40)
    for wrong in (np.zeros(40), np.full(40, np.nan), np.where(x == x[3], np.nan, 2 * x)):
        assert not check_gradient(lambda: float((x * x).sum()), x, wrong, elements=4).passed
    assert check_gradient(lambda: float((x * x).sum()), x, 2 * x, elements=4).passed
