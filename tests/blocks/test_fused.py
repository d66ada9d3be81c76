"""Fused sub-layers give what the block to read gives, and ask for everything that a table has as one."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from minigpt import ops
from minigpt.blocks import Memory, block_specs, stack_backward, stack_forward
from minigpt.blocks.run import Run
from minigpt.ops.operations import Sum

from .test_blocks import CONFIGS, MEMORY, B, C, S, T, inputs, random_tree


def table(used):
    """Plain operations, those that follow one another under the names of fused ones; a sum waits for its reader."""

    def wait(x, bias, onto, rate, key):
        _, cache = ops.dropout_forward(x, rate, key)
        return Sum(x, bias, onto, cache), cache

    def work_out(s):
        return s.onto + ops.dropout_backward(s.x if s.bias is None else s.x + s.bias, s.dropout)

    def norm_of_sum(name):
        def forward(s, *weights, eps):
            total = work_out(s)
            return total, *getattr(ops, f"{name}_forward")(total, *weights, eps=eps)

        return forward

    def norm_backward_add(dy, cache, dgain, dbias, plus):
        if isinstance(cache, ops.norm.RMSNormCache):
            return plus + ops.rmsnorm_backward(dy, cache, dgain)
        return plus + ops.layernorm_backward(dy, cache, dgain, dbias)

    def biased(name):
        def forward(x, bias):
            return ops.ACTIVATIONS[name][0](x + bias)

        def backward(dy, cache, dbias):
            dx = ops.ACTIVATIONS[name][1](dy, cache)
            dbias += dx.reshape(-1, dx.shape[-1]).sum(axis=0)
            return dx

        return forward, backward

    class Noting(dict):
        def get(self, name, default=None):
            used.add(name)
            return super().get(name, default)

        __getitem__ = get

    fused = {"sum": wait, "settled_sum": work_out, "norm_backward_add": norm_backward_add}
    fused |= {f"{name}_sum": norm_of_sum(name) for name in ("layernorm", "rmsnorm")}
    fused |= {f"bias_{name}": biased(name) for name in ("gelu_tanh", "gelu_erf")}
    return SimpleNamespace(**ops.TABLE | {"FUSED": Noting(fused)})


def passed(c, run, cross):
    """The output of two blocks and all gradients, float64."""
    specs = [spec for layer in "01" for spec in block_specs(f"b.{layer}", c, cross=cross)]
    params, (x, states, r) = random_tree(specs), inputs((B, T, C), (B, S, C), (B, T, C))
    memory = Memory(states, ops.Mask(key_padding=MEMORY)) if cross else None
    y, caches = stack_forward(x, params.scope("b"), c, run, 3, [ops.Mask(causal=True)] * 2, memory=memory)
    grads, dmemory = params.zeros_like(), np.zeros_like(states)
    dx = stack_backward(r, caches, grads.scope("b"), c, run, dmemory if cross else None)
    return y, dx, grads.flat, dmemory


@pytest.mark.parametrize("recompute", [False, True], ids=["", "recompute"])
@pytest.mark.parametrize("name", [*CONFIGS, "cross"])
def test_two_blocks_of_fused_sub_layers(name, recompute):
    c, cross, used = CONFIGS["dropout" if name == "cross" else name], name == "cross", set()
    run = Run(train=True, seed=1, step=2)
    expected = passed(c, run, cross)
    found = passed(c, dataclasses.replace(run, ops=table(used), recompute=recompute), cross)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    norm = "rmsnorm_sum" if c.rms_norm else "layernorm_sum"
    reader = "settled_sum" if c.pre_norm and recompute else norm  # the norm's input is kept, so it is worked out before
    assert {"sum", reader} <= used and ("settled_sum" in used) >= c.pre_norm
    assert ("norm_backward_add" in used) == c.pre_norm and (f"bias_{c.activation}" in used) == c.bias
