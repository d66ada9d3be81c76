"""Fine-tuning to label texts: classes, options to choose from, and scores on a scale, for GPT, Llama, BERT and BART.

A score (STS-B, from 0 to 5) is learned as a fifth of itself by the squared error, as in BART's code. GPT tells a pair
whose texts may change places in both orders; BERT and BART tell it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.settings import at_least, rates
from minigpt.data.seq2seq import Seq2SeqBatch, shift_tokens_right
from minigpt.models.bart import BARTClassifier
from minigpt.models.bert_heads import BertClassifier, BertMultipleChoice, ClassificationBatch
from minigpt.models.causal_heads import CausalHead, ExtractBatch
from minigpt.models.decoder_only import DecoderOnly
from minigpt.ops import IGNORE
from minigpt.tasks import TASKS, Classification, MultipleChoice, Similarity
from minigpt.tasks.inputs import Told, told
from minigpt.tasks.metrics import reference
from minigpt.train.objectives.task import Row, TaskConfig, TaskExamples, TaskObjective
from minigpt.train.settings import RunConfig

SCALE = 5.0  # the largest score of STS-B


@dataclass(frozen=True)
class CausalLabelConfig(TaskConfig):
    """As `TaskConfig`, for decoder-only models.

    Attributes:
        auxiliary: λ, how much language modelling on the task's own texts counts beside the labels; 0 leaves it out.
        head_dropout: the rate on the states that the head reads.
    """

    auxiliary: float = 0.5
    head_dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, "objective", self, "auxiliary")
        rates("objective", self, "head_dropout")


def scores_of(task: str) -> int:
    """How many scores a head for this task gives to a sequence."""
    return len(TASKS[task].labels) if TASKS[task].kind is Classification else 1


class LabelObjective(TaskObjective):
    """What the families share: one row for each example, which holds one or several sequences."""

    both_orders = False

    def encode(self, example: Any) -> list[Row]:
        pairs = told(example, both_orders=self.both_orders and self.task.symmetric)
        sequences = [self.inputs.sequence(*texts) for texts in pairs]
        longest = max(len(s.ids) for s in sequences)
        return [Row(sequences, longest, any(s.cut for s in sequences))]

    def labels(self, examples: Sequence[Any]) -> np.ndarray:
        known = [reference(example) for example in examples]
        if self.task.kind is Similarity:
            return np.array([IGNORE if score is None else score / SCALE for score in known], dtype=np.float64)
        return np.array([IGNORE if label is None else label for label in known])

    def check_train(self, examples: Sequence[Any]) -> None:
        """Every class must occur, and every choice must be among equally many options."""
        if self.task.kind is Classification:
            seen = {example.label for example in examples}
            missing = [word for number, word in enumerate(self.task.labels) if number not in seen]
            if missing:
                raise UserError(
                    f"none of the {len(examples)} training examples of {self.task.name} is labelled "
                    f"{' or '.join(missing)}; take more examples"
                )
        if self.task.kind is MultipleChoice and len(sizes := {len(example.options) for example in examples}) > 1:
            raise UserError(
                f"the examples of {self.task.name} have {' and '.join(map(str, sorted(sizes)))} options; fine-tuning "
                "needs the same number everywhere"
            )

    def answers(self, cache: Any) -> Any:
        return cache.labels.scores

    def predictions(self, data: TaskExamples, answers: list[np.ndarray]) -> list[Any]:
        if self.task.kind is Similarity:
            return [float(SCALE * scores[0]) for scores in answers]
        return [int(scores.argmax()) for scores in answers]

    def word(self, prediction: Any) -> Any:
        return self.task.labels[prediction] if self.task.kind is Classification else prediction

    def shown(self, example: Any, prediction: Any) -> str:
        right = reference(example)
        if self.task.kind is MultipleChoice:
            question = f" {example.question}" if example.question else ""
            options = "".join(
                f"\n  {'*' if n == right else ' '}{'>' if n == prediction else ' '} {option}"
                for n, option in enumerate(example.options)
            )
            return f"{example.context}{question}{options}"
        texts = example.text if example.pair is None else f"{example.text} | {example.pair}"
        if self.task.kind is Similarity:
            return f"{texts} → {prediction:.1f} ({right:.1f})"
        return f"{texts} → {self.word(prediction)} ({self.word(right)})"


class CausalLabels(LabelObjective):
    """GPT's way: labels are read from the extract token, and language modelling goes on beside."""

    Config = CausalLabelConfig
    both_orders = True

    @staticmethod
    def model(config: RunConfig, body: type[DecoderOnly]) -> CausalHead:
        kind, c = TASKS[config.task].kind, config.objective
        return CausalHead(
            body(config.model),
            scores_of(config.task),
            choice=kind is MultipleChoice,
            regression=kind is Similarity,
            auxiliary=c.auxiliary,
            dropout=c.head_dropout,
        )

    def collate(self, rows: Sequence[list[Told]], examples: Sequence[Any], *, train: bool) -> ExtractBatch:
        """Sequences (B, N, T), filled up on the right; in training with the next token as target, up to the extract."""
        inputs, shape = self.filled(list(chain(*rows))).ids, (len(rows), len(rows[0]))  # (B·N, T)
        width, ends = inputs.shape[1], np.array([len(told.ids) - 1 for row in rows for told in row])
        targets = None
        if train and self.settings.auxiliary:
            targets = np.full_like(inputs, IGNORE)
            targets[:, :-1] = np.where(np.arange(width - 1) < ends[:, None], inputs[:, 1:], IGNORE)
            targets = targets.reshape(*shape, width)
        return ExtractBatch(inputs.reshape(*shape, width), ends.reshape(shape), self.labels(examples), targets)


class BertLabels(LabelObjective):
    """BERT's way: labels are read from the pooled state of [CLS]."""

    @staticmethod
    def model(config: RunConfig, body: type) -> BertClassifier:
        kind = TASKS[config.task].kind
        if kind is MultipleChoice:
            return BertMultipleChoice(config.model)
        return BertClassifier(config.model, scores_of(config.task), regression=kind is Similarity)

    def collate(self, rows: Sequence[list[Told]], examples: Sequence[Any], *, train: bool) -> ClassificationBatch:
        """Rows (B, T), or (B, N, T) with choices."""
        inputs, types, real = self.filled(list(chain(*rows)))
        several = (len(rows[0]),) if self.task.kind is MultipleChoice else ()
        shape = (len(rows), *several, inputs.shape[1])
        real = None if real is None else real.reshape(shape)
        types = None if types is None else types.reshape(shape)
        return ClassificationBatch(inputs.reshape(shape), self.labels(examples), types, real)


class BartLabels(LabelObjective):
    """BART's way: encoder and decoder read the same text, and labels are read from the decoder's last state."""

    @staticmethod
    def model(config: RunConfig, body: type) -> BARTClassifier:
        kind = TASKS[config.task].kind
        return BARTClassifier(config.model, scores_of(config.task), regression=kind is Similarity)

    def collate(self, rows: Sequence[list[Told]], examples: Sequence[Any], *, train: bool) -> Seq2SeqBatch:
        c = self.config.model
        source, _, real = self.filled(list(chain(*rows)))
        inputs = shift_tokens_right(source, pad=c.pad, start=c.start)
        return Seq2SeqBatch(source, inputs, None, real, self.labels(examples))
