"""BERT's cases for the gradient check: pretraining with and without sentence pairs, padding, dropout, every head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigpt.blocks.run import Run
from minigpt.data.bert_batch import BertBatch
from minigpt.lab.testing import ModelCase, random_parameters
from minigpt.models.bert import Bert, BertConfig
from minigpt.models.bert_heads import BertClassifier, BertMultipleChoice, BertSpans, ClassificationBatch, SpanBatch
from minigpt.ops import IGNORE

_INPUTS = np.array([[2, 4, 0, 3, 3, 2], [2, 6, 3, 4, 1, 3], [2, 5, 3, 6, 6, 3]])  # T = 6, D = 3; repeated tokens
_TYPES = np.array([[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]])
_PADDING = np.arange(6) < np.array([6, 4, 5])[:, None]


def _config(**changed: Any) -> BertConfig:
    rates = {"dropout": 0.0, "attention_dropout": 0.0}
    return BertConfig(**{"vocab_size": 7, "context": 8, "layers": 2, "heads": 2, "width": 6} | rates | changed)


def _case(name: str, model: Any, batch: Any, *, train: bool = False) -> ModelCase:
    return ModelCase(name, model, random_parameters(model), batch, Run(train=train, seed=1, step=3, row=2))


def _pretraining(name: str, *, padded: bool = False, train: bool = False, **config: Any) -> ModelCase:
    model = Bert(_config(**config))
    places = np.array([[1, 4], [3, 0], [2, 1]])
    targets = np.array([[5, 3], [4, IGNORE], [3, 5]])
    labels = np.array([0, 1, 1]) if model.config.pairs else None
    batch = BertBatch(_INPUTS, _TYPES, places, targets, labels, _PADDING if padded else None)
    return _case(name, model, batch, train=train)


def _classifier(name: str, *, train: bool = False, **config: Any) -> ModelCase:
    batch = ClassificationBatch(_INPUTS, np.array([3, IGNORE, 0]), _TYPES, _PADDING)
    return _case(name, BertClassifier(_config(**config), classes=4), batch, train=train)


def _score(name: str, **config: Any) -> ModelCase:
    batch = ClassificationBatch(_INPUTS, np.array([0.4, float(IGNORE), 1.2]), _TYPES, _PADDING)
    return _case(name, BertClassifier(_config(**config), classes=1, regression=True), batch)


def _choice(name: str, *, train: bool = False, **config: Any) -> ModelCase:
    def choices(x: np.ndarray) -> np.ndarray:
        return np.stack([x, x[[1, 2, 0]]])  # (2, 3, T)

    batch = ClassificationBatch(choices(_INPUTS), np.array([2, 0]), choices(_TYPES), choices(_PADDING))
    return _case(name, BertMultipleChoice(_config(**config)), batch, train=train)


def _spans(name: str, **config: Any) -> ModelCase:
    batch = SpanBatch(_INPUTS, np.array([0, 2, 1]), np.array([3, IGNORE, 1]), _TYPES, _PADDING)
    return _case(name, BertSpans(_config(**config)), batch)


_ROBERTA = {"pairs": False, "layers": 1, "width": 4}
_DISTILBERT = _ROBERTA | {"token_types": 0, "pooler_activation": "relu"}
_DROPOUT = {"train": True, "dropout": 0.2, "attention_dropout": 0.3}

BERT_CASES: dict[str, Callable[[], ModelCase]] = {
    "bert": lambda: _pretraining("bert"),
    "bert-no-pairs": lambda: _pretraining("bert-no-pairs", pairs=False, activation="gelu_tanh"),
    "bert-padded": lambda: _pretraining("bert-padded", padded=True),
    "bert-dropout": lambda: _pretraining("bert-dropout", padded=True, **_DROPOUT),
    "bert-classifier": lambda: _classifier("bert-classifier", **_DROPOUT),
    "bert-score": lambda: _score("bert-score"),
    "bert-choice": lambda: _choice("bert-choice", **_DROPOUT),
    "bert-spans": lambda: _spans("bert-spans"),
    "roberta": lambda: _pretraining("roberta", padded=True, pad=1, **_ROBERTA),
    "roberta-classifier": lambda: _classifier("roberta-classifier", pad=1, **_ROBERTA),
    "distilbert": lambda: _pretraining("distilbert", **_DISTILBERT),
    "distilbert-classifier": lambda: _classifier("distilbert-classifier", **_DISTILBERT),
}
