"""gpt2: `GPT2LMHeadModel`. Its `Conv1D` matrices are (in, out), as ours are."""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.family import Family
from minigpt.interop.hf.gpt import PREFIX, blocks
from minigpt.interop.tables import Table, as_is, norm


def table(model: Any) -> Table:
    outer: Table = {
        f"{PREFIX}wte.weight": ("tokens", as_is),
        f"{PREFIX}wpe.weight": ("positions", as_is),
    }
    return outer | blocks(model.config) | norm(f"{PREFIX}ln_f", "final_norm")


def problems(config: Any) -> list[str]:
    """What of the configuration `GPT2LMHeadModel` cannot express, as ends of the sentence "the model has …"."""
    found = {"no biases": not config.bias, f"banded attention (window {config.window})": config.window}
    return [problem for problem, is_there in found.items() if is_there]


FAMILY = Family(
    model_type="gpt2",
    family="gpt",
    fits=lambda config: config.norm == "pre",
    problems=problems,
    table=table,
)
