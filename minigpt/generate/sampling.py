"""Generating text: from a model's scores to the next token, and on.

The model keeps the keys and values of what it has read, so that only the new token goes through it. When the text
outgrows the context, the model sees its last `context` tokens.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigpt.blocks.dispatch import operations
from minigpt.blocks.run import Run
from minigpt.core.backend import backend_of
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.batch import Batch
from minigpt.generate import truncation
from minigpt.generate.processors import Process, checked_scores, process, processors
from minigpt.generate.settings import Generation, generation
from minigpt.tokenizers import Tokenizer


def next_token_probabilities(
    logits: np.ndarray, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> np.ndarray:
    """Turn scores (V,) into the distribution to draw from, in float64.

    Args:
        temperature: the scores are divided by it; 0 puts everything on the largest (greedy).
        top_k: keep only the k largest scores (and what ties with the last of them); 0 keeps all.
        top_p: keep the smallest set of most probable tokens whose probabilities sum to at least p (Holtzman et al.
            2020). The token that crosses p is kept; GPT-2's released code drops it.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if temperature == 0:
        probabilities = np.zeros_like(logits)
        probabilities[logits.argmax()] = 1.0
        return probabilities
    with np.errstate(over="ignore"):  # next to 0 it leaves the largest alone
        logits = (logits - logits.max()) / temperature
    if top_k and top_k < len(logits):
        logits = np.where(logits >= np.partition(logits, -top_k)[-top_k], logits, -np.inf)
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum()
    if top_p < 1.0:
        order = np.argsort(-probabilities, kind="stable")
        before = np.cumsum(probabilities[order]) - probabilities[order]
        probabilities[order[before >= top_p]] = 0.0
        probabilities /= probabilities.sum()
    return probabilities


def drawing_probabilities(logits: np.ndarray, g: Generation) -> np.ndarray:
    """The distribution (V,) to draw from, with all of the settings that leave out unlikely tokens.

    Raises:
        UserError: there is none: a penalty made of a large score one that is not finite.
    """
    p = next_token_probabilities(logits, temperature=g.temperature, top_k=g.top_k, top_p=g.top_p)
    if g.min_p:
        p = truncation.min_p(p, g.min_p)
    if g.typical_p < 1:
        p = truncation.typical(p, g.typical_p)
    if 0 < g.epsilon_cutoff < 1:
        p = truncation.epsilon_cutoff(p, g.epsilon_cutoff)
    if 0 < g.eta_cutoff < 1:
        p = truncation.eta_cutoff(p, g.eta_cutoff)
    if not np.isfinite(p).all():
        raise UserError("the model's scores are too large to draw from: its file, or a setting, is damaged")
    return p


def drawn(logits: np.ndarray, g: Generation, rng: np.random.Generator) -> int:
    """A token of the distribution of `drawing_probabilities`."""
    p = drawing_probabilities(logits, g)
    return int(rng.choice(len(p), p=p))


def generate(
    model: Any,
    params: Parameters,
    prompt: Sequence[int],
    tokens: int,
    *,
    seed: int | Sequence[int] = 0,
    vocab_size: int | None = None,
    **settings: Any,
) -> Iterator[int]:
    """Return an iterator over `tokens` new token ids that continue `prompt` (at least one id).

    Args:
        vocab_size: draw only ids below it (a tokenizer may have fewer tokens than the model has rows).
        settings: those of `minigpt.generate.settings.Generation`, such as `temperature` or `min_p`; by default any
            token may be drawn, as the model's scores have it.
    Raises:
        UserError: the prompt is empty or longer than the model's context, a setting is out of range, or the model's
            scores are not finite.
    """
    g = generation({"do_sample": True, "top_k": 0}, settings)
    return continuation(model, params, prompt, tokens, g, seed=seed, vocab_size=vocab_size)


@dataclass
class Kept:
    """What a model has read, from one continuation to the next: what two prompts begin with is read once.

    Attributes:
        read: the ids whose keys and values are the first columns of `state` (None before there are any).
    """

    read: list[int] = field(default_factory=list)
    state: Any = None

    def resumed(self, state: Any, prompt: Sequence[int]) -> Any:
        """The new `state` with the keys and values of what `prompt` and the text before have in common at their
        beginning, but for the last token of the prompt: what follows it is asked for. The text before is forgotten.
        """
        both = zip(self.read, prompt[:-1], strict=False)
        same = next((n for n, (a, b) in enumerate(both) if a != b), min(len(self.read), len(prompt) - 1))
        if self.state is not None:
            old = self.state.own
            for before, after in zip(old.keys + old.values, state.own.keys + state.own.values, strict=True):
                after[:, :same] = before[:, :same]
        del self.read[same:]
        self.state = state.advanced(same)
        return self.state


def continuation(
    model: Any,
    params: Parameters,
    prompt: Sequence[int],
    tokens: int,
    g: Generation,
    *,
    seed: int | Sequence[int] = 0,
    vocab_size: int | None = None,
    kept: Kept | None = None,
) -> Iterator[int]:
    """Return an iterator over at most `tokens` ids that follow `prompt`: as many, or up to the first that ends a text.

    Args:
        kept: of an earlier continuation, for this one to go on from; one at a time may use it.
    Raises:
        UserError: see `generate`.
    """
    check_prompt(prompt, model.config.context)
    backend, read = backend_of(params.flat), np.array([prompt])
    limit = model.config.vocab_size if vocab_size is None else vocab_size
    longest = len(prompt) + tokens
    steps = processors(g, prompt=len(prompt), longest=longest, source=read, real=None, vocab_size=limit)
    run, ids = Run(ops=operations("auto", backend)), backend.asarray(read)
    state = model.start(params, Batch(ids, ids), min(model.config.context, longest), run)
    kept = Kept() if kept is None else kept
    scores = next_scores(model, params, kept.resumed(state, prompt), prompt, run, kept.read)
    return next_tokens(scores, prompt, tokens, g, steps, seed, limit)


def next_tokens(
    scores: Generator[np.ndarray, int, None],
    prompt: Sequence[int],
    tokens: int,
    g: Generation,
    steps: Sequence[Process],
    seed: int | Sequence[int],
    limit: int,
) -> Iterator[int]:
    """Yield at most `tokens` ids below `limit` that follow `prompt`, as the settings and `steps` choose them.

    Args:
        scores: see `next_scores`.
    """
    rng, text = np.random.default_rng(seed), list(prompt)
    for n in range(tokens):
        logits = (scores.send(text[-1]) if n else next(scores))[:limit]
        logits = logits if g.remove_invalid_values else checked_scores(logits)
        logits = process(logits[None], np.array([text]), steps)[0] if steps else logits
        token = drawn(logits, g, rng) if g.do_sample else int(logits.argmax())
        yield token
        if token in g.eos_token_id:
            return
        text.append(token)


def next_scores(
    model: Any, params: Parameters, state: Any, prompt: Sequence[int], run: Run, read: list[int] | None = None
) -> Generator[np.ndarray, int, None]:
    """Yield the scores (V,) of what follows `prompt`; send the token that was chosen to get the next ones.

    As long as the text fits the context, only the new token goes through the model. Once it does not, the window slides
    with every token; then each token has another position than before, and the whole window goes through again.

    Args:
        state: what `model.start` gave, and read of the prompt since.
        read: the ids that `state` has read, for whoever goes on with it; what is read here is added.
    """
    context, backend = model.config.context, backend_of(params.flat)
    ids, read = list(prompt), [] if read is None else read
    while len(ids) <= context:
        new = ids[len(read) :]
        logits, state = model.step(params, backend.asarray(np.asarray([new])), state)
        read += new
        ids.append((yield backend.to_host(logits[0])))
    while True:
        window = backend.asarray(np.asarray([ids[-context:]]))
        ids.append((yield backend.to_host(model.logits(params, window, run)[0, -1])))


def check_prompt(prompt: Sequence[int], context: int) -> None:
    """Raise UserError if a prompt is empty or longer than the context."""
    if not prompt:
        raise UserError("the prompt is empty; generation needs at least one token to start from")
    if len(prompt) > context:
        raise UserError(f"the prompt has {len(prompt)} tokens, but the model's context is {context}; shorten it")


def prompt_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Encode a prompt; an empty one starts from a line break, or from the first token where there is none."""
    if prompt:
        return tokenizer.encode(prompt)
    try:
        return tokenizer.encode("\n") or [0]  # WordPiece, for one, sees nothing in white space
    except UserError:
        return [0]


def text_pieces(tokenizer: Tokenizer, ids: Iterable[int], before: Sequence[int] = ()) -> Iterator[str]:
    """Decode ids as they come. A character may take several: only what can no longer change is handed out.

    Args:
        before: the ids of the text that they continue, without its special tokens; where there is a text, a space that
            the first new token begins with is part of what follows.
    """
    done = list(before)
    given = tokenizer.decode(done) if done else ""
    for i in ids:
        done.append(i)
        text = tokenizer.decode(done).rstrip("\ufffd")
        if text.startswith(given) and len(text) > len(given):
            yield text[len(given) :]
            given = text
    yield tokenizer.decode(done)[len(given) :]
