"""The encoder–decoders' cases for the gradient check: padding, smoothed labels, every dropout, every head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigpt.blocks.run import Run
from minigpt.data.seq2seq import Seq2SeqBatch
from minigpt.lab.testing import ModelCase, random_parameters
from minigpt.models.bart import BART, BARTClassifier, BARTConfig, BARTQuestionAnswering
from minigpt.models.transformer import Transformer, TransformerConfig
from minigpt.ops import IGNORE

_SHAPE = {"vocab_size": 7, "context": 7, "feed_forward": 5}
_SOURCE = np.array([[3, 0, 3, 3, 6, 2], [5, 0, 2, 1, 1, 1]])  # S = 6, T = 4; 1 is padding
_INPUTS = np.array([[2, 3, 0, 3], [2, 5, 6, 6]])
_TARGETS = np.array([[3, 0, 3, 2], [5, 6, 6, IGNORE]])


def _case(name: str, model: Any, batch: Seq2SeqBatch, *, train: bool) -> ModelCase:
    return ModelCase(name, model, random_parameters(model), batch, Run(train=train, seed=1, step=3, row=2))


def _transformer(name: str, *, train: bool = False, padded: bool = True, **config: Any) -> ModelCase:
    model = Transformer(TransformerConfig(**_SHAPE, encoder_layers=1, decoder_layers=2, width=6, **config))
    batch = Seq2SeqBatch(_SOURCE, _INPUTS, _TARGETS, _SOURCE != 1 if padded else None)
    return _case(name, model, batch, train=train)


def _bart(name: str, make: Callable[[BARTConfig], Any] = BART, *, train: bool = False, **config: Any) -> ModelCase:
    model = make(BARTConfig(**_SHAPE, encoder_layers=2, decoder_layers=1, width=4, **config))
    batch = Seq2SeqBatch(_SOURCE, _INPUTS, _TARGETS, _SOURCE != 1)
    if make is not BART:  # both stacks read the same text
        inputs = np.where(_SOURCE == 1, 1, np.roll(_SOURCE, 1, axis=1))
        labels, spans = np.array([2, 0]), np.array([[1, 4], [2, IGNORE]])
        batch = batch._replace(inputs=inputs, targets=None, labels=labels, spans=spans)
    return _case(name, model, batch, train=train)


SEQ2SEQ_CASES: dict[str, Callable[[], ModelCase]] = {
    "transformer": lambda: _transformer("transformer"),
    "transformer-trained": lambda: _transformer(
        "transformer-trained",
        train=True,
        padded=False,
        positions="halves",
        attention_bias=True,
        attention_dropout=0.1,
        activation_dropout=0.2,
    ),
    "bart": lambda: _bart("bart", dropout=0.0),
    "bart-trained": lambda: _bart("bart-trained", train=True, activation_dropout=0.2, label_smoothing=0.1),
    "bart-uneven": lambda: _bart("bart-uneven", dropout=0.0, decoder_heads=1, decoder_feed_forward=5),
    "bart-classifier": lambda: _bart(
        "bart-classifier", lambda c: BARTClassifier(c, classes=3), train=True, head_dropout=0.3
    ),
    "bart-answers": lambda: _bart("bart-answers", BARTQuestionAnswering),
}
