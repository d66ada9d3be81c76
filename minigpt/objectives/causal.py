"""Causal language modelling (GPT, Llama): every token predicted from those before it in its window."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigpt.data import shards, text
from minigpt.data.batch import Batch
from minigpt.data.dataset import load_dataset, random_batch, window_batch, window_batches
from minigpt.data.documents import END_OF_TEXT, documents
from minigpt.data.mixture import mixture_rows
from minigpt.errors import UserError
from minigpt.evaluate.loss import Score, text_bytes
from minigpt.evaluate.ngram import KneserNey
from minigpt.generate import check_prompt, generate, prompt_ids, text_pieces
from minigpt.params import Parameters
from minigpt.tokenizers import Tokenizer

if TYPE_CHECKING:
    from minigpt.config import RunConfig, SampleConfig


@dataclass(frozen=True)
class CausalConfig:
    """Where the windows of tokens come from.

    Attributes:
        sampling: "random": windows from anywhere in the text, so that some tokens come more often than others.
            "epochs": the text is cut into windows, and each is taken once before any is taken again.
        weights: with "epochs", the share of rows from each of data.sources, up to a common factor; none: the sources
            are one text. Each source then has its own validation part.
        end_of_text: whether every document is followed by the token <|endoftext|>.
        separator: a line that stands between the documents of a file; "" where every file is one document.
    """

    sampling: str = "random"
    weights: tuple[float, ...] = ()
    end_of_text: bool = False
    separator: str = ""

    def __post_init__(self) -> None:
        if self.sampling not in ("random", "epochs"):
            raise UserError(f'objective.sampling is {self.sampling!r}; choose "random" or "epochs"')
        if self.weights and self.sampling != "epochs":
            raise UserError('objective.weights needs objective.sampling = "epochs"')
        if not all(weight > 0 for weight in self.weights):
            raise UserError(f"objective.weights is {list(self.weights)}; each must be positive")
        if self.separator and not self.end_of_text:
            raise UserError("objective.separator means nothing without objective.end_of_text = true")
        if "\n" in self.separator:
            raise UserError("objective.separator is one line; it cannot contain a line break")


class CausalData(NamedTuple):
    """Token ids to learn from and to validate on: of one text, or of each of the weighted sources."""

    train: list[np.ndarray]
    validation: list[np.ndarray]
    fingerprint: str


class CausalObjective:
    """See `minigpt.objectives`. Its data are lists of texts, each an array of token ids."""

    Config = CausalConfig

    def __init__(self, config: RunConfig, tokenizer: Tokenizer):
        self.config, self.settings, self.tokenizer = config, config.objective, tokenizer
        self.documents = documents(tokenizer, self.settings.separator) if self.settings.end_of_text else None
        if len(self.settings.weights) not in (0, len(config.data.sources)):
            count, sources = len(self.settings.weights), len(config.data.sources)
            raise UserError(f"objective.weights has {count} numbers, but there are {sources} data.sources")
        check_prompt(self._prompt(config.sample.prompt), config.model.context)

    @staticmethod
    def special_tokens(config: RunConfig) -> tuple[str, ...]:
        return (END_OF_TEXT,) if config.objective.end_of_text else ()

    def load(self) -> CausalData:
        data, weights = self.config.data, self.settings.weights
        texts = [
            load_dataset(
                sources,
                self.tokenizer,
                validation_fraction=data.validation_fraction,
                context=self.config.model.context,
                documents=self.documents,
            )
            for sources in ([(source,) for source in data.sources] if weights else [data.sources])
        ]
        whole = ",".join(text.fingerprint for text in texts)
        fingerprint = whole if len(texts) == 1 else hashlib.sha256(whole.encode()).hexdigest()
        return CausalData([text.train for text in texts], [text.validation for text in texts], fingerprint)

    def read(self, sources: Sequence[str]) -> list[np.ndarray]:
        files = text.resolve_sources(sources)
        tokens = shards.encode_files(files, self.tokenizer, text.fingerprint(files), self.documents)
        if len(tokens) < 2:
            raise UserError(f"{', '.join(sources)} has {len(tokens)} tokens; at least 2 are needed to predict one")
        return [tokens]

    def batch(self, data: list[np.ndarray], rows: int, *, seed: int, step: int, part: int, first_row: int) -> Batch:
        context = self.config.model.context
        if self.settings.sampling == "random":
            return random_batch(data[0], rows, context, seed=seed, step=step, part=part)
        windows = [(len(tokens) - 1) // context for tokens in data]
        places = mixture_rows(windows, self.settings.weights or (1.0,), first_row, rows, seed=seed)
        return window_batch([data[place.corpus][place.window * context :] for place in places], context)

    def evaluation_batches(
        self, data: list[np.ndarray], rows: int, limit: int | None = None
    ) -> list[Callable[[], Batch]]:
        """A limit is shared out in proportion to the texts' lengths."""
        context, total = self.config.model.context, sum(len(tokens) for tokens in data)
        limits = [None if limit is None else limit * len(tokens) // total for tokens in data]
        texts = zip(data, limits, strict=True)
        return [make for tokens, some in texts for make in window_batches(tokens, rows, context, some)]

    def about(self, dataset: CausalData) -> str:
        count = sum(len(tokens) for tokens in dataset.train)
        mixed = f" of {len(dataset.train)} corpora" if len(dataset.train) > 1 else ""
        return (
            f"{count:,} training tokens{mixed} ({self.tokenizer.vocab_size} different), "
            f"rows of {self.config.model.context}"
        )

    def report(self, score: Score, data: list[np.ndarray]) -> tuple[dict[str, Any], str]:
        """Loss, perplexity and bits per byte: of them the last can be compared across tokenizers."""
        bits = score.bits_per_byte(sum(self._bytes(tokens[1:]) for tokens in data))
        values = {"loss": score.loss, "perplexity": score.perplexity, "bits_per_byte": bits, "tokens": score.tokens}
        return values, (
            f"loss {score.loss:.4f} nats per token, perplexity {score.perplexity:.3f}, "
            f"{bits:.4f} bits per byte, over {score.tokens} tokens"
        )

    def baseline(
        self, train: list[np.ndarray], score: Score, batches: Sequence[Callable[[], Batch]], data: list[np.ndarray]
    ) -> tuple[dict[str, Any], str]:
        """What trigrams counted in the training text make of the same tokens."""
        loss = KneserNey(train, self.tokenizer.vocab_size).mean_loss(batches)
        values, _ = self.report(score._replace(loss=loss), data)
        sentence = f"a trigram model (Kneser–Ney): loss {loss:.4f}, {values['bits_per_byte']:.4f} bits per byte"
        return {f"baseline_{name}": values[name] for name in ("loss", "perplexity", "bits_per_byte")}, sentence

    def _bytes(self, tokens: np.ndarray) -> int:
        """Bytes of text; an end-of-text token is none, though predicting it costs."""
        return text_bytes(self.tokenizer, tokens if self.documents is None else tokens[tokens != self.documents.end])

    def sample(
        self, model: Any, params: Parameters, settings: SampleConfig, seed: int | Sequence[int]
    ) -> Iterator[str]:
        """The prompt, and how the model goes on."""
        if settings.beams:
            raise UserError("sample.beams is for encoder–decoders; this model draws its tokens")
        ids = generate(
            model,
            params,
            self._prompt(settings.prompt),
            settings.tokens,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            seed=seed,
            vocab_size=self.tokenizer.vocab_size,
        )
        yield settings.prompt
        yield from text_pieces(self.tokenizer, ids)

    def _prompt(self, prompt: str) -> list[int]:
        """The ids to go on from; a document begins after an end-of-text token."""
        if not prompt and self.documents is not None:
            return [self.documents.end]
        return prompt_ids(self.tokenizer, prompt)
