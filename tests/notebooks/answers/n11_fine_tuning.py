import numpy as np

from . import Answer


def both_orders(a, b, start, delimiter, extract):
    return [[start, *a, delimiter, *b, extract], [start, *b, delimiter, *a, extract]]


def token_weights(targets, sequences=True, row=True, empty=0.0):
    counted = (targets != -100).astype(float)
    n = counted.sum(axis=1, keepdims=True) if row else counted.sum()
    weights = np.where(n > 0, counted / np.where(n > 0, n, 1), empty)
    return weights / (len(targets) if sequences else 1)


def choice_backward(h, w, labels, mean=True, sign=1.0, axis=1):
    z = h @ w
    p = np.exp(z - z.max(axis=axis, keepdims=True))
    p /= p.sum(axis=axis, keepdims=True)
    p[np.arange(len(h)), labels] -= 1.0
    dz = sign * p / (len(h) if mean else 1)
    return dz[..., None] * w, (dz[..., None] * h).sum(axis=(0, 1))


ANSWERS = (
    Answer(
        both_orders,
        (
            lambda a, b, s, d, e: [[s, *a, d, *b, e]],
            lambda a, b, s, d, e: [[s, *a, d, *b, e]] * 2,
            lambda a, b, s, d, e: [[s, *a, *b, e], [s, *b, *a, e]],
            lambda a, b, s, d, e: [[s, *a, d, *b, d, e], [s, *b, d, *a, d, e]],
        ),
    ),
    Answer(
        token_weights,
        (
            lambda targets: token_weights(targets, sequences=False),
            lambda targets: token_weights(targets, sequences=False, row=False),
            lambda targets: token_weights(np.zeros_like(targets)),
            lambda targets: token_weights(targets, empty=np.nan),
            lambda targets: token_weights(targets) * len(targets) / max(1, (targets != -100).any(axis=1).sum()),
        ),
    ),
    Answer(
        choice_backward,
        (
            lambda *x: choice_backward(*x, mean=False),
            lambda *x: choice_backward(*x, sign=-1.0),
            lambda *x: choice_backward(*x, axis=0),
        ),
    ),
    Answer(4611, (2307, 4608, 6915, "4611")),
)
