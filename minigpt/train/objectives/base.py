"""The contract of an objective: what every one of them has to say, and what most leave as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minigpt.core.params import Parameters
from minigpt.data.batch import AnyBatch
from minigpt.data.dataset import Dataset
from minigpt.models.model import Model
from minigpt.tokenizers import Tokenizer
from minigpt.train.loss import Score, mean_loss
from minigpt.train.objectives.landmarks import Landmarks
from minigpt.train.settings import RunConfig, SampleConfig

Seed = int | Sequence[int]
Makers = Sequence[Callable[[], Any]]  # functions, each of which makes one batch, always the same
Report = tuple[dict[str, Any], str]  # values for --json, and a sentence


class Objective:
    """What a family learns from.

    Attributes:
        Config: a frozen dataclass: the section [objective] of the configuration. Every field has a default;
            `__post_init__` raises UserError for values that cannot be.
        has_baseline: whether `baseline` can be asked for.
    """

    Config: type
    has_baseline = False

    def __init__(self, config: RunConfig, tokenizer: Tokenizer):
        """Take the whole configuration.

        Raises:
            UserError: it and the tokenizer do not fit (a special token that is missing, a prompt that is too long).
        """
        self.config, self.settings, self.tokenizer = config, config.objective, tokenizer

    @staticmethod
    def special_tokens(config: RunConfig) -> tuple[str, ...]:
        """Names of the special tokens that a tokenizer trained for the run must have.

        None where its kind brings them, or none are needed.
        """
        return ()

    def load(self) -> Dataset:
        """Read `config.data.sources` and split off the validation part; both parts may be of any kind."""
        raise NotImplementedError

    def read(self, sources: Sequence[str]) -> Any:
        """Read another text, all of it, for evaluation: what `validation` is of `load()`."""
        raise NotImplementedError

    def batch(self, data: Any, rows: int, *, seed: int, step: int, part: int, first_row: int) -> AnyBatch:
        """A training batch of so many rows from `load().train`: a pure function of its arguments.

        So a run that resumes comes to identical weights.

        Args:
            part: numbers the batches of one step (gradient accumulation).
            first_row: the batch's first row, counted through the whole run (for sampling without replacement).
        """
        raise NotImplementedError

    def evaluation_batches(self, data: Any, rows: int, limit: int | None = None) -> Makers:
        """Batches of up to `rows` rows.

        Args:
            limit: about how many tokens; None for all.
        """
        raise NotImplementedError

    def evaluate(
        self, model: Model, params: Parameters, batches: Sequence[Any], *, final: bool = False, **how: Any
    ) -> Score | None:
        """The score of all batches; None if it was stopped. An objective whose scores are no sums has its own.

        Args:
            batches: what `evaluation_batches` gave.
            final: whether training is over, and there is time to look closer.
            how: see `minigpt.train.loss.forward_all`.
        """
        return mean_loss(model, params, batches, **how)

    def landmarks(self, dataset: Dataset, limit: int | None = None) -> Landmarks | None:
        """What the validation loss lies between, on the batches that evaluation makes with this limit.

        None where it is not known (see `minigpt.train.objectives.landmarks`).
        """
        return None

    def about(self, dataset: Dataset) -> str:
        """A few words for the line that training begins with: how much there is, how long a row is."""
        raise NotImplementedError

    def report(self, score: Score, data: Any) -> Report:
        """What `minigpt eval` says."""
        raise NotImplementedError

    def baseline(self, train: Any, score: Score, batches: Makers, data: Any) -> Report:
        """The same for the simplest model that has seen the training text, on the same batches.

        Only where `has_baseline` is true (`minigpt eval --baseline`).
        """
        raise NotImplementedError

    def sample(self, model: Any, params: Parameters, settings: SampleConfig, seed: Seed) -> Iterator[str]:
        """Yield, in pieces, text that shows what the model has learned; a function of its arguments.

        A continuation of settings.prompt, masks filled in, a text repaired.
        """
        raise NotImplementedError
