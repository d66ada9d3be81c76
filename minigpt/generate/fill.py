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
from minigpt.generate.sampling import drawing_probabilities
from minigpt.generate.settings import generation


def fill_in(
    model: Any,
    params: Parameters,
    ids: Sequence[int],
    blanks: Sequence[int],
    *,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    seed: int | Sequence[int] = 0,
    vocab_size: int | None = None,
) -> list[int]:
    """Return the ids with every blank filled, each from the same pass: the blanks do not see each other's fillings.

    Args:
        ids: one row, with its special tokens.
        blanks: the places to fill.
        temperature, top_k, top_p, min_p: see `minigpt.generate.sampling`; temperature 0 takes the most probable token.
        vocab_size: choose only ids below it.
    Raises:
        UserError: the model's scores are not finite.
    """
    backend = backend_of(params.flat)
    run = Run(ops=operations("auto", backend))
    logits = model.logits(params, backend.asarray(np.asarray([ids])), run)[0]
    scores = checked_scores(backend.to_host(logits)[:, :vocab_size])
    g = generation({"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p})
    draw = np.random.default_rng(seed)
    filled = list(ids)
    for blank in blanks:
        p = drawing_probabilities(scores[blank], g)
        filled[blank] = int(draw.choice(len(p), p=p))
    return filled
