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
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.core.params import Parameters
from minigpt.core.settings import must, one_of, require
from minigpt.core.sums import BLOCK

OPTIMIZERS = ("adamw", "muon")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW: which published variant of the update, and its constants. Or Muon (`minigpt.train.muon`) beside it."""

    variant: str = "adamw"
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0  # largest global norm of the gradient; 0 does not clip
    name: str = "adamw"  # or "muon": Muon for the matrices of the blocks, and AdamW for the rest
    muon_rate: float = 0.02  # Muon's rate when AdamW's is schedule.peak; it rises and falls with it
    muon_momentum: float = 0.95

    def __post_init__(self) -> None:
        one_of("optimizer.name", self.name, OPTIMIZERS)
        one_of("optimizer.variant", self.variant, ("adamw", "openai", "bert", "fairseq"))
        for name in ("muon_rate", "eps"):
            must(getattr(self, name) > 0, "optimizer", self, name, "be positive")
        for name in ("beta1", "beta2", "muon_momentum"):
            require(0 <= getattr(self, name) < 1, f"optimizer.{name} must be at least 0 and below 1")
        require(self.weight_decay >= 0 and self.clip >= 0, "optimizer.weight_decay and clip must not be negative")


_CHUNK = 131072  # numbers at a time: short enough for the cache, long enough that two threads seldom meet in Python


class Part(NamedTuple):
    """Consecutive numbers of the flat buffer, with gradient and moments: what a worker updates.

    Attributes:
        decayed: so many of them, the first, weight decay applies to.
        copy: None, or those of the first that are kept in 16 bits as well.
    """

    p: Array
    g: Array
    m: Array
    v: Array
    decayed: int
    copy: Array | None


def squared_norm(flat: Array, start: int, stop: int) -> float:
    """Σ g² of the numbers start … stop − 1: sums over blocks in their own precision, added in float64 and in order."""
    block = BLOCK if array_module(flat) is np else max(1, stop - start)
    parts = (flat[a : min(a + block, stop)] for a in range(start, stop, block))
    return sum(float(array_module(flat).vdot(part, part)) for part in parts)


class Share(NamedTuple):
    """What one worker does of an update that several make together.

    Attributes:
        update: the number of the update, from 1 on.
        start, stop: which numbers of the flat buffer it updates.
        at: where their moments begin in m and v; None: at `start`, unless only parts of the moments are kept here.
    """

    update: int
    start: int
    stop: int
    at: int | None = None


class AdamW:
    """The optimizer's state (m, v and the number of updates) and its step.

    Attributes:
        m, v: (N,) moments, flat like the parameters.
        copy: None, or the first of the parameters in 16 bits, kept up to date.
        updates: how many updates were made.
    """

    squared_norm = staticmethod(squared_norm)

    def __init__(self, params: Parameters, config: OptimizerConfig):
        xp = array_module(params.flat)
        self.config = config
        self.m, self.v = xp.zeros_like(params.flat), xp.zeros_like(params.flat)
        self.updates = 0
        self.copy: Array | None = None
        self._decayed = params.trained if config.variant == "fairseq" else params.decayed

    def step(
        self, params: Parameters, grads: Parameters, lr: float, *, scale: float = 1.0, share: Share | None = None
    ) -> None:
        """Update `params` in place with the learning rate of this step.

        Args:
            grads: the gradient, which is multiplied by `scale` (clipping's factor) on the way.
            share: the part that is updated; None for all, in the next update.
        """
        self.updates, start, stop, at = share or Share(self.updates + 1, 0, params.flat.size)
        if start >= stop:
            return
        c = self.config
        c1, c2 = 1.0 - c.beta1**self.updates, 1.0 - c.beta2**self.updates
        rate = lr if c.variant == "bert" else lr * math.sqrt(c2) / c1
        # η (m/c₁)/(√(v/c₂) + ε) is η′ m/(√v + ε √c₂): what sets adamw apart is only how large ε is at first
        eps = c.eps * math.sqrt(c2) if c.variant == "adamw" else c.eps
        # One factor serves all four: taking the decay off first, or together with the step, is the same p − …
        keep = 1.0 - (rate if c.variant == "openai" else lr) * c.weight_decay
        here, at = slice(start, stop), start if at is None else at
        there = slice(at, at + stop - start)
        copy = None if self.copy is None else self.copy[here]
        decayed = min(max(self._decayed - start, 0), stop - start)
        part = Part(params.flat[here], grads.flat[here], self.m[there], self.v[there], decayed, copy)
        self._update(part, scale, rate, eps, keep)

    def _update(self, part: Part, scale: float, rate: float, eps: float, keep: float) -> None:
        """p ← keep p − rate m/(√v + eps), with the gradient times `scale`; keep is for decayed parameters only."""
        c, xp, size = self.config, array_module(part.p), len(part.p)
        chunk = _CHUNK if xp is np else size  # on a GPU every chunk would be a dozen launches
        memory = xp.empty_like(part.p[:chunk])
        for a in range(0, size, chunk):
            p, g, m, v = (x[a : a + chunk] for x in (part.p, part.g, part.m, part.v))
            scratch = memory[: len(p)]
            if scale != 1.0:
                g *= scale
            m *= c.beta1
            m += xp.multiply(g, 1.0 - c.beta1, out=scratch)
            xp.multiply(g, g, out=scratch)
            scratch *= 1.0 - c.beta2
            v *= c.beta2
            v += scratch
            root = xp.sqrt(v, out=scratch)
            root += eps
            step = xp.divide(m, root, out=scratch)
            step *= rate
            if keep != 1.0 and part.decayed > a:
                p[: part.decayed - a] *= keep
            p -= step

    def whole(self, place: int) -> int:
        """Where the buffer may be cut between those who update it: at this place, or at the next that will do."""
        return place


class CompiledAdamW(AdamW):
    """The same state and numbers by one compiled loop, `minigpt.fast.loops.adamw`, in one pass over them."""

    def __init__(self, params: Parameters, config: OptimizerConfig, loop: Callable[..., None]):
        super().__init__(params, config)
        self._loop = loop

    def _update(self, part: Part, scale: float, rate: float, eps: float, keep: float) -> None:
        """The gradient is not overwritten."""
        c = self.config
        self._loop(part.p, part.g, part.m, part.v, part.decayed, c.beta1, c.beta2, rate, eps, keep, scale)


def global_norm(grads: Parameters) -> float:
    """√(Σ g²) over all gradients."""
    return math.sqrt(squared_norm(grads.flat, 0, grads.flat.size))


def clip_factor(norm: float, limit: float) -> float:
    """What a gradient of this norm is multiplied with so that its norm is at most `limit`; 0 is no limit."""
    return limit / norm if limit and norm > limit else 1.0
