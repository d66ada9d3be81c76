"""Which implementation of the operations a run uses: the one table."""

from __future__ import annotations

from types import ModuleType

from minigpt import fast, ops
from minigpt.backend import Backend
from minigpt.errors import UserError

IMPLEMENTATIONS = ("auto", "plain", "fast")


def operations(name: str, backend: Backend) -> ModuleType:
    """Return the module with the operations that `name` asks for.

    "plain" is `minigpt.ops`, which runs anywhere; "fast" is `minigpt.fast`, for NumPy arrays only; "auto" is "fast" on
    NumPy and "plain" on CuPy, where the fast versions' loops over blocks would be a storm of launches.

    Raises:
        UserError: the implementation cannot run on this backend.
    """
    if name == "auto":
        name = "fast" if backend.name == "numpy" else "plain"
    if name == "fast" and backend.name != "numpy":
        raise UserError(
            f"train.operations = 'fast' runs on NumPy only, not on {backend.name}; choose 'auto' or 'plain'"
        )
    return {"plain": ops, "fast": fast}[name]
