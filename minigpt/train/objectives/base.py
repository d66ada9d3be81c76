"""The contract of objectives as a class: what each has to say, and what most of them leave as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from minigpt.core.params import Parameters
from minigpt.tokenizers import Tokenizer
from minigpt.train.loss import Score, mean_loss
from minigpt.train.objectives.landmarks import Landmarks
from minigpt.train.passes import Batch, Model
from minigpt.train.settings import RunConfig, SampleConfig


class LoadedData(Protocol):
    """What `Objective.load` gives."""

    @property
    def train(self) -> Any: ...
    @property
    def validation(self) -> Any: ...
    @property
    def fingerprint(self) -> str: ...


class Objective:
    """What a family learns from (see `minigpt.train.objectives`, which says what each of these is to do).

    Attributes:
        Config: the section [objective] of the configuration.
        has_baseline: whether `baseline` can be asked for.
    """

    Config: type
    has_baseline = False

    def __init__(self, config: RunConfig, tokenizer: Tokenizer):
        self.config, self.settings, self.tokenizer = config, config.objective, tokenizer

    @staticmethod
    def special_tokens(config: RunConfig) -> tuple[str, ...]:
        return ()

    def load(self) -> LoadedData:
        raise NotImplementedError

    def read(self, sources: Sequence[str]) -> Any:
        raise NotImplementedError

    def batch(self, data: Any, rows: int, *, seed: int, step: int, part: int, first_row: int) -> Batch:
        raise NotImplementedError

    def evaluation_batches(self, data: Any, rows: int, limit: int | None = None) -> list[Callable[[], Any]]:
        raise NotImplementedError

    def evaluate(
        self, model: Model, params: Parameters, batches: Sequence[Callable[[], Any]], *, final: bool = False, **how: Any
    ) -> Score | None:
        return mean_loss(model, params, batches, **how)

    def landmarks(self, dataset: Any, limit: int | None = None) -> Landmarks | None:
        return None

    def about(self, dataset: Any) -> str:
        raise NotImplementedError

    def report(self, score: Score, data: Any) -> tuple[dict[str, Any], str]:
        raise NotImplementedError

    def baseline(
        self, train: Any, score: Score, batches: Sequence[Callable[[], Any]], data: Any
    ) -> tuple[dict[str, Any], str]:
        raise NotImplementedError

    def sample(
        self, model: Model, params: Parameters, settings: SampleConfig, seed: int | Sequence[int]
    ) -> Iterator[str]:
        raise NotImplementedError
