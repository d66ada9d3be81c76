"""Answers to notebooks/08-sampling.ipynb."""

import numpy as np

from . import Answer


def with_temperature(z, temperature):
    e = np.exp((z - z.max()) / temperature)
    return e / e.sum()


def overflowing(z, temperature):
    with np.errstate(all="ignore"):
        e = np.exp(z / temperature)
        return e / e.sum()


def nucleus(probabilities, top_p, *, crossing=True):
    kept, total = np.zeros_like(probabilities), 0.0
    for token in np.argsort(-probabilities):
        if total >= top_p or (not crossing and total + probabilities[token] > top_p):
            break
        kept[token] = probabilities[token]
        total += probabilities[token]
    return kept / max(kept.sum(), 1e-300)


def sorted_nucleus(probabilities, top_p):
    return np.sort(nucleus(probabilities, top_p))[::-1]


def min_p(probabilities, m):
    kept = np.where(probabilities >= m * probabilities.max(), probabilities, 0.0)
    return kept / kept.sum()


ANSWERS = (
    Answer(
        with_temperature,
        (overflowing, lambda z, t: with_temperature(z, 1 / t), lambda z, t: with_temperature(z, 1.0) / t),
    ),
    Answer(nucleus, (lambda p, top_p: nucleus(p, top_p, crossing=False), sorted_nucleus)),
    Answer(
        min_p,
        (
            lambda p, m: np.where(p >= m * p.max(), p, 0.0),
            lambda p, m: np.where(p >= m, p, 0.0) / max(p[p >= m].sum(), 1e-300),
        ),
    ),
    Answer((523_500, 1_023), ((524_500, 1_024), (500_500, 1_000), (1_023, 523_500))),
    Answer(1_342_177_280, (671_088_640, 10_737_418_240, 163_840)),
)
