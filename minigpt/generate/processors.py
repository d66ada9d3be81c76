"""What generation does to the scores of the next token before one is chosen: penalties, bans and forced tokens.

Each function takes scores (R, V) of the next token after texts (R, n) and returns new ones; the scores that it is given
stay as they are. In greedy generation and drawing they are the model's logits, in beam search log-probabilities, as in
transformers' `generate()`, whose order `processors` keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from minigpt.core.errors import UserError
from minigpt.generate.settings import Generation

Bias = tuple[tuple[int, ...], float]  # a sequence of ids, and what is added to the score of its last one
Process = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores (R, V), texts (R, n) to scores (R, V)


def penalize_repetition(
    scores: np.ndarray, texts: np.ndarray, penalty: float, real: np.ndarray | None = None
) -> np.ndarray:
    """Divide the scores of tokens that occurred by `penalty`, and multiply negative ones (Keskar et al. 2019).

    Args:
        real: (B, P), False at the prompts' padding, which does not count; row r of the texts belongs to prompt
            r // (R / B).
    """
    counted = np.ones(texts.shape, dtype=bool)
    if real is not None:
        counted[:, : real.shape[1]] = np.repeat(real, len(texts) // len(real), axis=0)
    seen = np.zeros(scores.shape, dtype=bool)
    rows, places = np.nonzero(counted)
    seen[rows, texts[rows, places]] = True
    with np.errstate(all="ignore"):  # a penalty may be larger, or smaller, than what scores can be
        return np.where(seen, np.where(scores < 0, scores * penalty, scores / penalty), scores)


def favour_prompt(scores: np.ndarray, texts: np.ndarray, penalty: float, prompt: np.ndarray) -> np.ndarray:
    """The reverse for the tokens of the prompt (or of an encoder's input) (B, S): above 1 makes them likelier."""
    return penalize_repetition(scores, np.repeat(prompt, len(texts) // len(prompt), axis=0), 1 / penalty)


def forbid_repeats(scores: np.ndarray, texts: np.ndarray, size: int) -> np.ndarray:
    """No n-gram of `size` tokens occurs twice in a text."""
    return _forbid_ngrams(scores, texts, texts, size)


def forbid_copies(scores: np.ndarray, texts: np.ndarray, size: int, source: np.ndarray) -> np.ndarray:
    """No n-gram of the prompt (or of an encoder's input) (B, S) occurs in a text."""
    return _forbid_ngrams(scores, texts, np.repeat(source, len(texts) // len(source), axis=0), size)


def _forbid_ngrams(scores: np.ndarray, texts: np.ndarray, sources: np.ndarray, size: int) -> np.ndarray:
    """Rule out what would complete an n-gram of the sources (R, S) after the last n − 1 tokens of the texts."""
    if texts.shape[1] < size - 1 or sources.shape[1] < size:
        return scores
    ending = texts[:, texts.shape[1] - size + 1 :]  # (R, n−1)
    grams = np.lib.stride_tricks.sliding_window_view(sources, size, axis=1)  # (R, S−n+1, n)
    rows, places = np.nonzero((grams[..., :-1] == ending[:, None]).all(axis=-1))
    scores = scores.copy()
    scores[rows, grams[rows, places, -1]] = -np.inf
    return scores


def bias_sequences(scores: np.ndarray, texts: np.ndarray, biases: Sequence[Bias]) -> np.ndarray:
    """Add to the score of a sequence's last token where the text ends in the tokens before it; −∞ forbids it."""
    scores = scores.copy()
    for ids, bias in biases:
        *before, last = ids
        if len(before) <= texts.shape[1]:
            scores[(texts[:, texts.shape[1] - len(before) :] == before).all(axis=1), last] += bias
    return scores


def forbid_end(scores: np.ndarray, texts: np.ndarray, length: int, ends: Sequence[int]) -> np.ndarray:
    """No text ends before it has `length` tokens, the prompt included."""
    return suppress(scores, texts, ends) if texts.shape[1] < length else scores


def force(scores: np.ndarray, texts: np.ndarray, length: int, ids: Sequence[int]) -> np.ndarray:
    """After `length` tokens comes one of `ids`, and is certain: a text's score stays what it was."""
    if texts.shape[1] != length:
        return scores
    forced = np.full_like(scores, -np.inf)
    forced[:, list(ids)] = 0.0
    return forced


def replace_invalid(scores: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """NaN becomes 0, ±∞ the largest and smallest float32."""
    limits = np.finfo(np.float32)
    return np.nan_to_num(scores, nan=0.0, posinf=float(limits.max), neginf=float(limits.min))


def hasten_end(scores: np.ndarray, texts: np.ndarray, start: int, factor: float, ends: Sequence[int]) -> np.ndarray:
    """From `start` tokens on, add |score|·(factorᵏ − 1) to the score of ending, k tokens later.

    The power grows no further where it is 10³⁰: that ends every text, and a float32 bears it.
    """
    late = texts.shape[1] - start
    if late <= 0:
        return scores
    if abs(factor) > 1:
        late = min(late, int(30 / math.log10(abs(factor))))
    scores, ending = scores.copy(), scores[:, list(ends)]
    scores[:, list(ends)] += np.where(np.isfinite(ending), np.abs(ending), 0.0) * (factor**late - 1)
    return scores


def suppress(scores: np.ndarray, texts: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """These tokens never come."""
    scores = scores.copy()
    scores[:, list(ids)] = -np.inf
    return scores


def suppress_first(scores: np.ndarray, texts: np.ndarray, length: int, ids: Sequence[int]) -> np.ndarray:
    """These tokens do not come as the first new one, after `length` tokens."""
    return suppress(scores, texts, ids) if texts.shape[1] == length else scores


def normalize(scores: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Log-probabilities again."""
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def processors(
    g: Generation, *, prompt: int, longest: int, source: np.ndarray, real: np.ndarray | None, vocab_size: int
) -> list[Process]:
    """What the settings ask for, in transformers' order.

    Args:
        prompt: how many tokens the texts begin with; `longest`: how many they may have.
        source: (B, S) what the encoder reads, or the prompts of a decoder-only model.
        real: (B, P) False at the prompts' padding; None where there is none.

    Raises:
        UserError: a setting names an id that the model does not have.
    """
    steps = [*_against_repetition(g, source, real, vocab_size), *_about_ends(g, prompt, longest, vocab_size)]
    if g.suppress_tokens:
        steps.append(partial(suppress, ids=_below(g.suppress_tokens, vocab_size)))
    if g.begin_suppress_tokens:
        first = prompt if prompt > 1 or g.forced_bos_token_id is None else prompt + 1
        steps.append(partial(suppress_first, length=first, ids=_below(g.begin_suppress_tokens, vocab_size)))
    return [*steps, normalize] if g.renormalize_logits else steps


def _against_repetition(
    g: Generation, source: np.ndarray, real: np.ndarray | None, vocab_size: int
) -> Iterator[Process]:
    """What depends on the tokens that a text or its source has, up to the words that are forbidden."""
    if g.sequence_bias:
        yield partial(bias_sequences, biases=_known(g.sequence_bias, "sequence_bias", vocab_size))
    if g.encoder_repetition_penalty != 1:
        yield partial(favour_prompt, penalty=g.encoder_repetition_penalty, prompt=source)
    if g.repetition_penalty != 1:
        yield partial(penalize_repetition, penalty=g.repetition_penalty, real=real)
    if g.no_repeat_ngram_size:
        yield partial(forbid_repeats, size=g.no_repeat_ngram_size)
    if g.encoder_no_repeat_ngram_size:
        yield partial(forbid_copies, size=g.encoder_no_repeat_ngram_size, source=source)
    ends = [(i,) for i in g.eos_token_id]
    if bad := [(ids, -np.inf) for ids in g.bad_words_ids if ids not in ends]:
        yield partial(bias_sequences, biases=_known(bad, "bad_words_ids", vocab_size))


def _about_ends(g: Generation, prompt: int, longest: int, vocab_size: int) -> Iterator[Process]:
    """What depends on how long a text is."""
    ends = _below(g.eos_token_id, vocab_size)
    least = g.min_length if g.min_new_tokens is None else prompt + g.min_new_tokens
    if least and ends:
        yield partial(forbid_end, length=least, ends=ends)
    if g.forced_bos_token_id is not None:
        yield partial(force, length=1, ids=_checked((g.forced_bos_token_id,), "forced_bos_token_id", vocab_size))
    if g.forced_eos_token_id:
        last = _checked(g.forced_eos_token_id, "forced_eos_token_id", vocab_size)
        yield partial(force, length=longest - 1, ids=last)
    if g.remove_invalid_values:
        yield replace_invalid
    if g.exponential_decay_length_penalty and ends:
        start, factor = g.exponential_decay_length_penalty
        yield partial(hasten_end, start=prompt + start, factor=factor, ends=ends)


def checked_scores(scores: np.ndarray) -> np.ndarray:
    """The scores of a model that is whole.

    Raises:
        UserError: some are not finite.
    """
    if not np.isfinite(scores).all():
        raise UserError("the model's scores are not finite: its training went wrong, or its file is damaged")
    return scores


def process(scores: np.ndarray, texts: np.ndarray, steps: Sequence[Process]) -> np.ndarray:
    """Apply one after the other."""
    for step in steps:
        scores = step(scores, texts)
    return scores


def _known(biases: Sequence[Bias], name: str, vocab_size: int) -> Sequence[Bias]:
    for ids, _ in biases:
        _checked(ids, name, vocab_size)
    return biases


def _checked(ids: Sequence[int], name: str, vocab_size: int) -> Sequence[int]:
    for i in ids:
        if i >= vocab_size:
            raise UserError(f"{name} has the id {i}, but the model has only {vocab_size} tokens")
    return ids


def _below(ids: Sequence[int], vocab_size: int) -> list[int]:
    return [i for i in ids if i < vocab_size]
