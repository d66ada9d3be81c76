"""Rows from several corpora in given proportions, each corpus without repetition until it is used up (GPT-3).

Which window of which corpus the n-th row of a run is, is a pure function of n and the seed: nothing has to be carried
from step to step, or saved. Rows are dealt in blocks: each block has the same number of rows from each corpus, in an
order of its own. Within a corpus, epoch after epoch, every window is taken once, in an order of that epoch's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

BLOCK = 1000  # rows: proportions are kept to a thousandth


class Row(NamedTuple):
    """Where one row of the training data comes from."""

    corpus: int
    epoch: int
    window: int


def quotas(weights: Sequence[float]) -> tuple[int, ...]:
    """Rows of each corpus in a block: proportional to the weights (which need not sum to 1), at least one each.

    Whole numbers by largest remainders, so that they sum to the block.
    """
    exact = [BLOCK * weight / sum(weights) for weight in weights]
    rows = [max(1, int(share)) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda c: (rows[c] - exact[c], c))
    for n in range(BLOCK - sum(rows)):
        rows[by_remainder[n]] += 1
    while sum(rows) > BLOCK:  # very small weights were rounded up to one
        rows[rows.index(max(rows))] -= 1
    return tuple(rows)


@lru_cache(maxsize=16)
def _block(shares: tuple[int, ...], seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """For every row of a block: its corpus, and how many rows of that corpus come before it in the block."""
    corpora = np.repeat(np.arange(len(shares)), shares)
    np.random.default_rng([seed, number]).shuffle(corpora)
    before = np.empty(BLOCK, dtype=int)
    for corpus, share in enumerate(shares):
        before[corpora == corpus] = np.arange(share)
    return corpora, before


@lru_cache(maxsize=16)
def _epoch(windows: int, seed: int, corpus: int, epoch: int) -> np.ndarray:
    """The order in which one epoch takes a corpus's windows."""
    return np.random.default_rng([seed, corpus, epoch]).permutation(windows)


def mixture_rows(windows: Sequence[int], weights: Sequence[float], first: int, rows: int, *, seed: int) -> list[Row]:
    """Say where the rows number `first` … `first + rows − 1` of a run come from.

    Args:
        windows: how many windows each corpus has.
        weights: the share of rows that each corpus gets, up to a common factor.
    """
    shares, found = quotas(weights), []
    for n in range(first, first + rows):
        number, place = divmod(n, BLOCK)
        corpora, before = _block(shares, seed, number)
        corpus = int(corpora[place])
        epoch, turn = divmod(number * shares[corpus] + int(before[place]), windows[corpus])
        found.append(Row(corpus, epoch, int(_epoch(windows[corpus], seed, corpus, epoch)[turn])))
    return found
