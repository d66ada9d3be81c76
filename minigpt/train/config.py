"""The configuration of a run: frozen dataclasses, filled from a preset or TOML file and from `--set section.key=value`.

Every setting has a name, a type and a default. An unknown name is an error that names the nearest known one; a value
of the wrong type is an error that says what was expected.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w

from minigpt.blocks.dispatch import ATTENTIONS, IMPLEMENTATIONS
from minigpt.blocks.mixed import DTYPES
from minigpt.core.errors import UserError
from minigpt.generate.beam import PENALTIES
from minigpt.models import FAMILIES, GPTConfig
from minigpt.tasks import TASKS
from minigpt.train.families import objective_class
from minigpt.train.objectives import CausalConfig


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


def _one_of(name: str, value: str, choices: Iterable[str]) -> None:
    _require(value in choices, f"{name} is {value!r}; choose one of {', '.join(choices)}")


@dataclass(frozen=True)
class DataConfig:
    """Where the text comes from and how it becomes tokens.

    Attributes:
        sources: files, folders or the name of a corpus; empty means the default corpus.
        tokenizer: "char", "byte", "bpe:SIZE", "wordpiece:SIZE", "gpt:SIZE", or the path of a tokenizer file or folder.
        validation_fraction: the last part of the tokens, kept for validation.
    """

    sources: tuple[str, ...] = ()
    tokenizer: str = "char"
    validation_fraction: float = 0.1

    def __post_init__(self) -> None:
        _require(
            0 < self.validation_fraction < 1,
            f"data.validation_fraction is {self.validation_fraction}; it must be between 0 and 1",
        )


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW: which published variant of the update, and its constants (see minigpt/train/optimizer.py)."""

    variant: str = "adamw"
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0  # largest global norm of the gradient; 0 does not clip

    def __post_init__(self) -> None:
        _one_of("optimizer.variant", self.variant, ("adamw", "openai", "bert", "fairseq"))
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, f"optimizer.{name} must be at least 0 and below 1")
        _require(self.eps > 0, f"optimizer.eps is {self.eps}; it must be positive")
        _require(self.weight_decay >= 0 and self.clip >= 0, "optimizer.weight_decay and clip must not be negative")


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over the steps (see minigpt/train/schedule.py)."""

    kind: str = "cosine"
    peak: float = 1e-3
    floor: float = 0.0  # where cosine, linear, polynomial and bert end
    warmup: int = 100  # steps of linear warm-up
    steps: int = 0  # over how many steps they fall; 0 means train.steps
    warmup_tokens: int = 0  # the same two in training tokens, in place of steps, where `tokens` is not 0
    tokens: int = 0

    def __post_init__(self) -> None:
        _one_of("schedule.kind", self.kind, ("cosine", "linear", "inverse_sqrt", "constant", "polynomial", "bert"))
        _require(self.peak > 0, f"schedule.peak is {self.peak}; it must be positive")
        _require(0 <= self.floor <= self.peak, "schedule.floor must be between 0 and schedule.peak")
        for name in ("warmup", "steps", "warmup_tokens", "tokens"):
            _require(getattr(self, name) >= 0, f"schedule.{name} is {getattr(self, name)}; it must not be negative")
        _require(
            self.warmup_tokens < self.tokens or not self.warmup_tokens,
            f"schedule.warmup_tokens is {self.warmup_tokens}; it must be less than schedule.tokens, {self.tokens}",
        )


@dataclass(frozen=True)
class TrainConfig:
    """How long and on what.

    Attributes:
        batch: rows per pass; accumulation: passes per step (the step sees batch · accumulation rows).
        ramp_from, ramp_tokens: the first step has `ramp_from` rows, and from there their number grows with the tokens
            seen until it is full after `ramp_tokens`; 0 begins with the full batch.
        workers: how many take a shard of the batch each; 0 means one for each core.
        processes: workers are processes on Linux (on NumPy arrays, without mixed precision), which is faster and gives
            the same bits, or else threads. Without it they are threads everywhere, which a debugger can follow.
        operations: "plain" (minigpt/ops, to read), "fast" (minigpt/fast, NumPy only), "kernels" (minigpt/kernels)
            or "auto".
        attention: "reference" (minigpt/ops), "tiled" (minigpt/fast), "cuda:RUNG" (minigpt/kernels) or "auto".
        emulate: run the CUDA kernels of train.attention on the CPU, slowly, on NumPy arrays.
        dtype: of the weights, gradients and moments.
        compute: "same" as dtype, or "bfloat16" or "float16": mixed precision (see minigpt/blocks/mixed.py).
        recompute: keep only the blocks' inputs and compute them again in the backward pass: less memory, more time.
            Rows of 2,048 tokens and more are spared most of it anyway (see minigpt/blocks/recompute.py).
        eval_tokens: how many validation tokens are scored during training (the last evaluation scores all of them).
        *_every: a number of steps; 0 means only at the end.
        keep_checkpoints: how many of the newest checkpoints stay on disk; 0 keeps all.
        checkpoint_powers: also save at the steps 1, 2, 4, 8, …, and keep those and the first one, whatever their
            number: what `minigpt zeroshot --checkpoints` needs, whose axis of steps is logarithmic.
        best: the measure of the validation data (as the log calls it, without val_) by which the best checkpoint is
            kept as well, and opened; "" keeps the newest only. Checkpoints are then made where it is evaluated.
        patience: stop after so many evaluations that brought nothing better; 0 never does.
    """

    steps: int = 1000
    batch: int = 16
    accumulation: int = 1
    ramp_from: int = 0
    ramp_tokens: int = 0
    seed: int = 0
    workers: int = 0
    processes: bool = True
    backend: str = "numpy"
    operations: str = "auto"
    attention: str = "auto"
    emulate: bool = False
    dtype: str = "float32"
    compute: str = "same"
    recompute: bool = False
    log_every: int = 1
    eval_every: int = 200
    eval_tokens: int = 20000
    sample_every: int = 500
    checkpoint_every: int = 200
    keep_checkpoints: int = 2
    checkpoint_powers: bool = False
    best: str = ""
    patience: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulation", "eval_tokens", "log_every"):
            _require(getattr(self, name) >= 1, f"train.{name} is {getattr(self, name)}; it must be at least 1")
        _require(
            (1 <= self.ramp_from <= self.batch * self.accumulation) if self.ramp_tokens else not self.ramp_from,
            "train.ramp_from and ramp_tokens belong together: from at least 1 row to at most batch x accumulation",
        )
        counts = ("ramp_tokens", "seed", "workers", "eval_every", "sample_every", "checkpoint_every", "patience")
        for name in (*counts, "keep_checkpoints"):
            _require(getattr(self, name) >= 0, f"train.{name} is {getattr(self, name)}; it must not be negative")
        _require(
            not self.best or self.eval_every == self.checkpoint_every,
            "train.best keeps the best of the checkpoints: train.checkpoint_every must equal train.eval_every",
        )
        _require(bool(self.best) or not self.patience, "train.patience needs train.best: what it waits for")
        _one_of("train.backend", self.backend, ("numpy", "cupy"))
        _one_of("train.operations", self.operations, IMPLEMENTATIONS)
        _one_of("train.attention", self.attention, ATTENTIONS)
        _one_of("train.dtype", self.dtype, ("float32", "float64"))
        _one_of("train.compute", self.compute, ("same", *DTYPES))
        _require(
            self.compute == "same" or self.dtype == "float32",
            f"train.compute = {self.compute!r} keeps its weights in float32; train.dtype is {self.dtype!r}",
        )

    @property
    def compute_dtype(self) -> str:
        """The precision that a step computes with."""
        return self.dtype if self.compute == "same" else self.compute


@dataclass(frozen=True)
class SampleConfig:
    """The text that a run writes now and then, and `minigpt sample`'s defaults.

    Attributes:
        beams: search with so many beams for the most probable text instead of drawing tokens (encoder–decoders only);
            0 draws.
        min_p: draw only tokens of at least so many times the largest probability.
        repetition_penalty: divide the scores of tokens that the text already has (and multiply negative ones); 1 does
            nothing.
        no_repeat_ngram: no sequence of so many tokens comes twice; 0 allows it.
        penalty, length_penalty: how the search weighs length, "length" (nᵅ) or "gnmt" (((5 + n)/6)ᵅ), and α: larger
            values favour longer texts.
    """

    prompt: str = ""
    tokens: int = 300
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    beams: int = 0
    penalty: str = "length"
    length_penalty: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0

    def __post_init__(self) -> None:
        _require(0 <= self.min_p <= 1, f"sample.min_p is {self.min_p}; it must be from 0 to 1")
        _require(self.repetition_penalty > 0, "sample.repetition_penalty must be above 0")
        _require(self.no_repeat_ngram >= 0, "sample.no_repeat_ngram must not be negative")
        _require(self.tokens >= 1, f"sample.tokens is {self.tokens}; it must be at least 1")
        _require(self.temperature >= 0, f"sample.temperature is {self.temperature}; it must not be negative")
        _require(self.top_k >= 0, f"sample.top_k is {self.top_k}; it must not be negative")
        _require(0 < self.top_p <= 1, f"sample.top_p is {self.top_p}; it must be above 0 and at most 1")
        _require(self.beams >= 0, f"sample.beams is {self.beams}; it must not be negative")
        _one_of("sample.penalty", self.penalty, PENALTIES)


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run, besides the text itself. Model and objective are of the family's classes."""

    family: str = "gpt"
    model: Any = field(default_factory=GPTConfig)
    objective: Any = None  # None: the family's defaults
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    task: str = ""  # what it is fine-tuned for (a name of minigpt.tasks); "" while it is pretrained

    def __post_init__(self) -> None:
        if self.objective is None:
            object.__setattr__(self, "objective", objective_class(self.family, self.task).Config())


def preset_names() -> list[str]:
    files = resources.files("minigpt.train.presets").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_preset(name: str) -> dict:
    """Return the settings of a preset, or of the TOML file of that path, as nested dictionaries."""
    if name.endswith(".toml") or "/" in name or "\\" in name:
        return read_toml(Path(name))
    if name not in preset_names():
        raise UserError(_unknown("preset", name, preset_names()) + "; or give the path of a .toml file")
    return tomllib.loads((resources.files("minigpt.train.presets") / f"{name}.toml").read_text(encoding="utf-8"))


def read_toml(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # among them TOMLDecodeError and UnicodeDecodeError
        raise UserError(f"{path} is not a valid TOML file: {error}") from None


def apply_settings(values: dict, settings: Iterable[str]) -> dict:
    """Return `values` with every "section.key=value" of the command line put in."""
    merged = {k: dict(v) if isinstance(v, dict) else v for k, v in values.items()}
    for setting in settings:
        path, equals, text = setting.partition("=")
        section, dot, key = path.strip().partition(".")
        if not (equals and dot and key):
            raise UserError(f"--set {setting} is not of the form section.key=value (such as train.steps=100)")
        if not isinstance(merged.setdefault(section, {}), dict):
            raise UserError(_unknown("section", section, _sections()))
        merged[section][key] = _parse_value(text.strip())
    return merged


def build_config(values: Mapping[str, Any]) -> RunConfig:
    """Make a RunConfig of nested dictionaries.

    Raises:
        UserError: a section or key is unknown, or a value has the wrong type or is out of range.
    """
    family = values.get("family", "gpt")
    if not isinstance(family, str) or family not in FAMILIES:
        raise UserError(_unknown("model family", str(family), FAMILIES))
    task = values.get("task", "")
    if task and task not in TASKS:
        raise UserError(_unknown("task", str(task), TASKS))
    sections = _sections() | {"model": FAMILIES[family][0], "objective": objective_class(family, task).Config}
    built = {}
    for name, content in values.items():
        if name in ("family", "task"):
            continue
        if name not in sections:
            raise UserError(_unknown("section", name, sections))
        if not isinstance(content, Mapping):
            raise UserError(f"{name} is a section of the configuration, not a value: write [{name}]")
        built[name] = _build_section(name, sections[name], content)
    built.setdefault("model", sections["model"]())
    return RunConfig(family=family, task=task, **built)


def config_to_toml(config: RunConfig) -> str:
    values = dataclasses.asdict(config)
    if not config.task:
        del values["task"]
    return tomli_w.dumps(values)


def _sections() -> dict[str, type]:
    return {
        "model": GPTConfig,
        "objective": CausalConfig,
        "data": DataConfig,
        "train": TrainConfig,
        "optimizer": OptimizerConfig,
        "schedule": ScheduleConfig,
        "sample": SampleConfig,
    }


def _build_section(section: str, cls: type, content: Mapping[str, Any]) -> Any:
    defaults = {f.name: getattr(cls(), f.name) for f in dataclasses.fields(cls)}
    types = {f.name: f.type for f in dataclasses.fields(cls)}
    values = {}
    for key, value in content.items():
        if key not in defaults:
            raise UserError(_unknown("setting", f"{section}.{key}", [f"{section}.{k}" for k in defaults]))
        values[key] = _convert(f"{section}.{key}", value, defaults[key], numbers=types[key] == "tuple[float, ...]")
    return cls(**values)


def _convert(name: str, value: Any, default: Any, *, numbers: bool = False) -> Any:
    """Bring a TOML value to the type of the default; integers serve as floats, nothing else is bent.

    Args:
        numbers: whether a list is one of numbers, and not of texts.
    """
    if numbers:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{name} is {repr(value)[:60]}, but it must be a list of numbers")
        return tuple(_convert(f"an item of {name}", item, 0.0) for item in value)
    if isinstance(default, tuple):
        if isinstance(value, str):
            value = [value]
        if isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
            return tuple(value)
    elif isinstance(default, float) and type(value) in (int, float):
        if not abs(value) < 1e300:
            raise UserError(f"{name} is {str(value)[:20]}, but it must be a finite number")
        return float(value)
    elif type(value) is type(default):
        if isinstance(value, int) and abs(value) > 2**62:
            raise UserError(f"{name} is {str(value)[:20]}…, which is too large")
        return value
    kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts"}
    raise UserError(f"{name} is {repr(value)[:60]}, but it must be {kind[type(default)]}")


def _parse_value(text: str) -> Any:
    """A value as TOML would read it; a bare word is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(known)}"
    return f"unknown {what} {name!r}: {hint}"
