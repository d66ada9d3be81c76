"""Beam search: the several most probable continuations carried along side by side, for any model with `step`.

A beam is a text so far and the sum of its tokens' log-probabilities. Each step extends all beams of a row by every
token and keeps the best; a beam that says end-of-text becomes a hypothesis, whose score is that sum divided by a length
penalty, without which the shorter text would always win. When to stop, and what counts as finished, follows
`generate()` of transformers, so the same model gives the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import backend_of
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.generate.processors import Process, checked_scores, process

_WORST = -1e9  # below every score, and still a number
PENALTIES: dict[str, Callable[[float, float], float]] = {
    "length": lambda n, alpha: n**alpha,
    "gnmt": lambda n, alpha: ((5.0 + n) / 6.0) ** alpha,
}


@dataclass(frozen=True)
class Search:
    """The settings of a search; lengths count the decoder's first token (its prompt), as in transformers.

    Attributes:
        beams: how many texts are carried along for each row; 1 is greedy search, which ends at its first end-of-text.
        length_penalty: α; 0 is none, larger values favour longer texts.
        penalty: "length", nᵅ (fairseq, transformers), or "gnmt", ((5 + n)/6)ᵅ (Wu et al. 2016; the 2017 Transformer,
            with α = 0.6), with n the number of generated tokens.
        max_length: no text is longer.
        early_stopping: True ends a row's search as soon as it has `beams` hypotheses; False when its best beam, at
            its present length, scores no better than its worst hypothesis; "never" only when it could not at
            `max_length` either (for α > 0).
    """

    beams: int = 4
    length_penalty: float = 1.0
    penalty: str = "length"
    max_length: int = 20
    early_stopping: bool | str = False

    def __post_init__(self) -> None:
        if self.beams < 1:
            raise UserError(f"a search needs at least 1 beam, not {self.beams}")
        if self.penalty not in PENALTIES:
            raise UserError(f"the length penalty is {self.penalty!r}; choose one of {', '.join(PENALTIES)}")
        if self.early_stopping not in (True, False, "never"):
            raise UserError(f'early_stopping is {self.early_stopping!r}; it must be True, False or "never"')

    def penalize(self, score: np.ndarray, length: int) -> np.ndarray:
        return score / PENALTIES[self.penalty](length, self.length_penalty)


class Hypothesis(NamedTuple):
    """A finished text: all its ids, from the decoder's start on, and its score (log-probability over penalty)."""

    ids: list[int]
    score: float


def generate(
    model: Any,
    params: Parameters,
    state: Any,
    prompt: Any,
    search: Search,
    *,
    eos: int | Sequence[int],
    vocab_size: int | None = None,
    steps: Sequence[Process] = (),
    count: int = 1,
) -> list[Hypothesis]:
    """Continue every row of `prompt` and return its best text, or its `count` best ones one after the other.

    Args:
        state: what `model.start` returned for the batch.
        prompt: (B, P) the decoder's first tokens; an encoder–decoder has one, its start token.
        eos: the id of end-of-text, or all that end one; () lets every text go on to `max_length`.
        steps: what else happens to the scores (see `minigpt.generate.processors`).
        vocab_size: only ids below it are considered.
    Raises:
        UserError: there is no room for a new token below `max_length`, or the model's scores are not finite.
    """
    prompt = np.asarray(prompt)
    if prompt.ndim != 2 or not prompt.shape[1] < search.max_length:
        raise UserError(f"the decoder's prompt of shape {prompt.shape} leaves no room below {search.max_length} tokens")
    backend = backend_of(params.flat)

    def log_probabilities(ids: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        logits, state = model.step(params, backend.asarray(ids), state)  # (R, V), of the last of the ids
        logits = np.asarray(checked_scores(backend.to_host(logits)[:, :vocab_size]), dtype=np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), state

    ends = np.atleast_1d(eos).astype(int).tolist()
    if search.beams == 1:
        return _greedy(log_probabilities, state, prompt, search, ends, steps)
    return _beam(log_probabilities, state, prompt, search, ends, steps, count)


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """The positions (B, count) of each row's largest scores, the largest first; of equal ones the first comes first."""
    least = np.partition(scores, -count, axis=1)[:, -count]
    chosen = []
    for row, limit in zip(scores, least, strict=True):
        candidates = np.flatnonzero(row >= limit)
        chosen.append(candidates[np.argsort(-row[candidates], kind="stable")[:count]])
    return np.stack(chosen)


def _greedy(
    step: Callable, state: Any, prompt: np.ndarray, search: Search, eos: Sequence[int], steps: Sequence[Process]
) -> list[Hypothesis]:
    """Always the most probable token; each row ends at its first end-of-text, or at the maximal length."""
    texts, scores = prompt, np.zeros(len(prompt))
    ends = np.full(len(prompt), search.max_length)
    ids = prompt
    while texts.shape[1] < search.max_length and (ends > texts.shape[1]).any():
        log_probs, state = step(ids, state)
        log_probs = process(log_probs, texts, steps)
        ids = log_probs.argmax(axis=1)[:, None]
        running = ends > texts.shape[1]
        scores[running] += np.take_along_axis(log_probs, ids, axis=1)[running, 0]
        texts = np.concatenate([texts, ids], axis=1)
        ends[running & np.isin(ids[:, 0], eos)] = texts.shape[1]
    found = []
    for text, score, end in zip(texts.tolist(), scores, ends, strict=True):
        found.append(Hypothesis(text[:end], float(search.penalize(score, end - prompt.shape[1]))))
    return found


class _Pool(NamedTuple):
    """The K best finished texts of each row so far."""

    texts: np.ndarray  # (B, K, max_length)
    lengths: np.ndarray  # (B, K)
    scores: np.ndarray  # (B, K), the largest first
    finished: np.ndarray  # (B, K) False where there is none yet

    def joined(self, other: _Pool) -> _Pool:
        """The K best of both."""
        both = [np.concatenate([a, b], axis=1) for a, b in zip(self, other, strict=True)]
        keep = best(both[2], self.scores.shape[1])
        return _Pool(*(_take(x, keep) for x in both))

    def best_of_each(self, count: int) -> list[Hypothesis]:
        """The `count` best texts of each row."""
        texts = self.texts[:, :count].reshape(-1, self.texts.shape[2])
        firsts = zip(texts, self.lengths[:, :count].ravel(), self.scores[:, :count].ravel(), strict=True)
        return [Hypothesis(text[:n].tolist(), float(score)) for text, n, score in firsts]


def _take(x: np.ndarray, beams: np.ndarray) -> np.ndarray:
    """x[b, beams[b, i]] for every row b: (B, N, …) and (B, K) to (B, K, …)."""
    return x[np.arange(len(x))[:, None], beams]


def _beam(
    step: Callable,
    state: Any,
    prompt: np.ndarray,
    search: Search,
    eos: Sequence[int],
    steps: Sequence[Process],
    count: int,
) -> list[Hypothesis]:
    (rows, start), k = prompt.shape, search.beams
    texts = np.zeros((rows, k, search.max_length), dtype=np.int64)
    texts[:, :, :start] = prompt[:, None]
    scores = np.full((rows, k), _WORST)
    scores[:, 0] = 0.0  # all beams begin alike: only the first may be extended, or they would stay alike
    empty = np.zeros((rows, k), dtype=bool)
    pool = _Pool(texts.copy(), np.full((rows, k), start), np.full((rows, k), _WORST), empty)
    open_rows = np.ones(rows, dtype=bool)  # whose hypotheses may still change
    state = state.reorder(np.repeat(np.arange(rows), k))
    ids = np.repeat(prompt, k, axis=0)
    for length in range(start, search.max_length):  # of the texts so far
        log_probs, state = step(ids, state)  # (B·K, V)
        log_probs = process(log_probs, texts[:, :, :length].reshape(rows * k, length), steps)
        extended, totals, origins = _candidates(log_probs, texts, scores, length, max(2, 1 + len(eos)) * k)
        ends = np.isin(extended[:, :, length], eos) | (length + 1 == search.max_length)
        new = _hypotheses(extended, totals, ends, open_rows, length + 1, start, search)
        if search.early_stopping is True:  # a row that has all its hypotheses takes no more
            new.scores[pool.finished.all(axis=1)] += _WORST
        pool = pool.joined(new)
        running = best(totals + ends * _WORST, k)
        scores, texts = _take(totals + ends * _WORST, running), _take(extended, running)
        open_rows &= _may_improve(scores[:, 0], pool, length + 1, start, search)
        full = search.early_stopping is True and pool.finished.all()
        if full or ends.all() or not open_rows.any():
            break
        ids = texts[:, :, length].reshape(rows * k, 1)
        beams = _take(origins, running) + np.arange(rows)[:, None] * k
        state = state.reorder(beams.reshape(-1))
    return pool.best_of_each(count)


def _candidates(
    log_probs: np.ndarray, texts: np.ndarray, scores: np.ndarray, length: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best one-token extensions of each row's K texts: the texts, their scores, the beam that each comes from.

    `most` is K for every id of end-of-text and K more, because as many may end: so K remain to go on with.
    """
    (rows, k), vocab = scores.shape, log_probs.shape[1]
    totals = log_probs.reshape(rows, k * vocab) + np.repeat(scores, vocab, axis=1)
    chosen = best(totals, min(most, totals.shape[1]))
    extended = _take(texts, chosen // vocab)
    extended[:, :, length] = chosen % vocab
    return extended, _take(totals, chosen), chosen // vocab


def _hypotheses(
    texts: np.ndarray,
    totals: np.ndarray,
    ends: np.ndarray,
    open_rows: np.ndarray,
    length: int,
    start: int,
    search: Search,
) -> _Pool:
    """The candidates as hypotheses: those that end, and are among the K best, with their scores; the others worse
    than any.
    """
    finished = ends & (np.arange(ends.shape[1]) < search.beams)
    scores = search.penalize(totals, length - start) + (~finished + ~open_rows[:, None]) * _WORST
    return _Pool(texts, np.full(totals.shape, length), scores, finished)


def _may_improve(leading: np.ndarray, pool: _Pool, length: int, start: int, search: Search) -> np.ndarray:
    """Whether each row's best beam could still become better than its worst hypothesis."""
    if search.early_stopping == "never" and search.length_penalty > 0:
        length = search.max_length
    possible = search.penalize(leading, length - start)[:, None]
    worst = np.where(pool.finished, pool.scores.min(axis=1, keepdims=True), _WORST)
    return (possible > worst).any(axis=1)
