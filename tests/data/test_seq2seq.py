"""Batches for encoder–decoders: shifting, padding, counting, cutting."""

import numpy as np

from minigpt.data.seq2seq import Seq2SeqBatch, seq2seq_batch, shift_tokens_right
from minigpt.ops import IGNORE


def test_the_decoder_reads_what_it_should_have_said_before():
    labels = np.array([[0, 5, 6, 2, IGNORE], [0, 7, 2, IGNORE, IGNORE]])
    shifted = shift_tokens_right(labels, pad=1, start=2)
    assert shifted.tolist() == [[2, 0, 5, 6, 2], [2, 0, 7, 2, 1]]
    assert labels[0, 4] == IGNORE


def test_rows_are_filled_up_on_the_right():
    sources, targets = [np.array([0, 9, 2]), np.array([0, 2])], [np.array([0, 2]), np.array([0, 8, 8, 2])]
    batch = seq2seq_batch(sources, targets, pad=1, start=2)
    assert batch.source.tolist() == [[0, 9, 2], [0, 2, 1]]
    assert batch.source_padding.tolist() == [[True, True, True], [True, True, False]]
    assert batch.targets.tolist() == [[0, 2, IGNORE, IGNORE], [0, 8, 8, 2]]
    assert batch.inputs.tolist() == [[2, 0, 2, 1], [2, 0, 8, 8]]
    assert seq2seq_batch(sources[:1], targets[:1], pad=1, start=2).source_padding is None


def test_counts_and_shards():
    source, targets = np.arange(15).reshape(5, 3), np.full((5, 2), 7)
    targets[1, 1] = IGNORE
    batch = Seq2SeqBatch(source, targets, targets, labels=np.array([0, 1, IGNORE, 2, 0]))
    assert batch.counts() == {"tokens": 9, "examples": 4}
    parts = batch.split(2)
    assert [first for first, _ in parts] == [0, 2]
    for field in ("source", "inputs", "targets", "labels"):
        together = np.concatenate([getattr(part, field) for _, part in parts])
        np.testing.assert_array_equal(together, getattr(batch, field))
    assert parts[0][1].spans is None and parts[1][1].counts() == {"tokens": 6, "examples": 2}
