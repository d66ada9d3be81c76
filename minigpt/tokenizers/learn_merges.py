"""Learn byte-pair merges from word counts: incremental pair counts, an inverted index and a heap.

A word is held as a string with one character per symbol, chr(id): finding, cutting and replacing a pair are then single
string operations, and strings of two characters, compared as strings, are in the order (left id, right id).
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from minigpt.core.errors import UserError

MAX_SYMBOLS = 0x110000  # as many as there are characters to stand for them
LONG = 64  # symbols from which a word's pairs are counted before each is noted, once


def check_size(vocab_size: int, tokens: Sequence[str], what: str) -> None:
    """Raise UserError if a vocabulary of this size has no room for the tokens that learning begins with."""
    if vocab_size < len(tokens):
        raise UserError(f"a vocabulary of {vocab_size} tokens is too small for {what} need at least {len(tokens)}")


@dataclass
class Learned:
    """What training gives: the strings of all tokens by id, and the merges (left id, right id) in creation order."""

    tokens: list[str]
    merges: list[tuple[int, int]]

    def strings(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """The ids of the strings, and the merges as pairs of strings: what tokenizers are made from."""
        ids = {s: i for i, s in enumerate(self.tokens)}
        return ids, [(self.tokens[a], self.tokens[b]) for a, b in self.merges]


@contextlib.contextmanager
def no_cyclic_garbage() -> Iterator[None]:
    """Pause the search for reference cycles: learning makes millions of small objects, and no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@no_cyclic_garbage()
def learn_merges(
    words: Mapping[str, int],
    tokens: list[str],
    vocab_size: int,
    *,
    min_frequency: int = 0,
    join: Callable[[str, str], str] = operator.add,
    progress: Callable[[int], object] = lambda n: None,
) -> Learned:
    """Merge the most frequent pair of adjacent symbols until there are `vocab_size` tokens or no pairs.

    Args:
        words: counts of words, each a string with the character chr(id) for the symbol `id`.
        tokens: the strings of the symbols, by id.
        min_frequency: a pair seen less often is not merged.
        join: the string of a merged token, from the strings of its parts.
        progress: called with 1 for each merge.

    The rule is that of Hugging Face's BpeTrainer: the highest count first, then the smallest (left id, right id); the
    new token gets the next id, except that a string which already is a token (a special one, in practice) keeps its id,
    and the merge is recorded all the same. Within a word, pairs are replaced from left to right. A queue entry keeps
    the words in which its pair arose together; a pair that arises again is queued, and can be merged, once more.

    Sources: Sennrich, Haddow and Birch 2016 (byte-pair encoding); the behaviour of Hugging Face tokenizers 0.23.
    """
    if vocab_size > MAX_SYMBOLS:
        raise UserError(f"a vocabulary of {vocab_size} tokens is too large: at most {MAX_SYMBOLS} can be trained")
    tokens = list(tokens)
    ids = {s: i for i, s in enumerate(tokens)}
    merges: list[tuple[int, int]] = []
    text, weight, counts, queue = index_pairs(words)
    while len(tokens) < vocab_size and queue:
        negative, pair, where = heapq.heappop(queue)
        count = counts[pair]
        if count != -negative:  # out of date: the pair has lost occurrences to other merges since it was queued
            if count > 0:
                heapq.heappush(queue, (-count, pair, where))
            continue
        if count < max(min_frequency, 1):
            break
        left, right = ord(pair[0]), ord(pair[1])
        merges.append((left, right))
        string = join(tokens[left], tokens[right])
        new = ids.setdefault(string, len(tokens))
        if new == len(tokens):
            tokens.append(string)
            progress(1)
        for fresh, places in replace_pair(pair, chr(new), where, text, weight, counts).items():
            if counts[fresh] > 0:
                heapq.heappush(queue, (-counts[fresh], fresh, places))
    return Learned(tokens, merges)


def index_pairs(words: Mapping[str, int]):
    """Words and weights as lists, the count of every pair, and the queue: (−count, pair, the words that have it)."""
    text = [w for w in words if len(w) > 1]
    weight = [words[w] for w in text]
    counts: dict[str, int] = defaultdict(int)
    where: dict[str, list[int]] = defaultdict(list)
    for i, w in enumerate(text):
        n, pairs = weight[i], map(operator.add, w, w[1:])
        if len(w) < LONG:
            for pair in pairs:
                counts[pair] += n
                where[pair].append(i)  # twice for a word that has it twice, which costs little
            continue
        for pair, times in Counter(pairs).items():
            counts[pair] += n * times
            where[pair].append(i)
    queue = [(-counts[pair], pair, places) for pair, places in where.items()]
    heapq.heapify(queue)
    return text, weight, counts, queue


def replace_pair(
    pair: str, new: str, where: list[int], text: list[str], weight: list[int], counts: dict[str, int]
) -> dict[str, list[int]]:
    """Replace `pair` by `new` in the words `where`, keep `counts` true, and return the pairs that arose, with places.

    The pair's own count is left alone: its occurrences are gone, and its queue entry with them.
    """
    fresh: dict[str, list[int]] = defaultdict(list)
    before: dict[str, list[int]] = defaultdict(list)  # the words that have the pair once, by the symbol before it
    after: dict[str, list[int]] = defaultdict(list)
    for i in where:
        head, found, tail = text[i].partition(pair)
        if not found:  # another merge took this occurrence, or a word with two of them was listed twice
            continue
        if pair in tail:
            _replace_several(text[i], pair, new, i, weight[i], counts, fresh)
            text[i] = text[i].replace(pair, new)
            continue
        text[i] = head + new + tail
        if head:
            before[head[-1]].append(i)
        if tail:
            after[tail[0]].append(i)
    of_word = weight.__getitem__
    lost = [(x + pair[0], x + new, places) for x, places in before.items()]
    lost += [(pair[1] + x, new + x, places) for x, places in after.items()]
    for gone, arisen, places in lost:
        n = sum(map(of_word, places))
        counts[gone] -= n
        counts[arisen] += n
        fresh[arisen] += places
    return fresh


def _replace_several(
    word: str, pair: str, new: str, i: int, n: int, counts: dict[str, int], fresh: dict[str, list[int]]
) -> None:
    """Account for several occurrences in word number `i`, from left to right: what arises at one may go at the next.

    Two that touch, as in a run of one letter, have no other symbol between them: the one on the left is `new` by then,
    the one on the right still begins with pair[0].
    """
    between = word.split(pair)  # the stretches before, between and after the occurrences
    last = len(between) - 2
    for k in range(last + 1):
        left = between[k][-1:] or (new if k else "")
        right = between[k + 1][:1] or (pair[0] if k < last else "")
        for gone, arisen in ((left + pair[0], left + new), (pair[1] + right, new + right)):
            if len(gone) == 2:
                counts[gone] -= n
                counts[arisen] += n
                if fresh[arisen][-1:] != [i]:
                    fresh[arisen].append(i)
