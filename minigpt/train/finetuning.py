"""Fine-tuning: a pretrained model's weights under a new head, trained on the examples of a task.

The configuration of such a run is made of the pretrained model's own and of a recipe (presets/finetune); its
weights are the pretrained ones, with new ones where the task needs them. From there on it is a run like any other: the
trainer trains it, evaluates it after every epoch and keeps its best checkpoint.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters, transfer
from minigpt.models.causal_heads import HEAD_STD
from minigpt.tasks import TASKS, Summary, Translation
from minigpt.tasks.inputs import SPECIAL_ROWS
from minigpt.train.config import apply_settings, build_config
from minigpt.train.families import FAMILIES, task_objective
from minigpt.train.presets import read_named
from minigpt.train.settings import RunConfig

_HEADS = ("head.", "classifier.", "span.", "masked.", "pairs.", "final_logits_bias")  # what stands on a body; and
# BERT's pooler, which its head for spans does without
_WIDE = 512  # narrower models follow a recipe for small ones


class Recipe(NamedTuple):
    """How a model is fine-tuned: epochs, the part of all steps that warms up, and settings by section."""

    epochs: int
    warmup: float
    settings: dict[str, Any]


def recipe_for(family: str, width: int, task: str) -> Recipe:
    """The published recipe of a family, or for small models one of their own."""
    name = FAMILIES[family].recipe + ("" if width >= _WIDE else "-tiny")
    settings = read_named(f"finetune/{name}")
    if TASKS[task].kind in (Summary, Translation):
        settings.pop("objective", None)  # λ weighs language against labels, and here is language alone
    if family == "bart" and TASKS[task].kind in (Summary, Translation):
        settings.setdefault("model", {})["label_smoothing"] = 0.1
    return Recipe(settings.pop("epochs"), settings.pop("warmup"), settings)


class Request(NamedTuple):
    """What is to be fine-tuned, apart from the model.

    Attributes:
        folder: where the task's files are.
        epochs: None takes the recipe's.
        examples: how many training examples; 0 takes all.
        settings: further ones, as "section.key=value".
    """

    task: str
    folder: str
    seed: int = 0
    epochs: int | None = None
    examples: int = 0
    settings: tuple[str, ...] = ()


def finetuning_config(source: RunConfig, request: Request) -> RunConfig:
    """The configuration of the run, apart from what depends on how many training rows there are (`with_epochs`).

    Raises:
        UserError: the family has no head for the task, or a setting cannot be.
    """
    task_objective(source.family, request.task)  # raises where there is none, before a recipe is looked for
    recipe = recipe_for(source.family, source.model.width, request.task)
    model = dataclasses.asdict(source.model)
    if FAMILIES[source.family].continues and not source.task:
        model["vocab_size"] += SPECIAL_ROWS  # start, delimiter, extract
    kind = TASKS[request.task].kind
    judged = TASKS[request.task].metrics[0] if kind not in (Summary, Translation) else "loss"
    train = {"seed": request.seed, "best": judged, "sample_every": 0, "keep_checkpoints": 1}
    train |= {"workers": min(source.train.workers or available_cores(), available_cores()), "dtype": source.train.dtype}
    values: dict[str, Any] = {
        "family": source.family,
        "task": request.task,
        "model": model | recipe.settings.get("model", {}),
        "objective": recipe.settings.get("objective", {}) | {"examples": request.examples},
        "data": {"sources": [request.folder], "tokenizer": source.data.tokenizer},
        "train": train | recipe.settings["train"],
        "optimizer": recipe.settings["optimizer"],
        "schedule": recipe.settings["schedule"],
    }
    values["train"] |= {"eval_every": 1, "checkpoint_every": 1}  # until the length of an epoch is known
    return build_config(apply_settings(values, request.settings))


def with_epochs(config: RunConfig, request: Request, rows: int) -> RunConfig:
    """Put in the number of steps, of warm-up steps and of steps between evaluations, for so many training rows.

    What `request.settings` names is left as it is.
    """
    recipe = recipe_for(config.family, config.model.width, request.task)
    size = config.train.batch * config.train.accumulation
    every = max(1, round(rows / size))
    steps = max(1, math.ceil((request.epochs or recipe.epochs) * rows / size))
    named = {setting.partition("=")[0].strip() for setting in request.settings}
    lengths = {"steps": steps, "eval_every": every, "checkpoint_every": every}
    train: dict[str, Any] = {key: value for key, value in lengths.items() if f"train.{key}" not in named}
    if "schedule.warmup" not in named:
        warmup = round(recipe.warmup * train.get("steps", config.train.steps))
        config = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, warmup=warmup))
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **train))


class Start(NamedTuple):
    """The weights that fine-tuning begins with, and which of them are new, and which pretrained ones were left out."""

    params: Parameters
    new: list[str]
    left_out: list[str]


def start_weights(
    model: Any,
    source: Mapping[str, np.ndarray],
    *,
    seed: int,
    dtype: str,
    same_task: bool = False,
    fresh: Collection[str] = (),
    skip: Collection[str] = (),
) -> Start:
    """Pretrained weights under a new head.

    The rows of the special tokens are appended to the embedding, N(0, 0.02²) (of an untied output layer, columns).
    Heads are new, and those of other tasks and of pretraining are left out; anything else that is missing or that there
    is too much of needs the caller's word.

    Args:
        source: the pretrained model's weights by name, on the CPU.
        same_task: the source was fine-tuned for the same task, so its head goes on.
        fresh, skip: beginnings of further names that may start anew, or be left out.
    Raises:
        UserError: something else is missing or unexpected, or has another shape; the message names it.
    """
    params = model.init(seed, dtype)
    heads = () if same_task else _HEADS
    if getattr(model.config, "pooler_is_new", False):
        fresh = (*fresh, "pooler.")
    given = {name: x for name, x in source.items() if not name.startswith(heads) or name == "final_logits_bias"}
    for name, axis in (("tokens", 0), ("output", 1)):
        if name in given and name in params and given[name].shape != params[name].shape:
            given[name] = _grown(given[name], params[name].shape, axis, [seed, axis, 13])
    try:
        transfer(given, params, missing=(*_HEADS, *fresh), unexpected=(*_HEADS, "pooler.", *skip))
    except UserError as error:
        raise UserError(
            f"{error}; name what may start anew with --fresh, and what may be left out with --skip"
        ) from None
    new = [name for name in params if name not in given]
    grown = [f"{SPECIAL_ROWS} rows of tokens"] if given["tokens"].shape != source["tokens"].shape else []
    return Start(params, new + grown, [name for name in source if name not in params or name in new])


def _grown(x: np.ndarray, shape: tuple[int, ...], axis: int, key: list[int]) -> np.ndarray:
    """An embedding with the special tokens' rows behind its own; as it is where it lacks anything else."""
    wanted = list(x.shape)
    wanted[axis] += SPECIAL_ROWS
    if tuple(wanted) != shape:
        return x
    wanted[axis] = SPECIAL_ROWS
    rows = HEAD_STD * np.random.default_rng(key).standard_normal(wanted)
    return np.concatenate([x, rows.astype(x.dtype)], axis=axis)
