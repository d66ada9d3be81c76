"""Learn a WordPiece vocabulary. Google never released its trainer; these are the two common reconstructions.

Both begin with the characters of the words (## in front inside a word) and keep merging one pair of adjacent pieces.
They differ in which pair comes first:

- "count": the most frequent pair, as in BPE. It is what Hugging Face's WordPieceTrainer does, and it serves small
  texts well.
- "likelihood": the pair with the largest count(ab) / (count(a) · count(b)), the merge that raises the likelihood of
  the text under a unigram model the most (Schuster and Nakajima 2012). It prefers rare pieces that always come
  together, so give it a `min_frequency`.

Ties go to the smallest (left id, right id).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from minigpt.core.errors import UserError
from minigpt.tokenizers.learn_merges import check_size, index_pairs, learn_merges, replace_pair

SCORES = ("count", "likelihood")


def learn_pieces(
    counts: Mapping[str, int],
    special: Sequence[str],
    vocab_size: int,
    *,
    score: str = "count",
    min_frequency: int = 0,
    progress: Callable[[int], object] = lambda n: None,
) -> list[str]:
    """The tokens of a WordPiece vocabulary in id order: special tokens, characters, learned pieces.

    Raises:
        UserError: the characters alone need more than `vocab_size` tokens, or the score is unknown.
    """
    if score not in SCORES:
        raise UserError(f"unknown score {score!r}: choose one of {', '.join(SCORES)}")
    first = sorted({w[0] for w in counts})
    inside = sorted({c for w in counts for c in w[1:]})
    tokens = list(dict.fromkeys([*special, *first, *("##" + c for c in inside)]))
    check_size(vocab_size, tokens, f"WordPiece: the characters of this text and {len(special)} special tokens")
    ids = {s: i for i, s in enumerate(tokens)}
    words: dict[str, int] = {chr(ids[w[0]]) + "".join(chr(ids["##" + c]) for c in w[1:]): n for w, n in counts.items()}
    if score == "count":
        learned = learn_merges(words, tokens, vocab_size, min_frequency=min_frequency, join=join, progress=progress)
        return learned.tokens
    return _learn_by_likelihood(words, tokens, vocab_size, min_frequency, progress)


def join(left: str, right: str) -> str:
    """The string of two pieces that follow each other."""
    return left + right.removeprefix("##")


def _learn_by_likelihood(
    words: Mapping[str, int], tokens: list[str], vocab_size: int, min_frequency: int, progress
) -> list[str]:
    """Merge by score. A merge changes the scores of all pairs that share its pieces, so all are scored every time."""
    tokens, ids = list(tokens), {s: i for i, s in enumerate(tokens)}
    text, weight, counts, queue = index_pairs(words)
    where = {pair: places for _, pair, places in queue}
    table = _Scores(counts, _count_pieces(words, vocab_size))
    while len(tokens) < vocab_size:
        pair = table.best(max(min_frequency, 1))
        if pair is None:
            break
        string = join(tokens[ord(pair[0])], tokens[ord(pair[1])])
        new = ids.setdefault(string, len(tokens))
        if new == len(tokens):
            tokens.append(string)
            progress(1)
        places = where.pop(pair)
        length = sum(len(text[i]) * weight[i] for i in set(places))
        changes: dict[str, int] = defaultdict(int)
        for fresh, more in replace_pair(pair, chr(new), places, text, weight, changes).items():
            where.setdefault(fresh, []).extend(more)
        merged = length - sum(len(text[i]) * weight[i] for i in set(places))  # a merge shortens a word by one
        table.update(pair, chr(new), merged, changes)
    return tokens


class _Scores:
    """Pairs with their counts as arrays, so that scoring them all is four array operations."""

    def __init__(self, counts: Mapping[str, int], pieces: np.ndarray):
        self.pairs = list(counts)
        self.slot = {pair: k for k, pair in enumerate(self.pairs)}
        self.pieces = pieces
        self.n = np.array([counts[p] for p in self.pairs], dtype=np.int64)
        self.ends = _ends(self.pairs)

    def best(self, least: int) -> str | None:
        """The pair with the highest score among those seen `least` times; of equals, the smallest."""
        live = np.flatnonzero(self.n >= least)
        if not len(live):
            return None
        left, right = self.ends
        score = self.n[live] / (self.pieces[left[live]] * self.pieces[right[live]])
        return min(self.pairs[k] for k in live[score == score.max()])

    def update(self, pair: str, new: str, merged: int, changes: Mapping[str, int]) -> None:
        """Account for `merged` merges of `pair` into `new` and for what they changed around them."""
        for piece, change in ((pair[0], -merged), (pair[1], -merged), (new, merged)):
            self.pieces[ord(piece)] += change
        fresh = [p for p in changes if p not in self.slot]
        self.slot |= {p: len(self.pairs) + k for k, p in enumerate(fresh)}
        self.pairs += fresh
        self.n = np.concatenate([self.n, np.zeros(len(fresh), dtype=np.int64)])
        self.ends = np.concatenate([self.ends, _ends(fresh)], axis=1)
        for p, change in changes.items():
            self.n[self.slot[p]] += change
        self.n[self.slot[pair]] = 0  # merged wherever it was


def _ends(pairs: Sequence[str]) -> np.ndarray:
    """(2, n) the left and the right pieces of pairs."""
    return np.array([[ord(p[side]) for p in pairs] for side in (0, 1)], dtype=np.int64)


def _count_pieces(words: Mapping[str, int], size: int) -> np.ndarray:
    pieces = np.zeros(size, dtype=np.int64)
    for word, n in words.items():
        for c in word:
            pieces[ord(c)] += n
    return pieces
