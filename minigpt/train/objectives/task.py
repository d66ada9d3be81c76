"""What fine-tuning has in common, whatever the task and the family: examples, epochs, predictions, metrics.

A run that is fine-tuned has a `task` in its configuration, and `data.sources` holds the folder of the task's files. Its
objective evaluates in a way of its own: the model's answers are scored by the task's own metrics, which are no sums
over batches. A subclass says how examples become rows (`encode`), rows a batch (`collate`), and what the model's output
answers (`answers`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import Array
from minigpt.core.errors import UserError
from minigpt.core.measures import Measures, add_measures, means
from minigpt.core.params import Parameters
from minigpt.core.settings import at_least, choice
from minigpt.data.batch import pad_rows
from minigpt.data.dataset import Dataset
from minigpt.models.model import Model
from minigpt.tasks import TASKS, Classification, MultipleChoice, Similarity, Span, Summary, Translation
from minigpt.tasks import metrics as task_metrics
from minigpt.tasks.inputs import Inputs, Told
from minigpt.tokenizers import Tokenizer
from minigpt.train.loss import Score, forward_all
from minigpt.train.objectives.base import Objective, Report, Seed
from minigpt.train.passes import quick_passes
from minigpt.train.settings import RunConfig, SampleConfig
from minigpt.train.threads import ThreadPool

_POOL = 16  # batches whose examples are sorted by length together, so that a batch has little padding
_ROWS = 32  # of a batch of predictions
_SHOWN = 3  # examples in a sample
_WIDTH = 16  # a batch's width is a multiple of it (or the context): few different shapes, whose memory is used again
# The fields of an example that texts fill, one after the other, and what texts cannot say of it.
_FIELDS: dict[type, tuple[tuple[str, ...], ...]] = {
    Classification: (("text",), ("text", "pair")),
    Similarity: (("text", "pair"),),
    MultipleChoice: (("context", "options"), ("context", "question", "options")),
    Span: (("question", "context"),),
    Summary: (("article",),),
    Translation: (("source",),),
}
_UNSAID = {"question": "", "id": "", "answers": (), "impossible": False}


@dataclass(frozen=True)
class TaskConfig:
    """Which examples are learned from.

    Attributes:
        examples: how many training examples; 0 takes all.
        draw: the seed of the choice among them.
        overlong: what happens to a text that does not fit the model's context: "cut" or "refuse".
    """

    examples: int = 0
    draw: int = 0
    overlong: str = "cut"

    def __post_init__(self) -> None:
        at_least(0, "objective", self, "examples", "draw")
        choice("objective.overlong", self.overlong, "cut", "refuse")


class TaskExamples(NamedTuple):
    """Examples, and what a model reads of them.

    Attributes:
        rows: what `encode` made of them: one for each example, or several.
        owners: (rows,) the number of the example that a row belongs to.
        lengths: (rows,) tokens of the row's longest sequence.
        cut: how many rows were too long and had to be cut.
    """

    examples: list[Any]
    rows: list[Any]
    owners: np.ndarray
    lengths: np.ndarray
    cut: int


@dataclass(frozen=True)
class Part:
    """Makes a batch for evaluation, of the rows of some data that have these numbers."""

    data: TaskExamples
    numbers: list[int]
    collate: Callable[..., Any]

    def __call__(self) -> Any:
        return self.collate(self.data, self.numbers, train=False)


class Gathered(NamedTuple):
    """What passing some data through a model gives: its mean loss, and the answers to its rows, if there are any."""

    score: Score
    data: TaskExamples
    answers: list[np.ndarray]


class Row(NamedTuple):
    """One row of training data: its content, its length in tokens, and whether it was cut."""

    content: Any
    length: int
    cut: bool


class ToldRows(NamedTuple):
    """Sequences as rows of one width: ids, BERT's token types or None, and where real tokens are (None: everywhere)."""

    ids: np.ndarray
    types: np.ndarray | None
    real: np.ndarray | None


class TaskObjective(Objective):
    """See `minigpt.train.objectives`. Its data are `TaskExamples`.

    Attributes:
        tunes: whether some of the settings are chosen on dev after training (see `tuned`).
    """

    tunes = False
    Config: type = TaskConfig

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, inputs: Inputs):
        super().__init__(config, tokenizer)
        self.inputs = inputs
        self.task = TASKS[config.task]
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    # ---- what a subclass says ---------------------------------------------------------------------------------------

    @staticmethod
    def model(config: RunConfig, body: type) -> Any:
        """The family's body, with a head where the task needs one; `body` is the class of the family's own model."""
        return body(config.model)

    def encode(self, example: Any) -> list[Row]:
        """What the model reads of an example."""
        raise NotImplementedError

    def collate(self, rows: Sequence[Any], examples: Sequence[Any], *, train: bool) -> Any:
        """A batch of the contents of some rows; `examples` are those that they belong to."""
        raise NotImplementedError

    def answers(self, cache: Any) -> Array | None:
        """What the model said about each row of a batch, from its forward pass's cache; None if it says nothing."""
        raise NotImplementedError

    def predictions(self, data: TaskExamples, answers: list[np.ndarray]) -> list[Any]:
        """The prediction for each example, as `minigpt.tasks.metrics` takes it, from the answers of all rows."""
        raise NotImplementedError

    def shown(self, example: Any, prediction: Any) -> str:
        """An example and its prediction in a line, for people."""
        raise NotImplementedError

    def example(self, given: Any) -> Any:
        """An example of the task's kind, made of texts where it is not one already.

        Raises:
            UserError: these are not the texts that such an example consists of.
        """
        kind: Any = self.task.kind
        if isinstance(given, kind):
            return given
        texts = list(given) if isinstance(given, (tuple, list)) else [given]
        known = next((fields for fields in _FIELDS.get(kind, ()) if len(fields) == len(texts)), ())
        said = dict(zip(known, texts, strict=False))
        options = said.get("options", ())
        several = options if isinstance(options, (tuple, list)) else [None]
        strings = [*(text for name, text in said.items() if name != "options"), *several]
        if not said or not all(isinstance(x, str) for x in strings):
            raise UserError(
                f"{str(given)[:60]!r} is no example of {self.task.name}: give a {kind.__name__}, or the texts that it "
                "consists of"
            )
        if "options" in said and len(options) < 2:
            raise UserError(f"an example of {self.task.name} needs at least two options, not {len(options)}")
        return kind(**{name: said.get(name, _UNSAID.get(name)) for name in kind._fields})

    def word(self, prediction: Any) -> Any:
        """A prediction as its user wants it."""
        return prediction

    def tuned(self, data: TaskExamples, answers: list[np.ndarray]) -> Any:
        """The settings with what is chosen on dev after training (SQuAD 2.0's threshold), given the answers there."""
        return self.settings

    def filled(self, sequences: Sequence[Told]) -> ToldRows:
        """Sequences, filled up on the right to one width."""
        lengths, pad = np.array([len(sequence.ids) for sequence in sequences]), self.inputs.marks.pad
        width = min(-(-int(lengths.max()) // _WIDTH) * _WIDTH, self.config.model.context)
        real = np.arange(width) < lengths[:, None]
        ids = pad_rows([sequence.ids for sequence in sequences], pad, width)
        types = [sequence.types for sequence in sequences if sequence.types is not None]
        return ToldRows(ids, pad_rows(types, 0, width) if types else None, None if real.all() else real)

    def check_train(self, examples: Sequence[Any]) -> None:
        """Raise UserError where nothing can be learned from these examples."""

    # ---- the contract -----------------------------------------------------------------------------------------------

    def load(self) -> Dataset:
        folder = self.config.data.sources[0]
        train, validation = (self.task.read(folder, split) for split in ("train", "dev"))
        for split, examples in (("train", train), ("dev", validation)):
            if any(task_metrics.reference(example) is None for example in examples):
                raise UserError(f"examples of the {split} part of {self.task.name} in {folder} have no label")
        train = self._chosen(train)
        self.check_train(train)
        whole = repr((self.task.name, train, validation)).encode()
        parts = self.encoded(train), self.encoded(validation)
        return Dataset(*parts, self.tokenizer, hashlib.sha256(whole).hexdigest())

    def _chosen(self, examples: list[Any]) -> list[Any]:
        """As many as are to be learned from, in an order of their own."""
        wanted, c = self.settings.examples, self.settings
        if wanted > len(examples):
            raise UserError(f"objective.examples is {wanted}, but {self.task.name} has {len(examples)} to train on")
        if not wanted:
            return examples
        return [examples[i] for i in np.random.default_rng([c.draw, 7]).permutation(len(examples))[:wanted]]

    def read(self, sources: Sequence[str], split: str = "dev") -> TaskExamples:
        return self.encoded(self.task.read(sources[0], split))

    def encoded(self, examples: Sequence[Any]) -> TaskExamples:
        made = [self.encode(example) for example in examples]
        rows = [row for some in made for row in some]
        owners = np.repeat(np.arange(len(made)), [len(some) for some in made])
        contents, lengths = [row.content for row in rows], np.array([row.length for row in rows])
        return TaskExamples(list(examples), contents, owners, lengths, sum(row.cut for row in rows))

    def batch(self, data: TaskExamples, rows: int, *, seed: int, step: int, part: int, first_row: int) -> Any:
        """The rows from place `first_row` of the run on: every row once, then every row again in another order."""
        count = len(data.rows)
        places = [divmod(place, count) for place in range(first_row, first_row + rows)]
        return self._batch(data, [int(self._order(data, seed, epoch)[at]) for epoch, at in places], train=True)

    def _order(self, data: TaskExamples, seed: int, epoch: int) -> np.ndarray:
        """In which order an epoch takes the rows: shuffled, but rows of similar length stand together."""
        if (seed, epoch) not in self._orders:
            draw, size = np.random.default_rng([seed, epoch, 11]), self.config.train.batch
            order, batches = draw.permutation(len(data.rows)), []
            for start in range(0, len(order), _POOL * size):
                pool = order[start : start + _POOL * size]
                pool = pool[np.argsort(data.lengths[pool], kind="stable")]
                batches += [pool[i : i + size] for i in range(0, len(pool), size)]
            mixed = [batches[i] for i in draw.permutation(len(batches))]
            self._orders = {(seed, epoch): np.concatenate(mixed), **dict(list(self._orders.items())[:1])}
        return self._orders[seed, epoch]

    def _batch(self, data: TaskExamples, numbers: Sequence[int], *, train: bool) -> Any:
        rows = [data.rows[i] for i in numbers]
        return self.collate(rows, [data.examples[data.owners[i]] for i in numbers], train=train)

    def evaluation_batches(self, data: TaskExamples, rows: int, limit: int | None = None) -> Sequence[Part]:
        """All of the data, whatever the limit, rows of similar length together."""
        order = np.argsort(data.lengths, kind="stable").tolist()
        return [Part(data, order[i : i + rows], self._batch) for i in range(0, len(order), rows)]

    def evaluate(
        self, model: Any, params: Parameters, batches: Sequence[Part], *, final: bool = False, **how: Any
    ) -> Score | None:
        """Answer all batches and score the predictions by the task's metrics; None if it was stopped.

        Args:
            final: whether training is over: some tasks look closer then.
            how: see `minigpt.train.loss.forward_all`.
        """
        gathered = self.gather(model, params, batches, **how)
        if gathered is None:
            return None
        examples, predictions = self.judged(model, params, gathered, final)
        measures = gathered.score.measures | self.values(examples, predictions)
        return gathered.score._replace(measures=measures, predictions=predictions)

    def judged(
        self, model: Any, params: Parameters, gathered: Gathered, final: bool
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """The examples that the metrics look at, and the predictions for them."""
        return gathered.data.examples, self.predictions(gathered.data, gathered.answers)

    def gather(self, model: Model, params: Parameters, batches: Sequence[Part], **how: Any) -> Gathered | None:
        """Pass all batches through the model (see `minigpt.train.loss.forward_all`); None if it was stopped."""
        sums = dict.fromkeys(batches[0]().counts(), 1)
        passed = forward_all(model, params, batches, sums, self.answers, **how)
        if passed is None:
            return None
        loss, counts, measures = 0.0, Counter[str](), Measures()
        answers: dict[int, np.ndarray] = {}
        for part, one in zip(batches, passed, strict=True):
            loss += one.loss
            counts.update(one.counts)
            add_measures(measures, one.measures)
            answers |= {} if one.said is None else dict(zip(part.numbers, one.said, strict=True))
        score = Score(loss / max(next(iter(counts.values())), 1), dict(counts), means(measures))
        return Gathered(score, batches[0].data, [answers[i] for i in range(len(answers))])

    def values(self, examples: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
        """Every metric of the task, without its interval; none where labels are unknown, or nothing was predicted."""
        references = [task_metrics.reference(example) for example in examples]
        if not examples or any(answer is None for answer in references):
            return {}
        everything = np.arange(len(references))
        return {name: task_metrics.METRICS[name][0](predictions, references)(everything) for name in self.task.metrics}

    def predict(self, model: Any, params: Parameters, examples: Sequence[Any]) -> list[Any]:
        """What the model answers to examples that need no labels."""
        if not examples:
            return []
        parts = self.evaluation_batches(self.encoded(examples), _ROWS)
        gathered = self.gather(model, params, parts, threads=ThreadPool(1), passes=quick_passes(params))
        assert gathered is not None  # nobody stopped it
        return self.predictions(gathered.data, gathered.answers)

    def about(self, dataset: Dataset) -> str:
        train: TaskExamples = dataset.train
        of = "them" if len(train.rows) == len(train.examples) else f"their {len(train.rows):,} rows"
        cut = f" ({train.cut:,} of {of} cut to the context)" if train.cut else ""
        return (
            f"{self.task.name} ({self.task.about}), {len(train.examples):,} training examples of "
            f"{int(train.lengths.mean())} tokens on average{cut}, {len(dataset.validation.examples):,} for dev"
        )

    def report(self, score: Score, data: TaskExamples) -> Report:
        """Every metric with its bootstrap interval and what guessing would give."""
        scores = task_metrics.evaluate_task(self.task, score.predictions, data.examples)
        values: dict[str, Any] = {"loss": score.loss, "examples": len(data.examples)}
        said = []
        for s in scores:
            values |= {s.metric: s.value, f"{s.metric}_low": s.low, f"{s.metric}_high": s.high}
            values |= {f"{s.metric}_baseline": s.baseline, f"{s.metric}_baseline_name": s.baseline_name}
            said.append(f"{s.metric} {s.value:.3f} [{s.low:.3f}, {s.high:.3f}] ({s.baseline_name}: {s.baseline:.3f})")
        return values, f"{', '.join(said)}, over {len(data.examples)} examples"

    def sample(self, model: Any, params: Parameters, settings: SampleConfig, seed: Seed) -> Iterator[str]:
        """The prediction for a text; without a prompt, a few examples of the dev part with their predictions."""
        if settings.prompt:
            yield str(self.word(self.predict(model, params, [self.example(settings.prompt)])[0]))
            return
        examples = self.task.read(self.config.data.sources[0], "dev")[:_SHOWN]
        predictions = self.predict(model, params, examples)
        yield "\n".join(self.shown(e, p) for e, p in zip(examples, predictions, strict=True))
