"""How probable a causal model finds one text after another: log-probabilities of completions, given contexts.

This is all that tasks without gradient steps ask of a model, besides writing: which ending of a story is the more
probable, whether "positive" or "negative" comes next, where a sentence reads badly.

    log p(completion | context) = Σ_t log p(token_t | context, token_1 … token_{t−1})

Rows are padded on the right. A causal model never looks there, so the padding needs no mask, and a row's score is the
one it has alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from minigpt.blocks.dispatch import operations
from minigpt.blocks.run import Run
from minigpt.core.backend import backend_of
from minigpt.core.errors import UserError
from minigpt.data.batch import pad_rows
from minigpt.data.documents import END_OF_TEXT
from minigpt.evaluate.rules import RULES
from minigpt.fast import team
from minigpt.interop.loaded import Loaded
from minigpt.train.families import FAMILIES, continuing

T = TypeVar("T")
OnRow = Callable[[int], object]  # called with the number of rows that were done, for a progress bar
_ROWS = 64  # of a batch, at most
_SCORES = 1 << 25  # of a batch: scored positions times vocabulary


def nobody(rows: int) -> None:
    """Nobody watches how rows are done."""


class Scored(NamedTuple):
    """What a model makes of one completion.

    Attributes:
        log_probabilities: (n,) log p in nats of each of its tokens, in float64.
        characters: how long it is, without white space around it.
        greedy: whether each of its tokens is the most probable one there, so that the model would write just this.
    """

    log_probabilities: np.ndarray
    characters: int
    greedy: bool

    @property
    def total(self) -> float:
        """Σ log p."""
        return float(self.log_probabilities.sum())

    @property
    def tokens(self) -> int:
        return len(self.log_probabilities)


class Row(NamedTuple):
    """The ids of a text, and from which one on they are scored."""

    ids: tuple[int, ...]
    start: int


def check_causal(loaded: Loaded) -> None:
    """Raise UserError for a model that does not predict each token from those before it."""
    if not FAMILIES[loaded.model.family].continues:
        raise UserError(
            f"a model of the family {loaded.model.family} does not continue texts, so it cannot be prompted; "
            f"take a run of one of the families {', '.join(continuing())}"
        )


def first_ids(loaded: Loaded) -> tuple[int, ...]:
    """What stands before a text: the token that documents begin after where the model knows one, else nothing.

    A run that was trained on documents has seen each of them after an end-of-text token; a model of another
    implementation names the token itself.

    Raises:
        UserError: the model does not continue texts.
    """
    check_causal(loaded)
    special = loaded.text.special_tokens
    if getattr(loaded.config.objective, "end_of_text", False) and END_OF_TEXT in special:
        return (special[END_OF_TEXT],)
    begin = loaded.ids.get("bos_token_id")
    return () if begin is None else (begin,)


def text_row(loaded: Loaded, context: str, completion: str) -> Row:
    """Encode a context and what follows it.

    Spaces at the end of the context go over to the completion, because a word's token begins with the space before
    it. The two are encoded together; where that moves the boundary between them, the tokens after the first
    len(encode(context)) are scored.

    Raises:
        UserError: the completion is empty, or has a character that the tokenizer does not know.
    """
    if not completion.strip():
        raise UserError(f"there is nothing to score after {context[-40:]!r}: the completion is empty")
    stem, begin = context.rstrip(" "), first_ids(loaded)
    before = loaded.text.encode(stem) if stem else []
    ids = loaded.text.encode(context + completion)
    return Row((*begin, *ids), len(begin) + min(len(before), len(ids) - 1))


def score(loaded: Loaded, pairs: Sequence[tuple[str, str]], *, on_row: OnRow = nobody) -> list[Scored]:
    """Score each (context, completion), in batches. A context that is too long for the model is cut on the left.

    With an empty context and a model that knows no token to begin with, the first token has no probability, and the
    completion is scored from its second token on.

    Raises:
        UserError: a completion is empty or alone longer than the model's context, or the model is not causal.
    """
    rows = [text_row(loaded, context, completion) for context, completion in pairs]
    found = score_rows(loaded, rows, on_row=on_row)
    return [
        Scored(log_p, len(completion.strip()), greedy)
        for (log_p, greedy), (_, completion) in zip(found, pairs, strict=True)
    ]


def score_rows(loaded: Loaded, rows: Sequence[Row], *, on_row: OnRow = nobody) -> list[tuple[np.ndarray, bool]]:
    """For each row the log-probabilities of its scored ids, and whether each is the most probable one."""
    context = loaded.model.config.context
    fitted = [_fit(row, context) for row in rows]

    def scored(numbers: Sequence[int]) -> list[tuple[np.ndarray, bool]]:
        with team.of_all_cores():
            return _score_batch(loaded, [fitted[i] for i in numbers])

    costs = [(len(row.ids) - row.start) * loaded.model.config.vocab_size for row in fitted]
    return by_length([row.ids for row in fitted], scored, most=_ROWS, costs=costs, on_row=on_row)


def by_length(
    rows: Sequence[Sequence[int]],
    work: Callable[[Sequence[int]], Sequence[T]],
    *,
    most: int,
    costs: Sequence[int] | None = None,
    on_row: OnRow,
) -> list[T]:
    """What `work` makes of each row, in the order of the rows; rows of like length share a batch.

    Args:
        work: takes the numbers of the rows of a batch.
        most: so many rows are in a batch at most, and their `costs`, if given, sum to `_SCORES` at most.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        full = not batches or len(batches[-1]) == most
        if full or (costs and sum(costs[j] for j in batches[-1]) + costs[i] > _SCORES):
            batches.append([])
        batches[-1].append(i)
    found: dict[int, T] = {}
    for batch in batches:
        found |= zip(batch, work(batch), strict=True)
        on_row(len(batch))
    return [found[i] for i in range(len(rows))]


def _fit(row: Row, context: int) -> Row:
    """Cut a row on the left so that its last id is predicted from at most `context` others."""
    cut = max(len(row.ids) - context - 1, 0)
    start = row.start - cut
    if start < 1 and cut:
        count = len(row.ids) - row.start
        raise UserError(f"a completion has {count} tokens, but the model's context is {context}; shorten it")
    if len(row.ids) < 2:
        raise UserError("a text of one token has no log-probability: nothing stands before it")
    return Row(row.ids[cut:], max(start, 1))


def _score_batch(loaded: Loaded, rows: Sequence[Row]) -> list[tuple[np.ndarray, bool]]:
    """Rows that differ in nothing but their last token (the words that a label may be) go through the model once."""
    backend = backend_of(loaded.params.flat)
    places: dict[tuple[int, ...], int] = {}
    at = [places.setdefault(row.ids[:-1], len(places)) for row in rows]
    inputs = pad_rows([np.asarray(ids) for ids in places], 0)  # (B, T); 0 stands on the right, where nobody looks
    counts = [len(row.ids) - row.start for row in rows]
    row_index = np.repeat(at, counts)  # (N,)
    # The token at place t is predicted at place t − 1
    column_index = np.concatenate([np.arange(row.start - 1, len(row.ids) - 1) for row in rows])  # (N,)
    run = Run(ops=operations("auto", backend))
    at_places = (backend.asarray(row_index), backend.asarray(column_index))
    scores = loaded.model.logits(loaded.params, backend.asarray(inputs), run, at=at_places)  # (N, V)
    found, first = [], 0
    for row, count in zip(rows, counts, strict=True):
        mine = np.asarray(backend.to_host(scores[first : first + count]), dtype=np.float64)  # (n, V)
        targets = np.asarray(row.ids[row.start :])
        log_p = log_softmax(mine)[np.arange(count), targets]
        if not np.isfinite(log_p).all():
            raise UserError("the model's scores are not finite: its training went wrong, or its file is damaged")
        found.append((log_p, bool((mine.argmax(axis=-1) == targets).all())))
        first += count
    return found


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """log p_i = x_i − log Σ_j exp(x_j) along the last axis; the largest score is taken off first."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def rate(scored: Scored, rule: str, unconditional: float = 0.0) -> float:
    """One number for how well a completion fits, by one of `RULES`.

    "sum" is its log-probability, which favours short completions; "token" and "character" divide by its length in
    either (GPT and GPT-3 by tokens, Llama by characters); "unconditional" takes off how probable it is anywhere,
    log p(completion | "Answer:") (GPT-3), so that frequent words have no advantage.
    """
    length = {"token": scored.tokens, "character": scored.characters}.get(rule, 1)
    return scored.total / length - (unconditional if rule == "unconditional" else 0.0)


def rate_options(
    loaded: Loaded, questions: Sequence[Sequence[tuple[str, str]]], rule: str, *, on_row: OnRow = nobody
) -> list[np.ndarray]:
    """For each question what every option is worth by the rule; the largest is the model's choice.

    An option is a (context, completion) pair. Usually the options share the context. In partial evaluation (Trinh & Le
    2018) they share the completion: "The cup does not fit the case because the case" and "… the cup" go on with the
    same " is too small.", and the more probable continuation says which of the two was meant.

    Raises:
        UserError: there is no such rule; or as `score`.
    """
    if rule not in RULES:
        raise UserError(f"there is no rule {rule!r} to score with: choose from {', '.join(RULES)}")
    pairs = [option for options in questions for option in options]
    scored = score(loaded, pairs, on_row=on_row)
    known: dict[str, float] = {}
    if rule == "unconditional":
        distinct = list(dict.fromkeys(completion for _, completion in pairs))
        alone = score(loaded, [("Answer:", completion) for completion in distinct])
        known = {completion: s.total for completion, s in zip(distinct, alone, strict=True)}
    values = [rate(s, rule, known.get(completion, 0.0)) for s, (_, completion) in zip(scored, pairs, strict=True)]
    edges = np.cumsum([len(options) for options in questions])[:-1]
    return np.split(np.array(values), edges)
