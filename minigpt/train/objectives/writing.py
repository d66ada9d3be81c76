"""What the objectives of encoder–decoders share: special tokens, batches, and a decoder that writes about a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.dataset import window_batches
from minigpt.data.encoded import Tokens
from minigpt.data.ngram import KneserNey
from minigpt.data.seq2seq import Seq2SeqBatch, seq2seq_batch
from minigpt.generate import beam
from minigpt.generate.processors import processors
from minigpt.generate.sampling import next_scores, next_tokens, text_pieces
from minigpt.generate.settings import generation
from minigpt.tokenizers import Tokenizer
from minigpt.train.objectives.base import Objective, Seed
from minigpt.train.passes import quick_passes
from minigpt.train.settings import RunConfig, SampleConfig

NAMES = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "mask": "<mask>"}
_ROWS = 64  # windows that the n-gram model scores at a time
SPECIAL_TOKENS = tuple(NAMES.values())  # in this order they get the ids 0, 1, 2 and 3 in a new tokenizer


def check_special_tokens(tokenizer: Tokenizer, model: Any, needed: Sequence[str]) -> None:
    """Compare the tokenizer's special tokens with the ids that the model's configuration says they have.

    Args:
        needed: which keys of `NAMES`.
    Raises:
        UserError: the tokenizer lacks one, or has it under another id.
    """
    known = tokenizer.special_tokens
    if missing := [NAMES[name] for name in needed if NAMES[name] not in known]:
        raise UserError(
            f"an encoder–decoder needs a tokenizer with the special tokens {', '.join(NAMES[n] for n in needed)}, and "
            f"this one lacks {', '.join(missing)}; train one with --tokenizer bpe:4096, for instance"
        )
    for name in needed:
        token, wanted = NAMES[name], getattr(model, name, known[NAMES[name]])
        if known[token] != wanted:
            raise UserError(
                f"{token} has the id {known[token]} in this tokenizer, but model.{name} is {wanted}; "
                f"set model.{name}={known[token]}"
            )


class WritingObjective(Objective):
    """An encoder–decoder's objective. Its data are ids, one text after the other, or whatever a subclass has.

    Attributes:
        needed: the special tokens that the tokenizer must have, by the keys of `NAMES`.
        words: what a sample calls the source, what is written about it, and the target.
    """

    has_baseline = True
    needed: tuple[str, ...]
    words: tuple[str, str, str]

    def __init__(self, config: RunConfig, tokenizer: Tokenizer):
        super().__init__(config, tokenizer)
        self.model = config.model
        check_special_tokens(tokenizer, config.model, self.needed)
        self._example: tuple[list[int], np.ndarray] | None = None

    @staticmethod
    def special_tokens(config: RunConfig) -> tuple[str, ...]:
        return SPECIAL_TOKENS

    def source_ids(self, prompt: str) -> list[int]:
        """What the encoder reads of a prompt, special tokens included."""
        raise NotImplementedError

    def example(self, data: Any) -> tuple[list[int], np.ndarray]:
        """Such a source of the validation data, and the ids of its target."""
        raise NotImplementedError

    def joined(self, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Seq2SeqBatch:
        return seq2seq_batch(sources, targets, pad=self.model.pad, start=self.model.start)

    def ngram_loss(self, train: Tokens, data: Tokens, length: int) -> float:
        """What 5-grams counted in the training text make of windows of the data, without a look at the sources."""
        return KneserNey([train.ids], self.tokenizer.vocab_size).mean_loss(window_batches(data, _ROWS, length))

    def sample(self, model: Any, params: Parameters, settings: SampleConfig, seed: Seed) -> Iterator[str]:
        """What the decoder writes about the prompt; without one, about a source of the validation data."""
        if settings.prompt:
            yield from self._written(model, params, self.source_ids(settings.prompt), settings, seed)
            return
        if self._example is None:
            self._example = self.example(self.load().validation)
        source, target = self._example
        hidden = {i for name, i in self.tokenizer.special_tokens.items() if name != NAMES["mask"]}
        read = self.tokenizer.decode([i for i in source if i not in hidden])
        yield f"{self.words[0]}{read}\n{self.words[1]}"
        yield from self._written(model, params, source, settings, seed)
        yield f"\n{self.words[2]}{self.tokenizer.decode(target.tolist())}"

    def _written(
        self, model: Any, params: Parameters, source: list[int], settings: SampleConfig, seed: Seed
    ) -> Iterator[str]:
        """In pieces, without special tokens."""
        ids = write(model, params, source, settings, seed, vocab_size=self.tokenizer.vocab_size)
        hidden = set(self.tokenizer.special_tokens.values())
        return text_pieces(self.tokenizer, (i for i in ids if i not in hidden))


def write(
    model: Any, params: Parameters, source: Sequence[int], settings: SampleConfig, seed: Seed, *, vocab_size: int
) -> Iterator[int]:
    """Yield what the decoder writes about one source, up to its end-of-text.

    Args:
        settings: `beams` of at least 1 search for the most probable text, which then comes at once; with 0, every
            token is drawn, with `temperature`, `top_k` and `top_p`.
    Raises:
        UserError: the source is longer than the context.
    """
    c, passes = model.config, quick_passes(params)
    if len(source) > c.context:
        raise UserError(f"the source has {len(source)} tokens, but the model's context is {c.context}; shorten it")
    longest = min(settings.tokens + 1, c.context)  # with the decoder's start
    read, start = np.array([source]), np.array([[c.start]])
    run = Run(ops=passes.operations)
    state = model.start(params, passes.on_device(Seq2SeqBatch(read, start)), longest, run)
    g = generation(settings.drawing, {"do_sample": True, "eos_token_id": c.eos})
    steps = processors(g, prompt=1, longest=longest, source=read, real=None, vocab_size=vocab_size)
    if settings.beams:
        search = beam.Search(settings.beams, settings.length_penalty, settings.penalty, max_length=longest)
        found = beam.generate(model, params, state, start, search, eos=c.eos, vocab_size=vocab_size, steps=steps)
        yield from found[0].ids[1:]
    else:
        scores = next_scores(model, params, state, [c.start], run)
        yield from next_tokens(scores, [c.start], longest - 1, g, steps, seed, vocab_size)
