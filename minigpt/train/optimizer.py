"""AdamW on one flat buffer, in the four variants that the models' authors used, and clipping by global norm.

All of them keep m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g². With c₁ = 1 − β₁ᵗ, c₂ = 1 − β₂ᵗ and the rate η:

    adamw     (Loshchilov & Hutter, PyTorch)  p ← p − η λ p,  then  p ← p − η (m/c₁)/(√(v/c₂) + ε)
    openai    (GPT's released code)           p ← p − η′ (m/(√v + ε) + λ p),  η′ = η √c₂/c₁: decay is scaled with it
    bert      (BERT's released code)          p ← p − η (m/(√v + ε) + λ p),  no bias correction at all
    fairseq   (BART's training code)          p ← p − η λ p,  then  p ← p − η′ m/(√v + ε);  λ on every tensor

The first three let λ touch matrices and embeddings only (BERT's code names the excluded tensors, biases and norms,
which are the vectors).
"""

from __future__ import annotations

import math

import numpy as np

from minigpt.backend import Array, array_module
from minigpt.config import OptimizerConfig
from minigpt.params import Parameters

_CHUNK = 32768  # numbers at a time: four arrays of it stay in a core's cache


class AdamW:
    """The optimizer's state (m, v and the number of updates) and its step.

    Attributes:
        m, v: (N,) moments, flat like the parameters.
        updates: how many updates were made.
    """

    def __init__(self, params: Parameters, config: OptimizerConfig):
        xp = array_module(params.flat)
        self.config = config
        self.m, self.v = xp.zeros_like(params.flat), xp.zeros_like(params.flat)
        self.updates = 0
        self._decayed = params.flat.size if config.variant == "fairseq" else params.decayed

    def step(self, params: Parameters, grads: Parameters, lr: float) -> None:
        """Update `params` in place with the gradient and the learning rate of this step."""
        self.updates += 1
        p, g, n = params.flat, grads.flat, params.flat.size
        chunk = _CHUNK if array_module(p) is np else n  # on a GPU every chunk would be a dozen launches
        for start in range(0, n, chunk):
            stop = min(start + chunk, n)
            decayed = min(max(self._decayed - start, 0), stop - start)
            self._update(p[start:stop], g[start:stop], self.m[start:stop], self.v[start:stop], decayed, lr)

    def _update(self, p: Array, g: Array, m: Array, v: Array, decayed: int, lr: float) -> None:
        c = self.config
        xp = array_module(p)
        m *= c.beta1
        m += (1.0 - c.beta1) * g
        v *= c.beta2
        v += (1.0 - c.beta2) * (g * g)
        c1, c2 = 1.0 - c.beta1**self.updates, 1.0 - c.beta2**self.updates
        rate = {
            "adamw": lr / c1,
            "openai": lr * math.sqrt(c2) / c1,
            "bert": lr,
            "fairseq": lr * math.sqrt(c2) / c1,
        }[c.variant]
        decay_rate = rate if c.variant == "openai" else lr
        root = xp.sqrt(v)
        if c.variant == "adamw":
            root *= 1.0 / math.sqrt(c2)
        root += c.eps
        update = m / root
        update *= rate
        if c.weight_decay and decayed:
            # One sum serves all four: taking the decay off p first, or together with the update, is the same p − …
            update[:decayed] += (decay_rate * c.weight_decay) * p[:decayed]
        p -= update


def global_norm(grads: Parameters) -> float:
    """√(Σ g²) over all gradients, summed in float64 from blocks, in a fixed order."""
    flat = grads.flat
    xp = array_module(flat)
    block = 1 << 16 if xp is np else flat.size
    return math.sqrt(sum(float(xp.vdot(b, b)) for b in (flat[i : i + block] for i in range(0, flat.size, block))))


def clip_by_global_norm(grads: Parameters, limit: float, norm: float) -> None:
    """Scale the gradient down to the norm `limit` if its norm is larger; 0 is no limit."""
    if limit and norm > limit:
        grads.flat *= limit / norm
