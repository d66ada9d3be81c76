"""The settings of a run as frozen dataclasses, one for each section: every setting has a name, a type and a default.

Those of the optimizer and of the learning rate are beside what they set. `config` reads and builds them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from minigpt.blocks.dispatch import ATTENTIONS, IMPLEMENTATIONS
from minigpt.blocks.mixed import DTYPES
from minigpt.core.limits import EXPONENT
from minigpt.core.settings import at_least, must, one_of, require
from minigpt.core.sums import ORDERS
from minigpt.generate.beam import PENALTIES
from minigpt.models import GPTConfig
from minigpt.train.optimizer import OptimizerConfig
from minigpt.train.schedule import ScheduleConfig


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
        must(0 < self.validation_fraction < 1, "data", self, "validation_fraction", "be between 0 and 1")


@dataclass(frozen=True)
class TrainConfig:
    """How long and on what.

    Attributes:
        batch: rows per pass; accumulation: passes per step (the step sees batch · accumulation rows).
        ramp_from, ramp_tokens: the first step has `ramp_from` rows, and from there their number grows with the tokens
            seen until it is full after `ramp_tokens`; 0 begins with the full batch.
        workers: how many take a shard of the batch each; 0 means one for each core.
        processes: workers are processes on Linux (on NumPy arrays, without mixed precision), which is faster and gives
            identical weights, or else threads. Without it they are threads everywhere, which a debugger can follow.
        operations: "plain" (minigpt/ops, to read), "fast" (minigpt/fast, NumPy only), "compiled" (minigpt/fast/loops,
            NumPy only, with Numba), "kernels" (minigpt/kernels), or "auto": on a GPU "kernels", on NumPy "compiled"
            where Numba is installed, or else "fast".
        attention: "reference" (minigpt/ops), "tiled" (minigpt/fast), "cuda:RUNG" (minigpt/kernels) or "auto".
        emulate: run the CUDA kernels of train.attention on the CPU, slowly, on NumPy arrays.
        dtype: of the weights, gradients and moments.
        compute: "same" as dtype, or "bfloat16" or "float16": mixed precision (see minigpt/blocks/mixed.py).
        sums: how the workers' gradients are added, "tree" or, in runs of before there was a choice, "sequence" (see
            minigpt/core/sums.py): with four workers and more, other bits.
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
    sums: str = "tree"
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
        at_least(1, "train", self, "steps", "batch", "accumulation", "eval_tokens", "log_every")
        require(
            (1 <= self.ramp_from <= self.batch * self.accumulation) if self.ramp_tokens else not self.ramp_from,
            "train.ramp_from and ramp_tokens belong together: from at least 1 row to at most batch x accumulation",
        )
        counts = ("ramp_tokens", "seed", "workers", "eval_every", "sample_every", "checkpoint_every", "patience")
        at_least(0, "train", self, *counts, "keep_checkpoints")
        require(
            not self.best or self.eval_every == self.checkpoint_every,
            "train.best keeps the best of the checkpoints: train.checkpoint_every must equal train.eval_every",
        )
        require(bool(self.best) or not self.patience, "train.patience needs train.best: what it waits for")
        one_of("train.backend", self.backend, ("numpy", "cupy"))
        one_of("train.sums", self.sums, ORDERS)
        one_of("train.operations", self.operations, IMPLEMENTATIONS)
        one_of("train.attention", self.attention, ATTENTIONS)
        one_of("train.dtype", self.dtype, ("float32", "float64"))
        one_of("train.compute", self.compute, ("same", *DTYPES))
        require(
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
        at_least(1, "sample", self, "tokens")
        at_least(0, "sample", self, "temperature", "top_k", "beams", "no_repeat_ngram")
        must(0 < self.top_p <= 1, "sample", self, "top_p", "be above 0 and at most 1")
        must(0 <= self.min_p <= 1, "sample", self, "min_p", "be from 0 to 1")
        require(self.repetition_penalty > 0, "sample.repetition_penalty must be above 0")
        allowed = f"be from -{EXPONENT} to {EXPONENT}"
        must(abs(self.length_penalty) <= EXPONENT, "sample", self, "length_penalty", allowed)
        one_of("sample.penalty", self.penalty, PENALTIES)

    @property
    def drawing(self) -> dict[str, Any]:
        """How a token is chosen, under the names of `minigpt.generate.settings.Generation`."""
        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
        return {name: getattr(self, name) for name in names} | {"no_repeat_ngram_size": self.no_repeat_ngram}


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run, besides the text itself. Model and objective are of the family's classes."""

    family: str = "gpt"
    model: Any = field(default_factory=GPTConfig)
    objective: Any = None  # an objective's `Config`; `build_config` fills in the family's defaults
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    task: str = ""  # what it is fine-tuned for (a name of minigpt.tasks); "" while it is pretrained
