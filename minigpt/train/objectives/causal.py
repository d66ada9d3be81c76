"""Causal language modelling (GPT, Llama): every token predicted from those before it in its window."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.core.settings import choice, require
from minigpt.data import text
from minigpt.data.batch import Batch
from minigpt.data.dataset import (
    Dataset,
    load_dataset,
    random_batch,
    text_files,
    whole_text,
    window_batch,
    window_batches,
)
from minigpt.data.documents import BLANK, END_OF_TEXT, documents
from minigpt.data.encoded import Tokens, encode_files
from minigpt.data.mixture import mixture_rows
from minigpt.data.ngram import KneserNey
from minigpt.data.packing import Packed, pack_text, packed_batch
from minigpt.generate.sampling import check_prompt, generate, prompt_ids, text_pieces
from minigpt.tokenizers import Tokenizer
from minigpt.train.loss import Score
from minigpt.train.objectives.base import Makers, Objective, Report, Seed
from minigpt.train.objectives.landmarks import Landmarks, Surveyor, floor_of
from minigpt.train.settings import RunConfig, SampleConfig


@dataclass(frozen=True)
class CausalConfig:
    """Where the windows of tokens come from.

    Attributes:
        sampling: "random": windows from anywhere in the text, so that some tokens come more often than others.
            "epochs": the text is cut into windows, and each is taken once before any is taken again.
            "documents": the same, but with rows that begin where a document does and hold whole ones (see
            `minigpt.data.packing`); the validation part are the last documents.
        weights: with "epochs", the share of rows from each of data.sources, up to a common factor; none: the sources
            are one text. Each source then has its own validation part.
        end_of_text: whether every document is followed by the token <|endoftext|>.
        separator: a line that stands between the documents of a file; a line break, "\\n", where it is a blank line, or
            several; "" where every file is one document.
    """

    sampling: str = "random"
    weights: tuple[float, ...] = ()
    end_of_text: bool = False
    separator: str = ""

    def __post_init__(self) -> None:
        choice("objective.sampling", self.sampling, "random", "epochs", "documents")
        ended, one_line = self.end_of_text, "\n" not in self.separator or self.separator == BLANK
        weighted, cut = self.sampling == "epochs" or not self.weights, self.sampling != "documents"
        require(ended or cut, 'objective.sampling = "documents" needs objective.end_of_text = true')
        require(weighted, 'objective.weights needs objective.sampling = "epochs"')
        require(min(self.weights, default=1) > 0, f"objective.weights is {list(self.weights)}; each must be positive")
        require(ended or not self.separator, "objective.separator means nothing without objective.end_of_text = true")
        require(one_line, "objective.separator is one line; it cannot contain a line break")


Text = Tokens | Packed  # of which windows are cut; or documents, packed into rows


def _stream(text: Text) -> np.ndarray:
    """The tokens one after the other."""
    return text.stream if isinstance(text, Packed) else text.ids


def _length(text: Text) -> int:
    return text.tokens if isinstance(text, Packed) else len(text)


class CausalObjective(Objective):
    """See `minigpt.train.objectives`. Its data are lists of texts."""

    Config = CausalConfig
    has_baseline = True

    def __init__(self, config: RunConfig, tokenizer: Tokenizer):
        super().__init__(config, tokenizer)
        self.documents = documents(tokenizer, self.settings.separator) if self.settings.end_of_text else None
        if len(self.settings.weights) not in (0, len(config.data.sources)):
            count, sources = len(self.settings.weights), len(config.data.sources)
            raise UserError(f"objective.weights has {count} numbers, but there are {sources} data.sources")
        check_prompt(self._prompt(config.sample.prompt), config.model.context)
        self._surveyor: Surveyor | None = None

    @staticmethod
    def special_tokens(config: RunConfig) -> tuple[str, ...]:
        return (END_OF_TEXT,) if config.objective.end_of_text else ()

    def load(self) -> Dataset:
        """One text in either part, or one for each of the weighted sources."""
        data, weights = self.config.data, self.settings.weights
        texts = [self._load(some) for some in ([(source,) for source in data.sources] if weights else [data.sources])]
        whole = ",".join(text.fingerprint for text in texts)
        fingerprint = whole if len(texts) == 1 else hashlib.sha256(whole.encode()).hexdigest()
        return Dataset([x.train for x in texts], [x.validation for x in texts], self.tokenizer, fingerprint)

    def _load(self, sources: Sequence[str]) -> Dataset:
        """One text in two parts, as windows or as documents."""
        fraction, context = self.config.data.validation_fraction, self.config.model.context
        if self.settings.sampling != "documents":
            how: dict[str, Any] = {"validation_fraction": fraction, "context": context, "documents": self.documents}
            return load_dataset(sources, self.tokenizer, **how)
        files = text_files(sources)
        fingerprint = text.fingerprint(files)
        encoded = encode_files(files, self.tokenizer, fingerprint, self.documents)
        train, validation = pack_text(encoded, context, fraction)
        if not (train.rows and validation.rows):
            raise UserError(
                f"the text is too short: {len(encoded.ids)} tokens are fewer than two rows of {context}; use more text "
                "or a smaller model.context"
            )
        return Dataset(train, validation, self.tokenizer, fingerprint)

    def read(self, sources: Sequence[str]) -> list[Text]:
        tokens = whole_text(text.resolve_sources(sources), self.tokenizer, self.documents)
        if len(tokens) < 2:
            raise UserError(f"{', '.join(sources)} has {len(tokens)} tokens; at least 2 are needed to predict one")
        if self.settings.sampling == "documents":
            return [pack_text(tokens.text, self.config.model.context)[0]]
        return [tokens]

    def batch(self, data: list[Text], rows: int, *, seed: int, step: int, part: int, first_row: int) -> Batch:
        context = self.config.model.context
        packed = [text for text in data if isinstance(text, Packed)]  # all of them, or none
        streams = [text for text in data if not isinstance(text, Packed)]
        if self.settings.sampling == "random":
            return random_batch(streams[0], rows, context, seed=seed, step=step, part=part)
        windows = [text.row_count for text in packed] or [(len(text) - 1) // context for text in streams]
        places = mixture_rows(windows, self.settings.weights or (1.0,), first_row, rows, seed=seed)
        if packed:
            return packed_batch([(packed[place.corpus], place.window) for place in places])
        return window_batch([streams[place.corpus][place.window * context :] for place in places], context)

    def evaluation_batches(self, data: list[Text], rows: int, limit: int | None = None) -> Makers:
        """A limit is shared out in proportion to the texts' lengths."""
        context, total = self.config.model.context, sum(_length(text) for text in data)
        limits = [None if limit is None else limit * _length(text) // total for text in data]
        made: list[Callable[[], Batch]] = []
        for one, some in zip(data, limits, strict=True):
            made += one.batches(rows, some) if isinstance(one, Packed) else window_batches(one, rows, context, some)
        return made

    def landmarks(self, dataset: Dataset, limit: int | None = None) -> Landmarks | None:
        """What the validation loss lies between, on the batches that evaluation makes; None where it is not known.

        It is known for whole documents of the story world.
        """
        train, validation = dataset.train[0], dataset.validation[0]
        if not (isinstance(train, Packed) and isinstance(validation, Packed)):
            return None
        if self._surveyor is None:
            self._surveyor = Surveyor(train, validation, self.tokenizer)
        return self._surveyor.landmarks(validation.evenly(limit))

    def about(self, dataset: Dataset) -> str:
        count = sum(_length(text) for text in dataset.train)
        mixed = f" of {len(dataset.train)} corpora" if len(dataset.train) > 1 else ""
        return (
            f"{count:,} training tokens{mixed} ({self.tokenizer.vocab_size:,} distinct), "
            f"rows of {self.config.model.context}"
        )

    def report(self, score: Score, data: list[Text]) -> Report:
        """Loss, perplexity and bits per byte: of them the last can be compared across tokenizers."""
        size = sum(text.scored_bytes() for text in data)
        bits = score.bits_per_byte(size)
        values = {"loss": score.loss, "perplexity": score.perplexity, "bits_per_byte": bits, "tokens": score.tokens}
        return values | {"bytes": size}, (
            f"loss {score.loss:.4f} nats per token, perplexity {score.perplexity:.3f}, "
            f"{bits:.4f} bits per byte, over {score.tokens} tokens of {size} bytes"
        )

    def baseline(self, train: list[Text], score: Score, batches: Makers, data: list[Text]) -> Report:
        """What 5-grams counted in the training text make of the same tokens."""
        loss = KneserNey([_stream(text) for text in train], self.tokenizer.vocab_size).mean_loss(batches)
        found, _ = self.report(score._replace(loss=loss), data)
        values = {f"baseline_{name}": found[name] for name in ("loss", "perplexity", "bits_per_byte")}
        sentence = f"a 5-gram model (Kneser–Ney): loss {loss:.4f}, {found['bits_per_byte']:.4f} bits per byte"
        floor = floor_of(data[0], self.tokenizer) if len(data) == 1 and isinstance(data[0], Packed) else None
        if floor is None:
            return values, sentence
        share = Landmarks(loss, floor).share(score.loss)
        return values | {"floor": floor, "share": share}, (
            f"{sentence}\nthe floor of this text: loss {floor:.4f}; the model has gone {share:.1%} of the way there"
        )

    def sample(self, model: Any, params: Parameters, settings: SampleConfig, seed: Seed) -> Iterator[str]:
        """The prompt, and how the model goes on; a blank line where a document ends."""
        if settings.beams:
            raise UserError("sample.beams is for encoder–decoders; this model draws its tokens")
        seeds = [seed] if isinstance(seed, int) else [*seed]

        def begun(prompt: list[int], tokens: int, *number: int) -> Iterator[int]:
            size = self.tokenizer.vocab_size
            return generate(model, params, prompt, tokens, seed=[*seeds, *number], vocab_size=size, **settings.drawing)

        ids = begun(self._prompt(settings.prompt), settings.tokens)  # refuses a prompt before it is shown
        yield settings.prompt
        end = self.documents.end if self.documents else None
        if end is not None and self.settings.sampling == "documents":
            ids = _one_by_one(ids, begun, end, settings.tokens)
        for ended, part in itertools.groupby(ids, key=lambda i: i == end):
            yield from ["\n\n"] if ended else text_pieces(self.tokenizer, part)

    def _prompt(self, prompt: str) -> list[int]:
        """The ids to go on from; a document begins after an end-of-text token."""
        if not prompt and self.documents is not None:
            return [self.documents.end]
        return prompt_ids(self.tokenizer, prompt)


def _one_by_one(ids: Iterator[int], begun: Callable[..., Iterator[int]], end: int, left: int) -> Iterator[int]:
    """Where rows of training begin with a document, so does writing: one that has ended is out of the next one's sight.

    Args:
        ids: the first document, and what might follow it.
        begun: begins another, given its prompt, how many tokens are left, and its number.
    """
    number = 0
    while left:
        for i in ids:
            left -= 1
            yield i
            if i == end:
                break
        number += 1
        ids = begun([end], left, number)
