"""Sequence to sequence (the first Transformer): the encoder reads a source, the decoder writes its target.

Pairs of texts come as lines with a tab between source and target, or as two files whose lines belong together. From any
other text pairs are made: the encoder reads the first part of a window of it, and the decoder continues. Such a target
has no end, so the decoder writes until it is stopped; in pairs, source and target both end with `</s>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.settings import one_of
from minigpt.data import text
from minigpt.data.dataset import Dataset, load_dataset, text_files, whole_text, window_starts
from minigpt.data.encoded import Tokens
from minigpt.data.pairs import Pairs, encode_pairs
from minigpt.data.seq2seq import Seq2SeqBatch
from minigpt.tokenizers import Tokenizer
from minigpt.train.loss import Score
from minigpt.train.objectives.base import Makers, Report
from minigpt.train.objectives.writing import WritingObjective
from minigpt.train.settings import RunConfig

FORMS = ("auto", "tsv", "aligned", "text")
_POOL = 8  # how many times as many pairs as a batch needs are drawn, of which it takes some of similar length


@dataclass(frozen=True)
class SequenceConfig:
    """Where sources and targets come from.

    Attributes:
        form: "tsv" (a line is a source, a tab and a target), "aligned" (two files, line by line), "text" (any text: its
            windows are cut in two), or "auto": "tsv" where all files are called so, else "text".
    """

    form: str = "auto"

    def __post_init__(self) -> None:
        one_of("objective.form", self.form, FORMS)


class SequenceObjective(WritingObjective):
    """See `minigpt.train.objectives`. Its data are `Pairs`, or `Tokens` where pairs are made from a text."""

    Config = SequenceConfig
    needed = ("pad", "eos")
    words = ("source:  ", "written: ", "target:  ")

    def __init__(self, config: RunConfig, tokenizer: Tokenizer):
        super().__init__(config, tokenizer)
        if config.model.context < 2:
            raise UserError(f"model.context is {config.model.context}; a source and its </s> need at least 2")

    def _form(self, files: Sequence[Path]) -> str:
        if self.config.objective.form != "auto":
            return self.config.objective.form
        return "tsv" if all(file.suffix == ".tsv" for file in files) else "text"

    def load(self) -> Dataset:
        data, context = self.config.data, self.model.context
        files = text_files(data.sources)
        form = self._form(files)
        if form == "text":  # a source and a target
            fraction = data.validation_fraction
            return load_dataset(data.sources, self.tokenizer, validation_fraction=fraction, context=2 * context)
        train, validation = encode_pairs(files, form, self.tokenizer, context - 1).split(data.validation_fraction)
        return Dataset(train, validation, self.tokenizer, f"{form} {text.fingerprint(files)}")

    def read(self, sources: Sequence[str]) -> Tokens | Pairs:
        files = text_files(sources)
        if (form := self._form(files)) != "text":
            pairs = encode_pairs(files, form, self.tokenizer, self.model.context - 1)
            if not pairs.count:
                raise UserError(f"no pair in {', '.join(sources)} fits the model's context of {self.model.context}")
            return pairs
        tokens = whole_text(files, self.tokenizer)
        if len(tokens) < 2:
            raise UserError(f"{', '.join(sources)} has {len(tokens)} tokens; at least 2 are needed to continue one")
        return tokens

    def batch(
        self, data: Tokens | Pairs, rows: int, *, seed: int, step: int, part: int, first_row: int = 0
    ) -> Seq2SeqBatch:
        draw = np.random.default_rng([seed, step, part])
        if isinstance(data, Pairs):
            drawn = draw.integers(0, data.count, size=_POOL * rows)
            drawn = drawn[np.argsort(data.lengths()[drawn].sum(axis=1), kind="stable")]
            first = int(draw.integers(0, _POOL)) * rows
            return self._pairs(data, drawn[first : first + rows])
        t = self.model.context
        cuts = draw.integers(t - 1, len(data) - t + 1, size=rows)  # where the source ends and the target begins
        sizes = draw.integers(1, t, size=rows)
        return self._continuations(data, cuts.tolist(), sizes.tolist())

    def evaluation_batches(self, data: Tokens | Pairs, rows: int, limit: int | None = None) -> Makers:
        """All pairs, the shortest first; or windows so that every token but the first is predicted once, from as much
        of what is before it as fits a source.
        """
        if isinstance(data, Pairs):
            lengths = data.lengths()
            order = np.argsort(lengths.sum(axis=1), kind="stable")
            every = 1 if limit is None else max(1, int(lengths[:, 1].sum()) // limit)
            order = order[every // 2 :: every]
            return [partial(self._pairs, data, order[i : i + rows]) for i in range(0, len(order), rows)]
        t = self.model.context
        cuts = [start + 1 for start in window_starts(len(data), t, limit)]
        groups = [cuts[i : i + rows] for i in range(0, len(cuts), rows)]
        return [partial(self._continuations, data, group, [min(cut, t - 1) for cut in group]) for group in groups]

    def _pairs(self, data: Pairs, numbers: np.ndarray) -> Seq2SeqBatch:
        sides = zip(*(data.pair(int(number)) for number in numbers), strict=True)
        sources, targets = ([np.append(ids, self.model.eos) for ids in side] for side in sides)
        return self.joined(sources, targets)

    def _continuations(self, data: Tokens, cuts: Sequence[int], sizes: Sequence[int]) -> Seq2SeqBatch:
        """Sources of `sizes` tokens that end before `cuts`, and the targets that begin there."""
        t, eos = self.model.context, self.model.eos
        sources = [np.append(data[cut - n : cut].astype(np.int64), eos) for cut, n in zip(cuts, sizes, strict=True)]
        return self.joined(sources, [data[cut : cut + t].astype(np.int64) for cut in cuts])

    def about(self, dataset: Dataset) -> str:
        train, context = dataset.train, self.model.context
        if isinstance(train, Pairs):
            left_out = f" ({train.left_out:,} pairs longer than {context} left out)" if train.left_out else ""
            tokens = train.lengths().sum(axis=0)
            return f"{train.count:,} training pairs{left_out} of {tokens[0]:,} source and {tokens[1]:,} target tokens"
        return (
            f"{len(train):,} training tokens ({self.tokenizer.vocab_size:,} distinct), sources and continuations of up "
            f"to {context}"
        )

    def report(self, score: Score, data: Tokens | Pairs) -> Report:
        values: dict[str, Any] = {"loss": score.loss, "perplexity": score.perplexity, "tokens": score.tokens}
        accuracy, of = score.measures["accuracy"], f"over {score.tokens} tokens"
        if not isinstance(data, Pairs):
            size = data.scored_bytes()
            values |= {"bytes": size, "bits_per_byte": score.bits_per_byte(size)}
            of = f"{values['bits_per_byte']:.4f} bits per byte, {of} of {size} bytes"
        sentence = f"loss {score.loss:.4f} nats per token, perplexity {score.perplexity:.3f}, accuracy {accuracy:.4f}"
        return values, f"{sentence}, {of}"

    def baseline(self, train: Tokens | Pairs, score: Score, batches: Makers, data: Tokens | Pairs) -> Report:
        """What 5-grams counted in the training text make of the same tokens."""
        if isinstance(train, Pairs) or isinstance(data, Pairs):
            raise UserError("the baseline continues a text; there is none for pairs")
        loss = self.ngram_loss(train, data, self.model.context)
        bits = score._replace(loss=loss).bits_per_byte(data.scored_bytes())
        sentence = f"a 5-gram model (Kneser–Ney): loss {loss:.4f}, {bits:.4f} bits per byte"
        return {"baseline_loss": loss, "baseline_bits_per_byte": bits}, sentence

    def source_ids(self, prompt: str) -> list[int]:
        return [*self.tokenizer.encode(prompt), self.model.eos]

    def example(self, data: Tokens | Pairs) -> tuple[list[int], np.ndarray]:
        t = self.model.context
        source, target = data.pair(0) if isinstance(data, Pairs) else (data[: t - 1], data[t - 1 : 2 * t - 1])
        return [*source.tolist(), self.model.eos], target
