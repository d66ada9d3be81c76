"""Fine-tuning to find answers in a text (SQuAD 1.1 and 2.0), for BERT and BART."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigpt.core.settings import at_least
from minigpt.data.seq2seq import Seq2SeqBatch, shift_tokens_right
from minigpt.models.bart import BARTQuestionAnswering
from minigpt.models.bert_heads import BertSpans, SpanBatch
from minigpt.tasks import Span
from minigpt.tasks.answers import token_f1
from minigpt.tasks.windows import Found, Window, best_answer, windows
from minigpt.train.objectives.task import Row, TaskConfig, TaskExamples, TaskObjective
from minigpt.train.settings import RunConfig


@dataclass(frozen=True)
class SpanConfig(TaskConfig):
    """As `TaskConfig`; a context that is too long is not cut off but read in several windows.

    Attributes:
        question: how many tokens of a question are read at most.
        stride: how many tokens further each window begins; 0 takes a third of a window.
        longest: how many tokens an answer has at most.
        n_best: how many first and last tokens of a window are tried.
        threshold: τ, by how much the best answer's score must be above that of "no answer". Only where training
            examples have none; it is then set to what serves best on dev once training is over.
    """

    question: int = 64
    stride: int = 0
    longest: int = 30
    n_best: int = 20
    threshold: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, "objective", self, "question", "longest", "n_best")
        at_least(0, "objective", self, "stride")


class SpanObjective(TaskObjective):
    """What BERT and BART share: a row for each window."""

    Config = SpanConfig
    tunes = True

    def encode(self, example: Span) -> list[Row]:
        c = self.settings
        made = windows(example, self.inputs, question=c.question, stride=c.stride)
        return [Row(window, len(window.told.ids), window.told.cut) for window in made]

    def places(self, rows: Sequence[Window]) -> np.ndarray:
        """(B, 2) where the answers begin and end."""
        return np.array([window.answer for window in rows])

    def found(self, data: TaskExamples, answers: list[np.ndarray]) -> list[Found]:
        """The best span of every example."""
        groups: list[tuple[list[Window], list[np.ndarray]]] = [([], []) for _ in data.examples]
        for row, owner, said in zip(data.rows, data.owners, answers, strict=True):
            groups[owner][0].append(row)
            groups[owner][1].append(said)
        c = self.settings
        pairs = zip(data.examples, groups, strict=True)
        return [best_answer(e.context, *group, longest=c.longest, n_best=c.n_best) for e, group in pairs]

    def predictions(self, data: TaskExamples, answers: list[np.ndarray]) -> list[str]:
        """The texts of the answers, "" where there is none (which SQuAD 1.1 never says)."""
        may_be_none = any(example.impossible for example in data.examples) or self.settings.threshold
        found = self.found(data, answers)
        return [f.text if not may_be_none or f.margin > self.settings.threshold else "" for f in found]

    def tuned(self, data: TaskExamples, answers: list[np.ndarray]) -> SpanConfig:
        """τ that gives the best F1 on these examples; as it is where every question has an answer."""
        if not any(example.impossible for example in data.examples):
            return self.settings
        found = self.found(data, answers)
        references = [[text for text, _ in example.answers] for example in data.examples]
        with_answer = np.array([token_f1(f.text, r) for f, r in zip(found, references, strict=True)])
        without = np.array([token_f1("", r) for r in references])
        margins = np.array([f.margin for f in found])
        order = np.argsort(margins, kind="stable")  # with τ = margins[order[i]], the first i + 1 say "no answer"
        totals = with_answer.sum() + np.cumsum((without - with_answer)[order])
        best = int(totals.argmax())
        threshold = margins[order[best]] if totals[best] > with_answer.sum() else margins.min() - 1.0
        return dataclasses.replace(self.settings, threshold=float(threshold))

    def shown(self, example: Span, prediction: str) -> str:
        right = " / ".join(dict.fromkeys(text for text, _ in example.answers)) or "no answer"
        return f"{example.context}\n{example.question} → {prediction or 'no answer'} ({right})"


class BertSpanObjective(SpanObjective):
    """Two scores for every token of BERT's last layer."""

    @staticmethod
    def model(config: RunConfig, body: type) -> BertSpans:
        return BertSpans(config.model)

    def collate(self, rows: Sequence[Window], examples: Sequence[Any], *, train: bool) -> SpanBatch:
        told, places = self.filled([window.told for window in rows]), self.places(rows)
        return SpanBatch(told.ids, places[:, 0], places[:, 1], told.types, told.real)

    def answers(self, cache: Any) -> Any:
        return cache.scores.swapaxes(1, 2)  # (B, 2, T)


class BartSpanObjective(SpanObjective):
    """Two scores for every token of the decoder, which reads the same row as the encoder."""

    @staticmethod
    def model(config: RunConfig, body: type) -> BARTQuestionAnswering:
        return BARTQuestionAnswering(config.model)

    def collate(self, rows: Sequence[Window], examples: Sequence[Any], *, train: bool) -> Seq2SeqBatch:
        c = self.config.model
        told = self.filled([window.told for window in rows])
        inputs = shift_tokens_right(told.ids, pad=c.pad, start=c.start)
        return Seq2SeqBatch(told.ids, inputs, None, told.real, spans=self.places(rows))

    def answers(self, cache: Any) -> Any:
        return cache.scores
