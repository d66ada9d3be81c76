"""Initial weights with which BERT's attention compares its two segments from the start. Ours, for little text.

Whether B follows A shows in the names and things that both speak of. To notice, a token has to find itself in the other
segment, and [CLS] has to hear of it. In a text of a megabyte the weights learn which words belong to which story long
before they find that out. So they may start near it, and everything is trained from there:

    d = (s₁ − s₀)/|s₁ − s₀|        the direction in which token types differ
    W_q ← 5 W_q                    first layer: sharp attention …
    W_k ← (1 − 2 d dᵀ) W_q         … to one's own kind in the other segment: the mirror that swaps the two,
    W_v ← W_v + d rᵀ, |r| = 1.5    which also says in which one it was found; r is random, one for each head
    W_v ← 2 W_v,  W_o ← 2 W_o      later layers: loud enough that [CLS] hears it
    positions ← positions/10,  token types ← token types/2: what would drown the words
"""

from __future__ import annotations

import numpy as np

from minigpt.core.backend import array_module
from minigpt.core.params import Parameters

_SHARP, _TOLD, _LOUD = 5.0, 1.5, 2.0
_POSITIONS, _TYPES = 0.1, 0.5


def begin_comparing(params: Parameters, *, layers: int, heads: int, seed: int) -> None:
    """Change freshly drawn weights of `minigpt.models.Bert` in place, for two segments or more."""
    xp, types = array_module(params.flat), params["token_types"]
    params["positions"][...] *= _POSITIONS
    types *= _TYPES
    d = types[1] - types[0]
    d /= xp.sqrt((d * d).sum())
    width = len(d)
    q, k, v = (params["blocks.0.attention.qkv.weight"][:, i * width : (i + 1) * width] for i in range(3))
    q *= _SHARP
    k[...] = q - 2.0 * xp.outer(d, d @ q)
    r = np.random.default_rng([seed, heads]).standard_normal((heads, width // heads))
    r *= _TOLD / np.linalg.norm(r, axis=1, keepdims=True)
    v += xp.outer(d, xp.asarray(r.reshape(-1), dtype=v.dtype))
    for layer in range(1, layers):
        params[f"blocks.{layer}.attention.qkv.weight"][:, 2 * width :] *= _LOUD
        params[f"blocks.{layer}.attention.out.weight"][...] *= _LOUD
