"""The mean of a run's last checkpoints (Vaswani et al. 2017): the noise of the last steps cancels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import get_backend
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.train.checkpoint import load_state, load_weights
from minigpt.train.integrity import checkpoint_paths


class Average(NamedTuple):
    """The averaged weights, in the run's own precision, what the newest checkpoint says, and the steps they are of."""

    params: Parameters
    state: dict[str, Any]
    steps: list[int]


def average_checkpoints(run: Path, model: Any, last: int, *, dtype: str) -> Average:
    """Average the weights of the newest `last` checkpoints, summing in float64.

    Raises:
        UserError: the run has fewer checkpoints, or one of them is damaged.
    """
    paths = checkpoint_paths(run)
    if len(paths) < last:
        raise UserError(
            f"{run} has {len(paths)} checkpoints, not {last}; train with --set train.keep_checkpoints={last} and a "
            "smaller train.checkpoint_every"
        )
    backend = get_backend("numpy")
    total = load_weights(paths[-last], model, dtype="float64", backend=backend).flat
    for path in paths[len(paths) - last + 1 :]:
        total += load_weights(path, model, dtype="float64", backend=backend).flat
    states = [load_state(path) for path in paths[-last:]]
    flat = np.asarray(total / last, dtype=dtype)
    return Average(Parameters(model.specs, flat), states[-1], [state["step"] for state in states])
