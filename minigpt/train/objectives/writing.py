"""What the objectives of encoder–decoders share: special tokens, and letting the decoder write about a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigpt.blocks.dispatch import operations
from minigpt.blocks.run import Run
from minigpt.core.backend import backend_of
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.seq2seq import Seq2SeqBatch
from minigpt.generate import beam
from minigpt.generate.processors import process, processors
from minigpt.generate.sampling import drawing_probabilities
from minigpt.generate.settings import generation
from minigpt.tokenizers import Tokenizer

NAMES = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "mask": "<mask>"}
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


def plain_text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Decode ids without the special tokens that only say where a text begins and ends."""
    hidden = {i for name, i in tokenizer.special_tokens.items() if name != NAMES["mask"]}
    return tokenizer.decode([i for i in ids if i not in hidden])


def write(
    model: Any, params: Parameters, source: Sequence[int], settings: Any, seed: Any, *, vocab_size: int
) -> Iterator[int]:
    """Yield what the decoder writes about one source, up to its end-of-text.

    Args:
        settings: a SampleConfig: `beams` of at least 1 search for the most probable text, which then comes at once;
            with 0, every token is drawn, with `temperature`, `top_k` and `top_p`.
    Raises:
        UserError: the source is longer than the context.
    """
    c, backend = model.config, backend_of(params.flat)
    if len(source) > c.context:
        raise UserError(f"the source has {len(source)} tokens, but the model's context is {c.context}; shorten it")
    longest = min(settings.tokens + 1, c.context)  # with the decoder's start
    batch = Seq2SeqBatch(backend.asarray(np.array([source])), backend.asarray(np.array([[c.start]])))
    run = Run(ops=operations("auto", backend))
    state = model.start(params, batch, longest, run)
    g = generation(settings.drawing)
    steps = processors(g, prompt=1, longest=longest, source=np.array([source]), real=None, vocab_size=vocab_size)
    if settings.beams:
        search = beam.Search(settings.beams, settings.length_penalty, settings.penalty, max_length=longest)
        start = np.array([[c.start]])
        found = beam.generate(model, params, state, start, search, eos=c.eos, vocab_size=vocab_size, steps=steps)
        yield from found[0].ids[1:]
        return
    rng, text = np.random.default_rng(seed), [c.start]
    for _ in range(longest - 1):
        logits, state = model.step(params, backend.asarray(np.array([text[-1:]])), state)
        scores = backend.to_host(logits[0])[:vocab_size]
        if not np.isfinite(scores).all():
            raise UserError("the model's scores are not finite: its training went wrong, or its file is damaged")
        p = drawing_probabilities(process(scores[None], np.array([text]), steps)[0], g)
        text.append(int(rng.choice(len(p), p=p)))
        yield text[-1]
        if text[-1] == c.eos:
            return
