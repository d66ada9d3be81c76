"""The most probable last words of passages (LAMBADA), with and without the words that no passage ends with.

A word may be several tokens, and it is over only when something else begins: what is compared is the probability of
the whole word, p(its tokens) · p(something that ends it), found by a beam search over tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigpt.core.backend import backend_of
from minigpt.evaluate.scoring import OnRow, by_length, first_ids, log_softmax, nobody
from minigpt.evaluate.writing import ends_of_text, start_rows
from minigpt.interop.loaded import Loaded

# Our own list of English function words. GPT-2's authors filtered predictions with such a list, which they do not
# print: a passage of LAMBADA ends with a word that says something.
_FUNCTION_WORDS = """
a an the this that these those some any no every each either neither both all another such other own same
i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we us our ours
ourselves they them their theirs themselves who whom whose which what one someone something anyone anything
everyone everything nobody nothing
about above across after against along among around as at before behind below beneath beside between beyond by
despite down during except for from in inside into like near of off on onto out outside over past since than
through to toward towards under until up upon with within without
and but or nor so yet because although though if unless while when where why how whether then
am is are was were be been being do does did doing done have has had having can could may might must shall should
will would
not n't very too just only also even again there here now more most much many few less least still ever never once
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
_WORD = re.compile(r"\s(\w[\w'’-]*)")
_BEAMS, _NEXT = 8, 16  # hypotheses that are kept; how many tokens each may go on with
WORD_TOKENS = 20  # of a word, at most
_ROWS = 32  # passages of a batch


class Hypothesis(NamedTuple):
    """The beginning of a word: the row of the state that has read it, its ids, and log p."""

    row: int
    ids: tuple[int, ...]
    log_p: float


def last_words(loaded: Loaded, contexts: Sequence[str], *, on_row: OnRow = nobody) -> list[dict[str, float]]:
    """For each context the words that may follow it, with log p, the most probable first.

    A context that is too long is cut on the left.
    """
    room, begin = max(loaded.model.config.context - WORD_TOKENS, 1), first_ids(loaded)
    rows = [[*begin, *loaded.text.encode(context.rstrip())][-room:] for context in contexts]
    return by_length(rows, lambda numbers: _search(loaded, [rows[i] for i in numbers]), most=_ROWS, on_row=on_row)


def best_word(words: dict[str, float], without: frozenset[str] = frozenset()) -> str:
    """The most probable word that is not among those to leave out; "" if there is none."""
    return next((word for word in words if word.lower() not in without), "")


def _search(loaded: Loaded, rows: Sequence[Sequence[int]]) -> list[dict[str, float]]:
    """The words after each row. Hypotheses of all rows are read together.

    A row's search is over when no hypothesis is more probable than the best word found that is no stop word: going on
    only takes from its probability.
    """
    backend = backend_of(loaded.params.flat)
    state, ids = start_rows(loaded, rows, WORD_TOKENS)
    live = [[Hypothesis(place, (), 0.0)] for place in range(len(rows))]
    found: list[dict[str, float]] = [{} for _ in rows]
    for _ in range(min(WORD_TOKENS, loaded.model.config.context - ids.shape[1] + 1)):
        scores, state = loaded.model.step(loaded.params, backend.asarray(ids), state)
        log_p = log_softmax(np.asarray(backend.to_host(scores), dtype=np.float64))[:, : loaded.text.vocab_size]
        top = np.argsort(-log_p, axis=1, kind="stable")[:, :_NEXT]
        for place, row in enumerate(rows):
            grown = [
                Hypothesis(h.row, (*h.ids, int(token)), h.log_p + float(log_p[h.row, token]))
                for h in live[place]
                for token in top[h.row]
            ]
            live[place] = _still_open(loaded, row[-1:], grown, found[place])
        parents = [h.row for hypotheses in live for h in hypotheses]
        if not parents:
            break
        state, ids = state.reorder(np.array(parents)), np.array([[h.ids[-1]] for open_ in live for h in open_])
        numbers = iter(range(len(parents)))
        live = [[h._replace(row=next(numbers)) for h in hypotheses] for hypotheses in live]
    return [dict(sorted(words.items(), key=lambda item: -item[1])) for words in found]


def _still_open(
    loaded: Loaded, before: Sequence[int], grown: Sequence[Hypothesis], found: dict[str, float]
) -> list[Hypothesis]:
    """Sort grown hypotheses into words that are over, which are added to `found`, and the most probable open ones."""
    ends, tail = ends_of_text(loaded), loaded.text.decode(before)
    still = []
    for h in grown:
        over = h.ids[-1] in ends
        text = loaded.text.decode([*before, *(h.ids[:-1] if over else h.ids)])[len(tail) :]
        match = _WORD.match(text)
        if match is None:
            if len(text) == 1 and text.isspace() and not over:
                still.append(h)
        elif over or match.end() < len(text):
            word = match[1]
            found[word] = np.logaddexp(found[word], h.log_p) if word in found else h.log_p
        else:
            still.append(h)
    best = max((log_p for word, log_p in found.items() if word.lower() not in STOP_WORDS), default=-math.inf)
    still.sort(key=lambda h: -h.log_p)
    return [h for h in still[:_BEAMS] if h.log_p > best]
