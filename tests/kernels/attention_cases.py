"""The options of attention that every fp32 rung is tested on, and how a case is drawn and judged."""

import itertools

import numpy as np

from minigpt import ops
from minigpt.kernels.attention import Flash, Naive, Tiled
from minigpt.lab.exact_attention import Attention, exact_attention

BOUND = 1e-5  # fp32 against float64, inputs of order one

RUNGS = {
    "naive": Naive,
    "tiled": Tiled,
    "flash": Flash,
    "flash-16": lambda **settings: Flash(tile=16, **settings),  # so that short texts have many tiles
    "flash-atomic": lambda **settings: Flash(deterministic=False, **settings),
}
SHAPES = {  # (B, T, S, H, G)
    "one": (2, 1, 1, 2, 2),
    "self": (2, 33, 33, 2, 2),
    "grouped": (1, 70, 70, 4, 2),  # two tiles of 64
    "cross": (2, 17, 50, 2, 1),
    "more-queries": (1, 50, 17, 2, 2),
    "decode": (2, 1, 40, 4, 1),
    "whole-tiles": (1, 64, 128, 1, 1),
}
WIDTHS = [16, 24, 64, 72, 128]


def masks(b, t, s):
    """Every kind of mask by name; the last row of a padded batch has no key at all."""
    real = np.random.default_rng(5).random((b, s)) < 0.6
    real[-1] = b == 1
    return {
        "none": ops.Mask(),
        "causal": ops.Mask(causal=True),
        "padded": ops.Mask(key_padding=real),
        "causal-padded": ops.Mask(causal=True, key_padding=real),
        "banded": ops.Mask(causal=True, window=7),
        "two-sided": ops.Mask(window=20),
        "wide": ops.Mask(causal=True, window=10**6),
        "all": ops.Mask(causal=True, window=11, key_padding=real),
    }


FACTORS = {
    "rung": list(RUNGS),
    "mask": list(masks(1, 1, 1)),
    "shape": list(SHAPES),
    "d": WIDTHS,
    "dropout": [0.0, 0.3],
    "fused": [False, True],
}


def full_product():
    return [dict(zip(FACTORS, values, strict=True)) for values in itertools.product(*FACTORS.values())]


def identity(case):
    return "-".join(str(value) for value in case.values())


def draw(case):
    """q, k, v, dy and the settings of a case; fused: q, k and v are views of wider arrays, as after one projection."""
    (b, t, s, h, g), d = SHAPES[case["shape"]], case["d"]
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    if case["fused"]:
        q, kv = normal(b, t, h + 3, d)[:, :, 2:-1], normal(b, s, 2 * g, d)
        k, v = kv[:, :, :g], kv[:, :, g:]
    else:
        q, k, v = normal(b, t, h, d), normal(b, s, g, d), normal(b, s, g, d)
    settings = {"mask": masks(b, t, s)[case["mask"]], "dropout": case["dropout"], "key": ops.DropoutKey(1, 2, 3, 4)}
    return (q, k, v, normal(b, t, h, d)), settings


def run(attention, arrays, settings):
    """Forward and backward, results written into NaN so that a number nobody writes shows."""
    q, k, v, dy = arrays
    y = np.full(q.shape, np.nan, np.float32)
    returned, cache = attention.attention_forward(q, k, v, **settings, out=y)
    assert returned is y
    (b, t, h, d), g = q.shape, k.shape[2]
    fused = np.full((b, max(t, k.shape[1]), h + 2 * g, d), np.nan, np.float32)
    outs = fused[:, :t, :h], fused[:, : k.shape[1], h : h + g], fused[:, : k.shape[1], h + g :]
    return Attention(y, *attention.attention_backward(dy, cache, out=outs))


def errors(result, arrays, settings):
    """The largest error of every result against float64, and that each is NaN nowhere."""
    return {
        name: float(np.abs(a - b).max(initial=0.0)) if np.isfinite(a).all() else np.inf
        for name, a, b in zip(Attention._fields, result, exact_attention(*arrays, **settings), strict=True)
    }
