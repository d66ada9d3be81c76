"""Answers to notebooks/02-embeddings-and-positions.ipynb."""

import math

import numpy as np

from . import Answer


def scatter(ids, dy, rows):
    dtable = np.zeros((rows, dy.shape[1]), dy.dtype)
    for i, row in zip(ids, dy, strict=True):
        dtable[i] += row
    return dtable


def last_wins(ids, dy, rows):
    dtable = np.zeros((rows, dy.shape[1]), dy.dtype)
    dtable[ids] += dy
    return dtable


def sinusoid(position, width):
    row = np.empty(width)
    for i in range(width // 2):
        angle = position / 10000 ** (2 * i / width)
        row[2 * i], row[2 * i + 1] = math.sin(angle), math.cos(angle)
    return row


def halves(position, width):
    row = sinusoid(position, width)
    return np.concatenate([row[::2], row[1::2]])


def rotary_score(q, k, m, n, base):
    theta = base ** (-np.arange(0, len(q), 2) / len(q))
    a, b = q[::2] + 1j * q[1::2], k[::2] + 1j * k[1::2]
    return (a.conj() * b * np.exp(1j * (n - m) * theta)).sum().real


def half_score(q, k, m, n, base):
    theta = base ** (-np.arange(0, len(q), 2) / len(q))
    half = len(q) // 2
    a, b = q[:half] + 1j * q[half:], k[:half] + 1j * k[half:]
    return (a.conj() * b * np.exp(1j * (n - m) * theta)).sum().real


ANSWERS = (
    Answer(scatter, (last_wins, lambda ids, dy, rows: scatter(ids, dy, rows)[: ids.max() + 1])),
    Answer((50257 + 1024) * 768, (50257 * 768, 50257 + 1024, (2 * 50257 + 1024) * 768)),
    Answer(sinusoid, (halves, lambda position, width: sinusoid(position, width)[::-1])),
    Answer(
        rotary_score,
        (half_score, lambda q, k, m, n, base: q @ k, lambda q, k, m, n, base: rotary_score(q, k, n, m, base)),
    ),
    Answer(2 * math.pi * 10000 ** (126 / 128), (2 * math.pi * 10000, 10000, 10000 ** (126 / 128))),
)
