"""BART's noise (Lewis et al. 2019): five ways to damage a text that the model then learns to restore.

Every function maps the tokens of one row, `<s> … </s>`, to new tokens, drawing from the generator that it is given; it
changes nothing in place, and the first and the last token always stay where they are. The algorithms are those of
fairseq's denoising data set, with which BART was trained. The clean row is the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minigpt.core.settings import require
from minigpt.tokenizers import Tokenizer

_SMALLEST = 1e-7  # the table of span lengths ends with the first probability below it


class NoiseVocabulary(NamedTuple):
    """What noise has to know of a tokenizer.

    Attributes:
        mask: the id of `<mask>`.
        full_stop: the id of ".", which ends a sentence; −1 if the tokenizer has no such token.
        word_starts: (V,) True for tokens that begin a word.
        ordinary: the ids that may stand in for a masked token.
    """

    mask: int
    full_stop: int
    word_starts: np.ndarray
    ordinary: np.ndarray


@dataclass(frozen=True)
class Noise:
    """How much of which noise, in the order in which they are applied; BART's final recipe is the default.

    Attributes:
        permute: the fraction of the sentences that change places.
        infill: the fraction of the words that text infilling covers with spans, each of which becomes one mask.
        span: the mean λ of the Poisson distribution of span lengths, in words. (The paper says 3, the authors'
            published command 3.5.)
        mask, delete: the fraction of the tokens that are masked, deleted.
        rotate: the fraction of the rows that begin at another token.
        random: the fraction of masks that are an arbitrary token instead of `<mask>`.
    """

    permute: float = 1.0
    infill: float = 0.3
    span: float = 3.0
    mask: float = 0.0
    delete: float = 0.0
    rotate: float = 0.0
    random: float = 0.0

    def __post_init__(self) -> None:
        for name in ("permute", "infill", "mask", "delete", "rotate", "random"):
            value = getattr(self, name)
            require(0.0 <= value <= 1.0, f"objective.{name} is {value}; it must be between 0 and 1")
        require(0.0 < self.span <= 20.0, f"objective.span is {self.span}; it must be above 0 and at most 20")


def noise_vocabulary(tokenizer: Tokenizer) -> NoiseVocabulary:
    """Look up what noise has to know.

    A word begins with a token that starts with a space (byte-level BPE, characters, SentencePiece's "▁"), or with one
    that is not marked as the inside of a word (WordPiece's "##"). GPT's tokens do not say whether they begin a word:
    there, every token counts as one. Special tokens always do.

    Raises:
        UserError: the tokenizer has no `<mask>`.
    """
    special = tokenizer.special_tokens
    mask = next((special[name] for name in ("<mask>", "[MASK]") if name in special), None)
    require(mask is not None, "BART's noise needs a tokenizer with the special token <mask>")
    full_stop = tokenizer.encode(".")
    starts = np.array([_begins_word(tokenizer, i) for i in range(tokenizer.vocab_size)])
    starts[list(special.values())] = True
    ordinary = np.setdiff1d(np.arange(tokenizer.vocab_size), list(special.values()))
    return NoiseVocabulary(mask, full_stop[0] if len(full_stop) == 1 else -1, starts, ordinary)


def _begins_word(tokenizer: Tokenizer, i: int) -> bool:
    if tokenizer.kind in ("wordpiece", "gpt"):
        return not tokenizer.token(i).startswith("##")
    return tokenizer.token(i).startswith("▁") or tokenizer.decode([i]).startswith(" ")


def add_noise(tokens: np.ndarray, noise: Noise, vocabulary: NoiseVocabulary, rng: np.random.Generator) -> np.ndarray:
    """Damage one row: permute sentences, infill, mask, delete, rotate, each as far as `noise` says."""
    v = vocabulary
    if noise.permute:
        tokens = permute_sentences(tokens, noise.permute, v.full_stop, rng)
    if noise.infill:
        tokens = infill_text(tokens, noise.infill, v, rng, span=noise.span, random=noise.random)
    if noise.mask:
        tokens = mask_tokens(tokens, noise.mask, v, rng, random=noise.random)
    if noise.delete:
        tokens = delete_tokens(tokens, noise.delete, rng)
    if noise.rotate and rng.random() < noise.rotate:
        tokens = rotate_document(tokens, rng)
    return tokens


def mask_tokens(
    tokens: np.ndarray, ratio: float, vocabulary: NoiseVocabulary, rng: np.random.Generator, *, random: float = 0.0
) -> np.ndarray:
    """Token masking: ⌈ratio · n⌉ of the n inner tokens become `<mask>`, or any token with probability `random`."""
    chosen = _choose(np.arange(1, len(tokens) - 1), ratio, rng)
    result = tokens.copy()
    result[chosen] = _masks(len(chosen), random, vocabulary, rng)
    return result


def delete_tokens(tokens: np.ndarray, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Token deletion: ⌈ratio · n⌉ of the n inner tokens disappear; the model has to find out where."""
    return np.delete(tokens, _choose(np.arange(1, len(tokens) - 1), ratio, rng))


def infill_text(
    tokens: np.ndarray,
    ratio: float,
    vocabulary: NoiseVocabulary,
    rng: np.random.Generator,
    *,
    span: float = 3.0,
    random: float = 0.0,
) -> np.ndarray:
    """Text infilling: spans of words, of lengths ~ Poisson(span), each become one mask; an empty span inserts one.

    The lengths add up to n = ⌈ratio · words⌉: they are drawn until they reach it, and the last is cut. Spans start at
    different words and end with the row at the latest; where one runs into another, both together are one mask.
    """
    starts = vocabulary.word_starts[tokens]
    starts[[0, -1]] = False
    starts = np.flatnonzero(starts)
    budget = math.ceil(len(starts) * ratio)
    if budget == 0:
        return tokens.copy()
    lengths = span_lengths(budget, span, rng)
    inserted = int((lengths == 0).sum())
    lengths = lengths[lengths > 0]
    first = rng.permutation(len(starts))[: len(lengths)]  # which word each span starts at
    ends = np.append(starts, len(tokens) - 1)[np.minimum(first + lengths, len(starts))]
    result = tokens.copy()
    result[starts[first]] = _masks(len(first), random, vocabulary, rng)
    # how many spans have begun before each token, less how many have ended by then: 0 at what is inside of none
    begun, ended = (np.bincount(x, minlength=len(tokens)) for x in (starts[first] + 1, ends))
    result = result[np.cumsum(begun - ended) == 0]
    return _insert_masks(result, inserted, random, vocabulary, rng)


def span_lengths(budget: int, mean: float, rng: np.random.Generator) -> np.ndarray:
    """Draw span lengths until their sum reaches `budget`; the last one is cut so that the sum is exact."""
    cumulative = np.cumsum(poisson_table(mean))
    lengths = np.empty(0, dtype=np.int64)
    while lengths.sum() < budget:
        draws = rng.random(budget) * cumulative[-1]
        lengths = np.append(lengths, np.searchsorted(cumulative, draws, side="right"))
    sums = np.cumsum(lengths)
    last = int(np.searchsorted(sums, budget))  # the first span with which the budget is reached
    lengths[last] -= sums[last] - budget
    return lengths[: last + 1]


@lru_cache(maxsize=8)
def poisson_table(mean: float) -> tuple[float, ...]:
    """P(k) = e^−λ λᵏ/k! for k = 0, 1, … up to the first that is below 1e-7 (18 of them for λ = 3)."""
    table = [math.exp(-mean)]
    while table[-1] >= _SMALLEST or len(table) <= mean:
        table.append(table[-1] * mean / len(table))
    return tuple(table)


def permute_sentences(tokens: np.ndarray, ratio: float, full_stop: int, rng: np.random.Generator) -> np.ndarray:
    """Sentence permutation: ⌈ratio · n⌉ of the row's n sentences change places at random.

    A sentence ends with a full stop whose predecessor is none; the row's last token before `</s>` counts as one.
    """
    stops = tokens == full_stop
    stops[-2] = True
    ends = np.flatnonzero(stops[1:] & ~stops[:-1]) + 2  # where each sentence ends, the end excluded
    order = np.arange(len(ends))
    moved = rng.permutation(len(ends))[: math.ceil(len(ends) * ratio)]
    order[moved] = rng.permutation(moved)
    begins = np.concatenate([[1], ends[:-1]]).astype(int)
    inner = [tokens[begins[i] : ends[i]] for i in order]
    return np.concatenate([tokens[:1], *inner, tokens[ends[-1] if len(ends) else 1 :]])


def rotate_document(tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Document rotation: the row begins at a token drawn uniformly, and what stood before it follows at the end."""
    offset = int(rng.integers(1, max(1, len(tokens) - 1) + 1))
    return np.concatenate([tokens[:1], tokens[offset:-1], tokens[1:offset], tokens[-1:]])


def _choose(candidates: np.ndarray, ratio: float, rng: np.random.Generator) -> np.ndarray:
    return candidates[rng.permutation(len(candidates))[: math.ceil(len(candidates) * ratio)]]


def _masks(count: int, random: float, vocabulary: NoiseVocabulary, rng: np.random.Generator) -> np.ndarray:
    """`count` masks, of which each is an arbitrary ordinary token with probability `random`.

    (fairseq draws any id but 0 there, special tokens included.)
    """
    masks = np.full(count, vocabulary.mask)
    if random:
        replaced = rng.random(count) < random
        masks[replaced] = rng.choice(vocabulary.ordinary, int(replaced.sum()))
    return masks


def _insert_masks(
    tokens: np.ndarray, count: int, random: float, vocabulary: NoiseVocabulary, rng: np.random.Generator
) -> np.ndarray:
    """Put `count` masks between the tokens, ⌈random · count⌉ of them arbitrary tokens instead."""
    length = len(tokens) + count
    places = rng.permutation(length - 2)[:count] + 1
    inserted = np.zeros(length, dtype=bool)
    inserted[places] = True
    result = np.empty(length, dtype=tokens.dtype)
    result[places] = vocabulary.mask
    arbitrary = math.ceil(count * random)
    result[places[:arbitrary]] = rng.choice(vocabulary.ordinary, arbitrary)
    result[~inserted] = tokens
    return result


def denoising_rows(
    rows: Sequence[np.ndarray], noise: Noise, vocabulary: NoiseVocabulary, *, key: Sequence[int], limit: int
) -> list[np.ndarray]:
    """Damage every row with a generator of its own, named by `key` and the row's number.

    Inserted masks may make a row longer than it was; what goes beyond `limit` tokens is cut off before the `</s>`.
    """
    noisy = []
    for number, row in enumerate(rows):
        result = add_noise(row, noise, vocabulary, np.random.default_rng([*key, number]))
        noisy.append(result if len(result) <= limit else np.append(result[: limit - 1], result[-1]))
    return noisy
