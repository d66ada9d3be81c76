"""Fill in the blanks: a masked language model says what stands where a text has [MASK]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigpt.blocks.dispatch import operations
from minigpt.blocks.run import Run
from minigpt.core.backend import backend_of
from minigpt.core.params import Parameters
from minigpt.generate.processors import checked_scores
from minigpt.generate.sampling import drawn
from minigpt.generate.settings import generation


def fill_in(
    model: Any,
    params: Parameters,
    ids: Sequence[int],
    blanks: Sequence[int],
    *,
    seed: int | Sequence[int] = 0,
    vocab_size: int | None = None,
    **settings: Any,
) -> list[int]:
    """Return the ids with every blank filled, each from the same pass: the blanks do not see each other's fillings.

    Args:
        ids: one row, with its special tokens.
        blanks: the places to fill.
        vocab_size: choose only ids below it.
        settings: how a token is drawn (see `minigpt.generate.settings.Generation`); by default the most probable one.
    Raises:
        UserError: the model's scores are not finite.
    """
    backend = backend_of(params.flat)
    run = Run(ops=operations("auto", backend))
    logits = model.logits(params, backend.asarray(np.asarray([ids])), run)[0]
    scores = checked_scores(backend.to_host(logits)[:, :vocab_size])
    g, rng = generation({"temperature": 0, "top_k": 0}, settings), np.random.default_rng(seed)
    filled = list(ids)
    for blank in blanks:
        filled[blank] = drawn(scores[blank], g, rng)
    return filled
