"""The unigram language model: of all ways to cut a word into pieces, the one with the largest product of
probabilities.

Viterbi's algorithm, from left to right: the best way to reach each place is the best way to reach an earlier place and
the piece between them. Source: Kudo (2018), "Subword Regularization", and its implementation in Hugging Face's
tokenizers.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence

from minigpt.core.errors import UserError
from minigpt.tokenizers.pipeline.bpe import Token, byte_ids, spelled

UNKNOWN_PENALTY = 10.0  # an unknown character's log-probability is so far below that of the rarest piece
UNKNOWN = -1  # the id of a character that no piece is
_HEAD = 8  # pieces longer than this are looked for only where one of them begins


class PieceFinder:
    """Finds the pieces of a vocabulary that begin at a place of a text, the shortest first."""

    def __init__(self, ids: Mapping[str, int]):
        self.ids = ids
        self._short = _lengths_by_head([piece for piece in ids if len(piece) <= _HEAD], 1)
        self._long = _lengths_by_head([piece for piece in ids if len(piece) > _HEAD], _HEAD)

    def at(self, text: str, start: int) -> Iterator[tuple[int, int]]:
        """The (length, id) of the pieces that begin at `start`, and of the character there if no piece is it."""
        single = False
        for table, key in ((self._short, text[start]), (self._long, text[start : start + _HEAD])):
            for length in table.get(key, ()):
                i = self.ids.get(text[start : start + length])
                if i is not None and start + length <= len(text):
                    single = single or length == 1
                    yield length, i
        if not single:
            yield 1, UNKNOWN


def _lengths_by_head(pieces: Iterable[str], head: int) -> dict[str, list[int]]:
    """Which lengths there are of pieces, by the characters that they begin with."""
    found: dict[str, set[int]] = {}
    for piece in pieces:
        found.setdefault(piece[:head], set()).add(len(piece))
    return {start: sorted(lengths) for start, lengths in found.items()}


def best_ways(
    text: str, finder: PieceFinder, scores: Mapping[int, float], number: str = "d"
) -> tuple[list[int], list[int]]:
    """For each place of a text, where the last piece of the best way to it begins, and its id.

    Args:
        scores: log-probabilities, that of UNKNOWN among them.
        number: what sums are rounded to, "d" for 64 bits or "f" for 32.
    """
    n, at, total = len(text), finder.at, array(number, [0.0])
    best, starts, ids = [0.0] * (n + 1), [-1] * (n + 1), [UNKNOWN] * (n + 1)
    for start in range(n):
        before = best[start]
        for length, i in at(text, start):
            total[0], end = scores[i] + before, start + length
            if starts[end] < 0 or total[0] > best[end]:
                best[end], starts[end], ids[end] = total[0], start, i
    return starts, ids


def pieces_of(text: str, starts: Sequence[int], ids: Sequence[int]) -> list[tuple[str, int]]:
    """The pieces of the best way to the end, and their ids."""
    found: list[tuple[str, int]] = []
    end = len(text)
    while end > 0:
        found.append((text[starts[end] : end], ids[end]))
        end = starts[end]
    return found[::-1]


class Unigram:
    """A unigram model from a list of (piece, log-probability).

    Raises:
        ValueError: the unknown token is not in the list.
    """

    def __init__(self, pieces: Sequence[tuple[str, float]], unknown: int | None, byte_fallback: bool = False):
        if unknown is not None and not 0 <= unknown < len(pieces):
            raise ValueError("its unk_id is larger than its vocabulary")
        self.vocab = {piece: i for i, (piece, _) in enumerate(pieces)}
        self.unknown = unknown
        self._bytes = byte_ids(self.vocab) if byte_fallback else []
        self._scores = {i: score for i, (_, score) in enumerate(pieces)}
        self._scores[UNKNOWN] = min(self._scores.values(), default=0.0) - UNKNOWN_PENALTY
        self._finder = PieceFinder({piece: i for piece, i in self.vocab.items() if piece})

    def tokens(self, word: str) -> list[Token]:
        """The tokens of a word."""
        found: list[Token] = []
        end = 0
        for piece in self._pieces(word):
            start, end = end, end + len(piece.encode("utf-8"))
            i = self.vocab.get(piece)
            if i is None and (codes := spelled(piece, self._bytes)):
                found += [(code, start, end) for code in codes]
            else:
                found.append((self._known(self.unknown if i is None else i), start, end))
        return found

    def _known(self, i: int | None) -> int:
        if i is None:
            raise UserError("the text has a character that this tokenizer has no piece for, nor an unknown token")
        return i

    def _pieces(self, word: str) -> list[str]:
        """The most probable pieces, unknown ones in a row joined."""
        starts, ids = best_ways(word, self._finder, self._scores)
        if UNKNOWN in ids[1:]:
            self._known(self.unknown)
        pieces: list[str] = []
        after_unknown = False
        for piece, i in pieces_of(word, starts, ids):
            unknown = i in (UNKNOWN, self.unknown)
            if unknown and after_unknown:
                pieces[-1] += piece
            else:
                pieces.append(piece)
            after_unknown = unknown
        return pieces
