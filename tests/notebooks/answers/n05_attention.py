import math

import numpy as np

from . import Answer


def softmax_gradient(probabilities, dprobabilities):
    return probabilities * (dprobabilities - (dprobabilities * probabilities).sum(axis=-1, keepdims=True))


def diagonal_only(probabilities, dprobabilities):
    return probabilities * (1 - probabilities) * dprobabilities


def sum_over_everything(probabilities, dprobabilities):
    return probabilities * (dprobabilities - (dprobabilities * probabilities).sum())


def in_place(probabilities, dprobabilities):
    dprobabilities -= (dprobabilities * probabilities).sum(axis=-1, keepdims=True)
    return probabilities * dprobabilities


def banded_mask(queries, keys, window, lengths, shift=True, wider=0):
    i = np.arange(queries)[:, None] + (keys - queries if shift else 0)
    distance = i - np.arange(keys)
    banded = (distance >= 0) & (distance < window + wider)
    return banded & (np.arange(keys) < np.array(lengths)[:, None, None])


def head_backward(dy, q, k, v, scale=None, mask=True, transpose=True, row_sum=True):
    t, d = q.shape
    z = q @ k.T / math.sqrt(d)
    z = np.where(np.tril(np.ones((t, t), dtype=bool)), z, -np.inf) if mask else z
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    dp = dy @ v.T
    dz = p * (dp - (dp * p).sum(axis=1, keepdims=True) * row_sum) * (1 / math.sqrt(d) if scale is None else scale)
    return dz @ k, (dz.T if transpose else dz) @ q, p.T @ dy


def temperature_gradient(dscores, q, k, tau):
    return -(dscores * (q @ k.T)).sum() / tau**2


ANSWERS = (
    Answer(softmax_gradient, (diagonal_only, sum_over_everything, in_place)),
    Answer(
        banded_mask,
        (
            lambda *arguments: banded_mask(*arguments, shift=False),
            lambda *arguments: banded_mask(*arguments, wider=1),
            lambda t, s, w, lengths: banded_mask(t, s, w, [s] * len(lengths)),
            lambda t, s, w, lengths: banded_mask(t, s, s, lengths),
        ),
    ),
    Answer(
        head_backward,
        (
            lambda *arguments: head_backward(*arguments, scale=1.0),
            lambda *arguments: head_backward(*arguments, mask=False),
            lambda *arguments: head_backward(*arguments, transpose=False),
            lambda *arguments: head_backward(*arguments, row_sum=False),
        ),
    ),
    Answer(
        temperature_gradient,
        (
            lambda *arguments: -temperature_gradient(*arguments),
            lambda dz, q, k, tau: -(dz * (q @ k.T)).sum() / tau,
            lambda dz, q, k, tau: -dz.sum() / tau**2,
        ),
    ),
)
