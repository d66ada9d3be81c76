"""What a configuration asks for: the model and the objective of its family, or, where it names a task, a head for that
task on the family's body and what to learn it from.
"""

from __future__ import annotations

from typing import Any

from minigpt.core.errors import UserError
from minigpt.models import FAMILIES
from minigpt.tasks import TASKS
from minigpt.tokenizers import Tokenizer
from minigpt.train.objectives import OBJECTIVES
from minigpt.train.objectives.finetuning import TASK_OBJECTIVES
from minigpt.train.settings import RunConfig


def objective_class(family: str, task: str = "") -> type:
    """The class of a family's objective: that of pretraining, or of fine-tuning for a task.

    Raises:
        UserError: the family has no head for such a task.
    """
    if not task:
        return OBJECTIVES[family]
    kind = TASKS[task].kind
    if (family, kind) not in TASK_OBJECTIVES:
        able = [name for name, known in TASK_OBJECTIVES if known is kind]
        instead = (
            f"use a model of the family {' or '.join(able)}" if able else "minigpt zeroshot and fewshot measure it"
        )
        raise UserError(f"{family} cannot be fine-tuned for {task}: it has no head for such examples; {instead}")
    return TASK_OBJECTIVES[family, kind]


def make_model(config: RunConfig) -> Any:
    """The model that a run trains."""
    if config.task:
        return objective_class(config.family, config.task).model(config)
    return FAMILIES[config.family][1](config.model)


def make_objective(config: RunConfig, tokenizer: Tokenizer) -> Any:
    """What the model of a run learns from."""
    return objective_class(config.family, config.task)(config, tokenizer)
