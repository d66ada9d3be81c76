import numpy as np

from . import Answer


def ring_round(pieces, number):
    n = len(pieces)
    after = pieces.copy()
    for sender in range(n):
        after[(sender + 1) % n, (sender - number) % n] += pieces[sender, (sender - number) % n]
    return after


def one_after_the_other(pieces, number):
    after = pieces.copy()
    for sender in range(len(pieces)):
        piece = (sender - number + 1) % len(pieces)
        after[(sender + 1) % len(pieces), piece] += after[sender, piece]
    return after


def replaced(pieces, number):
    n = len(pieces)
    after = pieces.copy()
    for sender in range(n):
        after[(sender + 1) % n, (sender - number) % n] = pieces[sender, (sender - number) % n]
    return after


def ring_seconds(ranks, size, latency, bandwidth):
    return 2 * (ranks - 1) * (latency + size / ranks / bandwidth)


def zero_bytes(parameters, ranks, stage):
    weights = 2 / ranks if stage >= 3 else 2
    gradients = 2 / ranks if stage >= 2 else 2
    return parameters * (weights + gradients + (12 / ranks if stage else 12))


def mlp_backward(dy, x, ups, downs):
    dx = np.zeros_like(x)
    for up, down in zip(ups, downs, strict=True):
        dx += (dy @ down.T * (x @ up > 0)) @ up.T
    return dx


def bubble(stages, micro_batches, chunks):
    waits = (stages - 1) / chunks
    return waits / (micro_batches + waits)


ANSWERS = (
    Answer(ring_round, (one_after_the_other, replaced, lambda pieces, k: ring_round(pieces, k + 1))),
    Answer(
        ring_seconds,
        (
            lambda *a: ring_seconds(*a) / 2,
            lambda n, s, a, b: 2 * (n - 1) * (a + s / b),
            lambda n, s, a, b: 2 * (a + (n - 1) * s / n / b),
        ),
    ),
    Answer(
        zero_bytes,
        (
            lambda p, n, s: zero_bytes(p, n, max(s - 1, 0)),
            lambda p, n, s: 16 * p / n,
            lambda p, n, s: zero_bytes(p, n, s) + 2 * p,
        ),
    ),
    Answer(
        mlp_backward,
        (
            lambda dy, x, ups, downs: mlp_backward(dy, x, ups[:1], downs[:1]),
            lambda dy, x, ups, downs: mlp_backward(dy, x, ups, downs) / len(ups),
            lambda dy, x, ups, downs: sum(dy @ d.T @ u.T for u, d in zip(ups, downs, strict=True)),
        ),
    ),
    Answer(
        bubble,
        (
            lambda p, m, v: (p - 1) / m / v,
            lambda p, m, v: bubble(p, m, 1),
            lambda p, m, v: p / (m + p - 1),
        ),
    ),
)
