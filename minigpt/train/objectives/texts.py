"""Fine-tuning to write: summaries and translations, for BART and for decoder-only models.

BART's encoder reads `<s> source </s>` and its decoder writes `<s> target </s>`. A decoder-only model reads
`<start> source <delimiter>` and goes on with `target <extract>`, the only tokens that it learns from. Epochs are judged
by the loss; what is written is scored at the end, for a part of the examples, found by beam search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.core.settings import at_least
from minigpt.data.batch import Batch, pad_rows
from minigpt.data.seq2seq import Seq2SeqBatch, seq2seq_batch
from minigpt.generate import beam
from minigpt.generate.processors import forbid_repeats
from minigpt.ops import IGNORE
from minigpt.tasks import Summary
from minigpt.tasks import metrics as task_metrics
from minigpt.train.loss import Score
from minigpt.train.objectives.base import Report
from minigpt.train.objectives.task import Gathered, Row, TaskConfig, TaskExamples, TaskObjective
from minigpt.train.passes import quick_passes

_ROWS = 16  # texts that are searched for together


@dataclass(frozen=True)
class TextConfig(TaskConfig):
    """As `TaskConfig`.

    Attributes:
        written: for how many examples of a part texts are written, to be scored at the end; 0 for all.
        longest: how many tokens are written at most; 0 takes what the context allows (of a decoder-only model's, a
            third).
        beams, length_penalty: how the text is searched for: by the sum of log-probabilities over length^length_penalty.
        no_repeat: no sequence of so many tokens is written twice; 0 allows it.
    """

    written: int = 200
    longest: int = 0
    beams: int = 4
    length_penalty: float = 1.0
    no_repeat: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, "objective", self, "written", "longest", "no_repeat")
        at_least(1, "objective", self, "beams")


class Texts(NamedTuple):
    """The ids of a source and of its target, without special tokens."""

    source: list[int]
    target: list[int]


class TextObjective(TaskObjective):
    """What both kinds of models share; they stay as they were pretrained: they write already."""

    Config = TextConfig

    @property
    def rooms(self) -> tuple[int, int]:
        """How many tokens of a source and of a target there is room for."""
        raise NotImplementedError

    def encode(self, example: Any) -> list[Row]:
        sides = [self.tokenizer.encode(text) if text else [] for text in _sides(example)]
        cut = any(len(side) > room for side, room in zip(sides, self.rooms, strict=True))
        if cut and self.settings.overlong == "refuse":
            lengths, rooms = (" and ".join(map(str, x)) for x in (map(len, sides), self.rooms))
            raise UserError(f"a source and target have {lengths} tokens, but there is room for {rooms}; shorten them")
        kept = Texts(*(side[:room] for side, room in zip(sides, self.rooms, strict=True)))
        return [Row(kept, len(kept.source) + len(kept.target), cut)]

    def judged(
        self, model: Any, params: Parameters, gathered: Gathered, final: bool
    ) -> tuple[Sequence[Any], Sequence[str]]:
        """What is written about the first examples, once training is over; before, the loss has to do."""
        examples = gathered.data.examples[: self.settings.written or None] if final else []
        return examples, self.predict(model, params, examples)

    def answers(self, cache: Any) -> None:
        """Nothing is read from a forward pass but its loss."""

    def predict(self, model: Any, params: Parameters, examples: Sequence[Any]) -> list[str]:
        """Write about every example."""
        sources = [self.encode(example)[0].content.source for example in examples]
        order, written = sorted(range(len(sources)), key=lambda i: len(sources[i])), [""] * len(sources)
        special = set(self.tokenizer.special_tokens.values())
        for first in range(0, len(order), _ROWS):
            numbers = order[first : first + _ROWS]
            for i, ids in zip(numbers, self.search(model, params, [sources[i] for i in numbers]), strict=True):
                known = [t for t in ids if t < self.tokenizer.vocab_size and t not in special]
                written[i] = self.tokenizer.decode(known).strip()
        return written

    def search(self, model: Any, params: Parameters, sources: list[list[int]]) -> list[Sequence[int]]:
        """The tokens that a beam search finds for each source, with whatever special tokens are among them."""
        raise NotImplementedError

    def found(
        self, model: Any, params: Parameters, batch: Any, prompt: np.ndarray, longest: int, eos: int
    ) -> list[Sequence[int]]:
        """What the search finds after each of the prompts (B, P), in texts of at most `longest` tokens.

        Args:
            batch: what the model is to have read before.
        """
        c, passes = self.settings, quick_passes(params)
        state = model.start(params, passes.on_device(batch), longest, Run(ops=passes.operations))
        search = beam.Search(c.beams, c.length_penalty, max_length=longest)
        steps = [partial(forbid_repeats, size=c.no_repeat)] if c.no_repeat else []
        found = beam.generate(model, params, state, prompt, search, eos=eos, steps=steps)
        return [hypothesis.ids[prompt.shape[1] :] for hypothesis in found]

    def report(self, score: Score, data: TaskExamples) -> Report:
        """The loss over all examples, and the scores of what was written about the first of them."""
        examples = data.examples[: len(score.predictions)]
        values, said = super().report(score, data._replace(examples=examples))
        return values | {"examples": len(data.examples), "written": len(examples)}, f"loss {score.loss:.4f}, {said}"

    def shown(self, example: Any, prediction: str) -> str:
        source, target = _sides(example)
        return f"source:  {source}\nwritten: {prediction}\ntarget:  {target}"


def _sides(example: Any) -> tuple[str, str | None]:
    source = example.article if isinstance(example, Summary) else example.source
    return source, task_metrics.reference(example)


class BartTexts(TextObjective):
    """An encoder–decoder reads the source and writes the target."""

    @property
    def rooms(self) -> tuple[int, int]:
        room = self.config.model.context - 2
        return room, min(self.settings.longest or room, room)

    def collate(self, rows: Sequence[Texts], examples: Sequence[Any], *, train: bool) -> Seq2SeqBatch:
        c = self.config.model
        sources, targets = ([np.array([c.bos, *side, c.eos]) for side in sides] for sides in zip(*rows, strict=True))
        return seq2seq_batch(sources, targets, pad=c.pad, start=c.start)

    def search(self, model: Any, params: Parameters, sources: list[list[int]]) -> list[Sequence[int]]:
        c = self.config.model
        rows, nothing = [np.array([c.bos, *ids, c.eos]) for ids in sources], [np.array([c.eos])] * len(sources)
        batch = seq2seq_batch(rows, nothing, pad=c.pad, start=c.start)
        return self.found(model, params, batch, np.full((len(sources), 1), c.start), self.rooms[1] + 2, c.eos)


class CausalTexts(TextObjective):
    """A decoder-only model reads the source and goes on with the target."""

    @property
    def rooms(self) -> tuple[int, int]:
        context = self.config.model.context
        target = min(self.settings.longest or context // 3, context - 4)
        return context - 3 - target, target

    def collate(self, rows: Sequence[Texts], examples: Sequence[Any], *, train: bool) -> Batch:
        """The whole sequences, with what follows the delimiter as targets."""
        marks = self.inputs.marks
        ids = [np.array([marks.begin, *row.source, marks.between, *row.target, marks.end]) for row in rows]
        targets = [np.append(x[1:], IGNORE) for x in ids]
        for row, y in zip(rows, targets, strict=True):
            y[: len(row.source) + 1] = IGNORE  # from the delimiter on, the next token is one of the target's
        return Batch(pad_rows(ids, marks.pad), pad_rows(targets, IGNORE))

    def search(self, model: Any, params: Parameters, sources: list[list[int]]) -> list[Sequence[int]]:
        marks = self.inputs.marks
        prompts = [[marks.begin, *ids, marks.between] for ids in sources]
        longest = max(map(len, prompts))
        real = np.arange(longest) >= longest - np.array([len(ids) for ids in prompts])[:, None]  # padded on the left
        prompt = np.full(real.shape, marks.pad)
        prompt[real] = np.concatenate(prompts)
        batch = Batch(prompt, prompt, None if real.all() else real)
        return self.found(model, params, batch, prompt, longest + self.rooms[1] + 1, marks.end)
