"""From stored tensors to parameters: shapes are compared first, then every tensor is copied to where it belongs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigpt.core.params import Parameters, buffer
from minigpt.core.progress import progress_bar
from minigpt.interop.tables import Table, their_shape
from minigpt.interop.weight_files import StoredTensor


def their_shapes(model: Any, table: Table) -> dict[str, tuple[int, ...]]:
    """The shapes that the tensors of a model have in their layout; no memory is taken."""
    shapes = {spec.name: np.broadcast_to(np.float32(0), spec.shape) for spec in model.specs}
    return {theirs: their_shape(view(shapes[ours])) for theirs, (ours, view) in table.items()}


def filled(model: Any, table: Table, found: Mapping[str, StoredTensor], dtype: str) -> Parameters:
    """The parameters, copied tensor by tensor from the mapped files to where they belong.

    Raises:
        UserError: a shape is another one than the model's, before any memory is taken; or a value is not finite.
    """
    for theirs, shape in their_shapes(model, table).items():
        if theirs in found:
            found[theirs].check_shape(shape)
    if all(theirs in found for theirs in table):
        params = Parameters(model.specs, buffer(model.specs, dtype))
    else:
        params = model.init(seed=0, dtype=dtype)
    for theirs, (ours, view) in progress_bar(table.items(), desc="reading", unit="tensor", leave=False, delay=2):
        if theirs in found:
            found[theirs].copy_into(view(params[ours]))
    return params
