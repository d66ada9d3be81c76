"""The families of models: what tells each of them apart, in one record, and what a configuration makes of it.

To add a family, write its model and its objective and enter a record here (`register`, or a line of `FAMILIES`).
`minigpt.interop` and `minigpt.lab` keep one table each by the same names: how a family is spoken to in Hugging Face's
terms, and what a plan knows of its work. A family that they do not know is trained, sampled and evaluated all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minigpt import models
from minigpt.core.errors import UserError
from minigpt.tasks import TASKS, Classification, MultipleChoice, Similarity, Span, Summary, Translation
from minigpt.tasks.inputs import MakeInputs, bart_inputs, bert_inputs, causal_inputs
from minigpt.tokenizers import Tokenizer
from minigpt.train.objectives.base import Objective
from minigpt.train.objectives.bert import BertObjective
from minigpt.train.objectives.causal import CausalObjective
from minigpt.train.objectives.denoising import DenoisingObjective
from minigpt.train.objectives.labels import BartLabels, BertLabels, CausalLabels
from minigpt.train.objectives.sequence import SequenceObjective
from minigpt.train.objectives.spans import BartSpanObjective, BertSpanObjective
from minigpt.train.objectives.task import TaskObjective
from minigpt.train.objectives.texts import BartTexts, CausalTexts
from minigpt.train.settings import RunConfig

_Tasks = Mapping[type, type[TaskObjective]]


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        config, model: the class of its configuration, which is the section [model] of a run's, and of the model.
        objective: what it learns from when it is pretrained.
        continues: whether it predicts each token from those before it, so that it can be prompted.
        inputs: makes the sequences that it reads of a task's examples; None where it has no task.
        tasks: by kind of example the objective that it is fine-tuned by, with its head.
        recipe: which of the published recipes it is fine-tuned by (minigpt/train/presets/finetune).
    """

    config: type[Any]
    model: type[models.Model]
    objective: type[Objective]
    continues: bool = False
    inputs: MakeInputs | None = None
    tasks: _Tasks = field(default_factory=dict)
    recipe: str = ""

    def __post_init__(self) -> None:
        if self.tasks and not (self.inputs and self.recipe):
            raise ValueError("a family with tasks needs the inputs that it reads of them, and a recipe")


_LABELS, _TEXTS = (Classification, Similarity), (Summary, Translation)
_CHOICES = (*_LABELS, MultipleChoice)
_CAUSAL: _Tasks = dict.fromkeys(_CHOICES, CausalLabels) | dict.fromkeys(_TEXTS, CausalTexts)
_BERT: _Tasks = dict.fromkeys(_CHOICES, BertLabels) | {Span: BertSpanObjective}
_BART: _Tasks = dict.fromkeys(_LABELS, BartLabels) | {Span: BartSpanObjective} | dict.fromkeys(_TEXTS, BartTexts)

FAMILIES: dict[str, Family] = {
    "gpt": Family(models.GPTConfig, models.GPT, CausalObjective, True, causal_inputs, _CAUSAL, "gpt"),
    "llama": Family(models.LlamaConfig, models.Llama, CausalObjective, True, causal_inputs, _CAUSAL, "gpt"),
    "transformer": Family(models.TransformerConfig, models.Transformer, SequenceObjective),
    "bart": Family(models.BARTConfig, models.BART, DenoisingObjective, False, bart_inputs, _BART, "bart"),
    "bert": Family(models.BertConfig, models.Bert, BertObjective, False, bert_inputs, _BERT, "bert"),
}


def register(name: str, family: Family) -> None:
    """Add a family of one's own: configurations, commands and `minigpt.load` then know its name.

    Raises:
        UserError: there is one of that name.
    """
    if name in FAMILIES:
        raise UserError(f"there is a family {name!r} already")
    FAMILIES[name] = family


def continuing() -> list[str]:
    """The names of the families that can be prompted."""
    return [name for name, family in FAMILIES.items() if family.continues]


def task_objective(family: str, task: str) -> type[TaskObjective]:
    """The objective that a family is fine-tuned by for a task.

    Raises:
        UserError: the family has no head for such a task.
    """
    kind = TASKS[task].kind
    if kind not in FAMILIES[family].tasks:
        able = " or ".join(name for name, known in FAMILIES.items() if kind in known.tasks)
        instead = f"use a model of the family {able}" if able else "minigpt zeroshot and fewshot measure it"
        raise UserError(f"{family} cannot be fine-tuned for {task}: it has no head for such examples; {instead}")
    return FAMILIES[family].tasks[kind]


def objective_class(family: str, task: str = "") -> type[Objective]:
    """The class of a family's objective: that of pretraining, or of fine-tuning for a task."""
    return task_objective(family, task) if task else FAMILIES[family].objective


def make_model(config: RunConfig) -> models.Model:
    """The model that a run trains: its family's, or for a task its body with a head."""
    body = FAMILIES[config.family].model
    return task_objective(config.family, config.task).model(config, body) if config.task else body(config.model)


def make_objective(config: RunConfig, tokenizer: Tokenizer) -> Objective:
    """What the model of a run learns from."""
    family = FAMILIES[config.family]
    if not config.task:
        return family.objective(config, tokenizer)
    objective = task_objective(config.family, config.task)
    assert family.inputs is not None  # of a family with tasks
    return objective(config, tokenizer, family.inputs(config.model, tokenizer, config.objective.overlong == "refuse"))
