"""The baseline of denoising: how far does plain copying of the damaged text get?

Someone who only copies looks up what has been written last in the source and goes on as the source goes on there. A
model that restores the text has to do better than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from minigpt.data.seq2seq import Seq2SeqBatch
from minigpt.ops import IGNORE


def copied_tokens(batch: Seq2SeqBatch) -> np.ndarray:
    """What copying says at every target position, (B, T): the source token behind the longest match, −1 without one.

    A match is a run of source tokens that equals the last decoder inputs; of equally long ones the first counts. The
    source is looked at as if the decoder's start token stood before it.
    """
    start = batch.inputs[:, :1]
    source = np.concatenate([start, batch.source], axis=1)  # (B, 1 + S)
    if batch.source_padding is not None:
        source[:, 1:][~batch.source_padding] = -1
    rows = np.arange(len(source))
    said = np.full(batch.inputs.shape, -1, dtype=np.int64)
    length = np.zeros(source.shape, dtype=np.int64)  # of the match that ends at each source token
    for t in range(batch.inputs.shape[1]):
        before = np.zeros_like(length)
        before[:, 1:] = length[:, :-1]
        length = np.where(source == batch.inputs[:, t, None], before + 1, 0)
        best = length[:, :-1].argmax(axis=1)
        said[:, t] = np.where(length[rows, best] > 0, source[rows, best + 1], -1)
    return said


class Copying(NamedTuple):
    """How often copying says the right token, and the loss of the best bet on it, in nats per token.

    The bet gives the copied token the probability a, every other token an equal share of 1 − a; the best a is the
    accuracy itself.
    """

    accuracy: float
    loss: float


def copying_baseline(batches: Iterable[Seq2SeqBatch], vocab_size: int) -> Copying:
    """Measure copying on batches."""
    right = total = 0
    for batch in batches:
        right += int((copied_tokens(batch) == batch.targets).sum())
        total += int((batch.targets != IGNORE).sum())
    a = right / max(total, 1)
    entropy = -sum(p * math.log(p) for p in (a, 1 - a) if p)
    return Copying(a, entropy + (1 - a) * math.log(vocab_size - 1))
