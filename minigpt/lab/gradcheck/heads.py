"""Cases for the gradient check of decoder-only models with a head: classes, both orders of a pair, choices, a score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigpt.blocks.run import Run
from minigpt.lab.testing import ModelCase, random_parameters
from minigpt.models.causal_heads import CausalHead, ExtractBatch
from minigpt.models.gpt import GPT, GPTConfig
from minigpt.models.llama import Llama, LlamaConfig
from minigpt.ops import IGNORE

_INPUTS = np.array([[4, 0, 3, 3, 6, 1], [4, 5, 6, 1, 1, 1], [4, 3, 1, 2, 6, 1], [4, 0, 0, 3, 2, 6]])  # repeated tokens
_ENDS = np.array([4, 2, 4, 5])  # T = 6, of which some is padding


def _gpt(**config: Any) -> GPT:
    return GPT(GPTConfig(vocab_size=7, context=8, layers=2, heads=2, width=6, **config))  # D = 3


def _batch(sequences: int, labels: list[float], *, language: bool = True) -> ExtractBatch:
    """Four sequences, in examples of `sequences` each; in the first, one target does not count."""
    targets = np.roll(_INPUTS, -1, axis=1)
    targets[np.arange(6) >= _ENDS[:, None]] = IGNORE
    targets[0, 1] = IGNORE
    inputs, ends, targets = (x.reshape(-1, sequences, *x.shape[1:]) for x in (_INPUTS, _ENDS, targets))
    return ExtractBatch(inputs, ends, np.array(labels), targets if language else None)


def _case(name: str, model: CausalHead, batch: ExtractBatch, *, train: bool = False) -> ModelCase:
    return ModelCase(name, model, random_parameters(model), batch, Run(train=train, seed=1, step=3, row=2))


HEAD_CASES: dict[str, Callable[[], ModelCase]] = {
    "gpt-classes": lambda: _case(
        "gpt-classes",
        CausalHead(_gpt(norm="post", scaled_residual_init=False), 3, auxiliary=0.5),
        _batch(1, [2, 0, IGNORE, 1]),
    ),
    "gpt2-classes-alone": lambda: _case(
        "gpt2-classes-alone", CausalHead(_gpt(bias=False), 3, auxiliary=0.5), _batch(1, [2, 0, 1, 1], language=False)
    ),
    "gpt2-both-orders": lambda: _case(
        "gpt2-both-orders", CausalHead(_gpt(dropout=0.2), 2, auxiliary=0.5, dropout=0.3), _batch(2, [1, 0]), train=True
    ),
    "gpt2-score": lambda: _case(
        "gpt2-score", CausalHead(_gpt(), 1, regression=True, auxiliary=0.7), _batch(2, [0.4, float(IGNORE)])
    ),
    "gpt2-choice": lambda: _case(
        "gpt2-choice",
        CausalHead(_gpt(dropout=0.2), 1, choice=True, auxiliary=0.5, dropout=0.3),
        _batch(2, [1, 0]),
        train=True,
    ),
    "llama-choice": lambda: _case(
        "llama-choice",
        CausalHead(
            Llama(LlamaConfig(vocab_size=7, context=8, layers=2, heads=4, kv_heads=2, width=8, feed_forward=5)),
            1,
            choice=True,
            auxiliary=0.5,
        ),
        _batch(2, [1, 0]),
    ),
}
