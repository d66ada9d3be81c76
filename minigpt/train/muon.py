"""Muon (Jordan et al. 2024): a matrix moves along its momentum made orthogonal, so that every direction counts alike.

A gradient's few largest singular values outweigh the others, and AdamW, which looks at one number at a time, leaves
that so. Muon keeps the singular vectors and makes all singular values about 1. For a matrix W of R inputs (rows) and C
outputs (columns) with gradient G, momentum μ, rate η and decay λ:

    M ← μ M + G
    W ← (1 − η λ) W − η √max(1, C/R) orthogonal(G + μ M)

The root makes a change of every feature about η, however many there are. Embeddings, output layers and vectors are no
maps from features to features: AdamW trains them, at its own rate. Queries, keys and values lie side by side in one
matrix but are three maps, and each is made orthogonal by itself.
"""

from __future__ import annotations

import math

from minigpt.core.backend import Array
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.train.optimizer import AdamW, Share

STEPS = 5
A, B, C = 3.4445, -4.7750, 2.0315  # of Jordan et al.: A large, for small singular values; near 1 they stay near 1


class Muon(AdamW):
    """Matrices of the blocks by Muon, everything else by `rest`, which is AdamW of any kind.

    Its state is that of AdamW, with M in m; v of the matrices stays zero. A matrix is updated by whoever updates the
    number that it begins with, so the result is the same however the buffer is shared out.

    Args:
        ratio: η over the rate that `step` is given, which is the rest's.
    """

    def __init__(self, params: Parameters, rest: AdamW, ratio: float):
        self.config, self.rest, self.ratio = rest.config, rest, ratio
        self.m, self.v, self.updates = rest.m, rest.v, rest.updates
        self.copy = rest.copy = None  # `rest` would keep up its own parameters alone
        self._matrices: list[tuple[int, ParameterSpec]] = []
        self._others: list[tuple[int, int]] = []  # stretches of the buffer between the matrices
        start = done = 0
        for spec in params.specs:
            if is_map(spec):
                self._matrices.append((start, spec))
                self._others.append((done, start))
                done = start + spec.size
            start += spec.size
        self._others.append((done, start))

    def step(
        self, params: Parameters, grads: Parameters, lr: float, *, scale: float = 1.0, share: Share | None = None
    ) -> None:
        """See `AdamW.step`; where only parts of the moments are here, no matrix is cut (see `whole`)."""
        self.updates, start, stop, at = share or Share(self.updates + 1, 0, params.flat.size)
        shift = 0 if at is None else at - start
        self.rest.m, self.rest.v = self.m, self.v  # workers move them
        for first, end in self._others:
            a, b = max(start, first), min(stop, end)
            self.rest.step(params, grads, lr, scale=scale, share=Share(self.updates, a, b, a + shift))
        for first, spec in self._matrices:
            if start <= first < stop:
                places = (params.flat, first), (grads.flat, first), (self.m, first + shift)
                p, g, m = (x[place : place + spec.size].reshape(spec.shape) for x, place in places)
                self._move(spec, p, g * scale, m, lr * self.ratio)

    def whole(self, place: int) -> int:
        """Where a matrix ends that would be cut here."""
        return next((end for first, spec in self._matrices if first < place < (end := first + spec.size)), place)

    def _move(self, spec: ParameterSpec, p: Array, g: Array, m: Array, rate: float) -> None:
        momentum = self.config.muon_momentum
        m *= momentum
        m += g
        g += momentum * m  # Nesterov's look ahead
        p *= 1.0 - rate * self.config.weight_decay
        for columns in _maps(spec):
            part = g[:, columns]
            p[:, columns] -= rate * math.sqrt(max(1.0, part.shape[1] / part.shape[0])) * orthogonal(part)


def orthogonal(x: Array) -> Array:
    """U Vᵀ of a matrix x = U S Vᵀ, nearly: singular values of at least 0.003 ‖x‖ become 0.68 to 1.21.

    Newton–Schulz iteration, which needs products alone: x ← A x + B (x xᵀ) x + C (x xᵀ)² x makes A s + B s³ + C s⁵ of
    every singular value s, and repeated brings it there. The norm brings all of them below 1 first.
    """
    if x.shape[0] > x.shape[1]:
        return orthogonal(x.T).T
    x = x / (math.sqrt(float((x * x).sum())) + 1e-30)
    for _ in range(STEPS):
        s = x @ x.T
        y = s @ s
        y *= C
        s *= B
        y += s
        s = y @ x
        x *= A
        x += s
    return x


def is_map(spec: ParameterSpec) -> bool:
    """Whether Muon trains this tensor: a matrix of a block."""
    return len(spec.shape) == 2 and spec.trained and "blocks" in spec.name.split(".")


def _maps(spec: ParameterSpec) -> list[slice]:
    """The columns of each map in a matrix. Behind the queries, as many as inputs, follow keys and values."""
    inputs, outputs = spec.shape
    if spec.name.split(".")[-2] not in ("qkv", "kv"):
        return [slice(0, outputs)]
    return [slice(start, min(start + inputs, outputs)) for start in range(0, outputs, inputs)]
