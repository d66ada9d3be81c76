"""Causal language modelling (GPT, Llama): every token predicted from those before it in its window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minigpt.data import shards, text
from minigpt.data.batch import Batch
from minigpt.data.dataset import Dataset, load_dataset, random_batch, window_batches
from minigpt.errors import UserError
from minigpt.evaluate.loss import Score, text_bytes
from minigpt.generate import check_prompt, generate, prompt_ids, text_pieces
from minigpt.params import Parameters
from minigpt.tokenizers import Tokenizer

if TYPE_CHECKING:
    from minigpt.config import RunConfig, SampleConfig


@dataclass(frozen=True)
class CausalConfig:
    """Next-token prediction has nothing to choose."""


class CausalObjective:
    """See `minigpt.objectives`. Its data are arrays of token ids, one text after the other."""

    Config = CausalConfig

    def __init__(self, config: RunConfig, tokenizer: Tokenizer):
        self.config, self.tokenizer = config, tokenizer
        check_prompt(prompt_ids(tokenizer, config.sample.prompt), config.model.context)

    def load(self) -> Dataset:
        data = self.config.data
        return load_dataset(
            data.sources,
            self.tokenizer,
            validation_fraction=data.validation_fraction,
            context=self.config.model.context,
        )

    def read(self, sources: Sequence[str]) -> np.ndarray:
        files = text.resolve_sources(sources)
        tokens = shards.encode_files(files, self.tokenizer, text.fingerprint(files))
        if len(tokens) < 2:
            raise UserError(f"{', '.join(sources)} has {len(tokens)} tokens; at least 2 are needed to predict one")
        return tokens

    def batch(self, data: np.ndarray, rows: int, *, seed: int, step: int, part: int) -> Batch:
        return random_batch(data, rows, self.config.model.context, seed=seed, step=step, part=part)

    def evaluation_batches(self, data: np.ndarray, rows: int, limit: int | None = None) -> list[Callable[[], Batch]]:
        return window_batches(data, rows, self.config.model.context, limit)

    def about(self, dataset: Dataset) -> str:
        return (
            f"{len(dataset.train):,} training tokens ({self.tokenizer.vocab_size} different), "
            f"rows of {self.config.model.context}"
        )

    def report(self, score: Score, data: np.ndarray) -> tuple[dict[str, Any], str]:
        """Loss, perplexity and bits per byte: of them the last can be compared across tokenizers."""
        bits = score.bits_per_byte(text_bytes(self.tokenizer, data[1:]))
        values = {"loss": score.loss, "perplexity": score.perplexity, "bits_per_byte": bits, "tokens": score.tokens}
        return values, (
            f"loss {score.loss:.4f} nats per token, perplexity {score.perplexity:.3f}, "
            f"{bits:.4f} bits per byte, over {score.tokens} tokens"
        )

    def sample(
        self, model: Any, params: Parameters, settings: SampleConfig, seed: int | Sequence[int]
    ) -> Iterator[str]:
        """The prompt, and how the model goes on."""
        ids = generate(
            model,
            params,
            prompt_ids(self.tokenizer, settings.prompt),
            settings.tokens,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            seed=seed,
            vocab_size=self.tokenizer.vocab_size,
        )
        yield settings.prompt
        yield from text_pieces(self.tokenizer, ids)
