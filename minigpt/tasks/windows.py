"""Questions about a context (SQuAD) as rows of tokens: windows of the context, the answer's place in them, and back.

As in BERT's code. A row is [CLS] question [SEP] context [SEP] (BART: <s>, </s>); a context that is too long is cut into
windows that overlap. Where a window does not hold the answer, the answer is the row's first token. A token that stands
in several windows is judged in the one that shows most of what is around it: the larger of min(left, right) + 0.01 n.
An answer's score is the sum of its first and its last token's; the first is not behind the last, and together they are
at most so many tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigpt.core.settings import require
from minigpt.ops import IGNORE
from minigpt.tasks.examples import Span
from minigpt.tasks.inputs import Inputs, Told

Offsets = list[tuple[int, int]]


class Window(NamedTuple):
    """A row, and how its tokens stand in the context.

    Attributes:
        told: the row's ids and token types.
        first: the place in the row of the window's first token of context.
        offsets: (start, end) in the context's characters for each token of the window.
        best: (n,) whether this window shows most of what is around the token.
        answer: places in the row of the answer's first and last token; (0, 0) if it is not here, `IGNORE` if unknown.
    """

    told: Told
    first: int
    offsets: Offsets
    best: np.ndarray
    answer: tuple[int, int]


class Found(NamedTuple):
    """The best answer in a context, and by how much its score is above that of "no answer"."""

    text: str
    margin: float


def answer_tokens(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """The first and the last token that share a character with the characters start … end − 1.

    Raises:
        UserError: no token does.
    """
    inside = [number for number, (a, b) in enumerate(offsets) if a < end and b > start]
    require(bool(inside), f"no token stands at the characters {start} to {end} of the context")
    return inside[0], inside[-1]


def windows(example: Span, inputs: Inputs, *, question: int, stride: int) -> list[Window]:
    """Every window of an example's context.

    Args:
        question: how many tokens of the question are kept at most.
        stride: by how many tokens a window begins after the one before it; 0 takes a third of a window.
    Raises:
        UserError: the context has room for no token of the text, or there is no text.
    """
    asked = inputs.tokenizer.encode(example.question)[:question]
    ids, offsets = inputs.tokenizer.encode_with_offsets(inputs.prefix + example.context)
    shift = len(inputs.prefix)
    offsets = [(max(a - shift, 0), b - shift) for a, b in offsets]
    room = inputs.room(2) - len(asked)
    require(bool(ids), f"the context of the question {example.question[:40]!r} is empty")
    require(room >= 1, f"the question {example.question[:40]!r} leaves no room for its context of {len(ids)} tokens")
    stride = min(stride or max(room // 3, 1), room)
    starts = [0]
    while starts[-1] + room < len(ids):
        starts.append(starts[-1] + stride)
    lengths = [min(room, len(ids) - start) for start in starts]
    best = _best_windows(len(ids), starts, lengths)
    answer = _answer(example, offsets)
    made = []
    for number, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        told = inputs.joined([asked, ids[start : start + length]], cut=len(starts) > 1)
        first = len(told.ids) - 1 - length
        here = best[start : start + length] == number
        places = _placed(answer, start, length, first)
        made.append(Window(told, first, offsets[start : start + length], here, places))
    return made


def _answer(example: Span, offsets: Offsets) -> tuple[int, int] | None:
    """The tokens of the first reference; (−1, −1) if there is no answer, None if it is not known."""
    if example.answers:
        text, start = example.answers[0]
        return answer_tokens(offsets, start, start + len(text))
    return (-1, -1) if example.impossible else None


def _placed(answer: tuple[int, int] | None, start: int, length: int, first: int) -> tuple[int, int]:
    """Where the answer's tokens stand in a row whose window begins at token `start` of the context."""
    if answer is None:
        return IGNORE, IGNORE
    inside = start <= answer[0] and answer[1] < start + length
    return (answer[0] - start + first, answer[1] - start + first) if inside else (0, 0)


def _best_windows(tokens: int, starts: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
    """For every token of the context, the number of the window that shows most of what is around it."""
    scores = np.full((len(starts), tokens), -np.inf)
    for row, start, length in zip(scores, starts, lengths, strict=True):
        at = np.arange(length)
        row[start : start + length] = np.minimum(at, length - 1 - at) + 0.01 * length
    return scores.argmax(axis=0)


def best_answer(
    context: str, shown: Sequence[Window], scores: Sequence[np.ndarray], *, longest: int, n_best: int
) -> Found:
    """The best span over all windows of one example.

    Args:
        scores: (2, T) of each window's tokens as the first and as the last of the answer.
        longest: how many tokens an answer has at most; n_best: how many first and last tokens are tried in a window.
    """
    best, best_text = -np.inf, ""
    none = min(float(s[0, 0] + s[1, 0]) for s in scores)
    for window, s in zip(shown, scores, strict=True):
        n = len(window.offsets)
        starts = np.where(window.best, s[0, window.first : window.first + n], -np.inf)
        ends = s[1, window.first : window.first + n]
        first, last = (np.argsort(-x, kind="stable")[:n_best] for x in (starts, ends))
        sums = starts[first][:, None] + ends[last]
        length = last - first[:, None] + 1
        sums = np.where((length >= 1) & (length <= longest), sums, -np.inf)
        if (score := float(sums.max())) > best:
            i, j = np.unravel_index(int(sums.argmax()), sums.shape)
            best = score
            best_text = context[window.offsets[first[i]][0] : window.offsets[last[j]][1]].strip()
    return Found(best_text, best - none)
