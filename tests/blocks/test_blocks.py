"""Blocks on their own: the gradients of their inputs and of every parameter, and what flows into the memory."""

import dataclasses

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks import (
    SITES_PER_BLOCK,
    SITES_PER_DECODER_BLOCK,
    BlockConfig,
    Memory,
    block_backward,
    block_forward,
    block_specs,
    self_attention_forward,
    self_attention_specs,
)
from minigpt.blocks.run import Run
from minigpt.core.params import initialize
from minigpt.lab.testing import check_gradients

from ..tiers import some

B, T, S, C = 2, 5, 3, 12
PLAIN = BlockConfig(C, 2, 10)
CONFIGS = {
    "post": PLAIN,
    "pre": dataclasses.replace(PLAIN, pre_norm=True, activation="gelu_tanh"),
    "no-bias": dataclasses.replace(PLAIN, bias=False, activation="relu"),
    "no-attention-bias": dataclasses.replace(PLAIN, qkv_bias=False, out_bias=False),
    "grouped": dataclasses.replace(PLAIN, heads=6, kv_heads=3, head_width=2),
    "wide-heads": dataclasses.replace(PLAIN, heads=3, kv_heads=1, head_width=7, pre_norm=True),
    "llama": dataclasses.replace(
        PLAIN,
        heads=3,
        kv_heads=1,
        pre_norm=True,
        rms_norm=True,
        activation="swiglu",
        bias=False,
        rope=ops.Rope(10.0),
    ),
    "interleaved": dataclasses.replace(PLAIN, rope=ops.Rope(10.0, "interleaved"), activation="silu"),
    "dropout": dataclasses.replace(PLAIN, dropout=0.3, attention_dropout=0.2),
}
POST = [name for name, c in CONFIGS.items() if not c.pre_norm]  # decoders that look at an encoder
LEFT = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]], dtype=bool)
MEMORY = np.array([[1, 1, 0], [1, 1, 1]], dtype=bool)


def random_tree(specs, seed=0):
    params = initialize(tuple(specs), seed=seed, dtype="float64")
    rng = np.random.default_rng(seed)
    for spec in params.specs:
        params[spec.name][...] = spec.mean + 0.3 * rng.standard_normal(spec.shape)
    return params


def inputs(*shapes):
    rng = np.random.default_rng(5)
    return [rng.standard_normal(shape) for shape in shapes]


# At so many elements of each array; None: all. The fast operations' gradients are the plain ones' to rounding
# (tests/models/test_gpt.py).
CHECKS = some([(ops, 2), (fast, 2), (ops, None)], [(ops, 2), (fast, 2)], "the same at a few elements and a direction")


@pytest.mark.parametrize("implementation, elements", CHECKS)
@pytest.mark.parametrize("name", CONFIGS)
def test_block_gradients(name, implementation, elements):
    c, run = CONFIGS[name], Run(train=True, seed=1, step=2, ops=implementation)
    params = random_tree(block_specs("block", c))
    x, r = inputs((B, T, C), (B, T, C))
    mask, positions = ops.Mask(causal=True, key_padding=LEFT), np.maximum(LEFT.cumsum(1) - 1, 0)

    def forward():
        return block_forward(x, params.scope("block"), c, run, 7, mask, positions)

    _, cache = forward()
    grads = params.zeros_like()
    dx = block_backward(r, cache, grads.scope("block"), c, run)
    arrays, gradients = {"x": x, **params}, {"x": dx, **grads}
    for check in check_gradients(lambda: float((forward()[0] * r).sum()), arrays, gradients, elements=elements):
        assert check.passed, check


@pytest.mark.parametrize("implementation, elements", CHECKS)
@pytest.mark.parametrize("name", POST)
def test_decoder_block_gradients(name, implementation, elements):
    c, run = CONFIGS[name], Run(train=True, seed=1, step=2, ops=implementation)
    params = random_tree(block_specs("block", c, cross=True))
    x, memory, r = inputs((B, T, C), (B, S, C), (B, T, C))
    seen = Memory(memory, ops.Mask(key_padding=MEMORY))

    def forward():
        return block_forward(x, params.scope("block"), c, run, 7, ops.Mask(causal=True), memory=seen)

    _, cache = forward()
    grads, dmemory = params.zeros_like(), np.full_like(memory, 0.5)
    dx = block_backward(r, cache, grads.scope("block"), c, run, dmemory)
    arrays = {"x": x, "memory": memory, **params}
    gradients = {"x": dx, "memory": dmemory - 0.5, **grads}  # the memory's gradient is added to
    for check in check_gradients(lambda: float((forward()[0] * r).sum()), arrays, gradients, elements=elements):
        assert check.passed, check
    assert (gradients["memory"][~MEMORY] == 0).all()


def test_every_dropout_draw_has_its_own_site():
    """Each site is asked for once, and the blocks' sites lie side by side."""
    c, asked = CONFIGS["dropout"], []

    @dataclasses.dataclass(frozen=True)
    class Counting(Run):
        def dropout_key(self, site):
            asked.append(site)
            return super().dropout_key(site)

    run, (x, memory) = Counting(train=True), inputs((B, T, C), (B, S, C))
    block_forward(x, random_tree(block_specs("b", c)).scope("b"), c, run, 4, ops.NO_MASK)
    assert sorted(asked) == list(range(4, 4 + SITES_PER_BLOCK))
    asked.clear()
    scope = random_tree(block_specs("b", c, cross=True)).scope("b")
    block_forward(x, scope, c, run, 4, ops.NO_MASK, memory=Memory(memory, ops.NO_MASK))
    assert sorted(asked) == list(range(4, 4 + SITES_PER_DECODER_BLOCK))


def test_attention_dropout_is_apart_from_the_other():
    (x,), run = inputs((B, T, C)), Run(train=True)
    params = random_tree(self_attention_specs("a", PLAIN)).scope("a")
    still, _ = self_attention_forward(x, params, PLAIN, run, 0, ops.NO_MASK)
    for changed in ({"attention_dropout": 0.5}, {"dropout": 0.5}):
        y, _ = self_attention_forward(x, params, dataclasses.replace(PLAIN, **changed), run, 0, ops.NO_MASK)
        assert ((y == 0).any() == ("dropout" in changed)) and (y != still).any()


def test_grouped_heads_are_ordinary_heads_whose_keys_and_values_repeat():
    """G = 3 for H = 6 equals six heads with each key-value head's weights written twice, side by side."""
    grouped = CONFIGS["grouped"]
    d = grouped.head_width
    params = random_tree(self_attention_specs("a", grouped))
    ordinary = dataclasses.replace(grouped, kv_heads=6)
    full = random_tree(self_attention_specs("a", ordinary))
    for kind in ("weight", "bias"):
        q, k, v = np.split(params[f"a.qkv.{kind}"], [6 * d, 9 * d], axis=-1)
        twice = [np.repeat(w.reshape(*w.shape[:-1], 3, d), 2, axis=-2).reshape(*w.shape[:-1], 6 * d) for w in (k, v)]
        full[f"a.qkv.{kind}"][...] = np.concatenate([q, *twice], axis=-1)
        full[f"a.out.{kind}"][...] = params[f"a.out.{kind}"]
    (x,), causal = inputs((B, T, C)), ops.Mask(causal=True)
    ours, _ = self_attention_forward(x, params.scope("a"), grouped, Run(), 0, causal)
    theirs, _ = self_attention_forward(x, full.scope("a"), ordinary, Run(), 0, causal)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_rotary_scores_depend_on_distances_alone(implementation):
    c, run = CONFIGS["llama"], Run(ops=implementation)
    params, (x,) = random_tree(block_specs("b", c)).scope("b"), inputs((B, T, C))
    here, _ = block_forward(x, params, c, run, 0, ops.Mask(causal=True))
    there, _ = block_forward(x, params, c, run, 0, ops.Mask(causal=True), 1000)
    np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-11)
    stretched, _ = block_forward(x, params, c, run, 0, ops.Mask(causal=True), 2 * np.tile(np.arange(T), (B, 1)))
    assert np.abs(stretched - here).max() > 1e-3


def test_a_block_s_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLAIN.width = 3
