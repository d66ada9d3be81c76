"""The unigram language model: of all ways to cut a word into pieces, the one with the largest product of
probabilities.

Viterbi's algorithm, from left to right: the best way to reach each place is the best way to reach an earlier place and
the piece between them. Source: Kudo (2018), "Subword Regularization", and its implementation in Hugging Face's
tokenizers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from minigpt.core.errors import UserError
from minigpt.tokenizers.pipeline.bpe import Token

UNKNOWN_PENALTY = 10.0  # an unknown character's log-probability is so far below that of the rarest piece
_HEAD = 8  # pieces longer than this are looked for only where one of them begins


class PieceFinder:
    """Finds the pieces of a vocabulary that begin at a place of a text, the shortest first."""

    def __init__(self, ids: Mapping[str, int]):
        self.ids = ids
        lengths: dict[str, set[int]] = {}
        for piece in ids:
            lengths.setdefault(piece[:1], set()).add(len(piece))
        self._short = {c: tuple(sorted(n for n in found if n <= _HEAD)) for c, found in lengths.items()}
        heads: dict[str, set[int]] = {}
        for piece in ids:
            if len(piece) > _HEAD:
                heads.setdefault(piece[:_HEAD], set()).add(len(piece))
        self._long = {head: tuple(sorted(found)) for head, found in heads.items()}

    def at(self, text: str, start: int) -> Iterator[tuple[int, int]]:
        """The (length, id) of the pieces that begin at `start`."""
        for table, key in ((self._short, text[start]), (self._long, text[start : start + _HEAD])):
            for length in table.get(key, ()):
                i = self.ids.get(text[start : start + length])
                if i is not None and start + length <= len(text):
                    yield length, i


class Unigram:
    """A unigram model from a list of (piece, log-probability).

    Raises:
        ValueError: the unknown token is not in the list.
    """

    def __init__(self, pieces: Sequence[tuple[str, float]], unknown: int | None, byte_fallback: bool = False):
        if unknown is not None and not 0 <= unknown < len(pieces):
            raise ValueError("its unk_id is larger than its vocabulary")
        self.vocab = {piece: i for i, (piece, _) in enumerate(pieces)}
        self.unknown, self.byte_fallback = unknown, byte_fallback
        self._scores = [score for _, score in pieces]
        self._unknown_score = min(self._scores, default=0.0) - UNKNOWN_PENALTY
        self._finder = PieceFinder({piece: i for piece, i in self.vocab.items() if piece})

    def tokens(self, word: str) -> list[Token]:
        """The tokens of a word."""
        found: list[Token] = []
        end = 0
        for piece in self._pieces(word):
            start, end = end, end + len(piece.encode("utf-8"))
            i = self.vocab.get(piece)
            codes = self._codes(piece) if i is None and self.byte_fallback else None
            if codes:
                found += [(code, start, end) for code in codes]
                continue
            found.append((self._known(self.unknown if i is None else i), start, end))
        return found

    def _codes(self, piece: str) -> list[int] | None:
        codes = [self.vocab.get(f"<0x{b:02X}>") for b in piece.encode("utf-8")]
        return None if None in codes else codes

    def _known(self, i: int | None) -> int:
        if i is None:
            raise UserError("the text has a character that this tokenizer has no piece for, nor an unknown token")
        return i

    def _pieces(self, word: str) -> list[str]:
        """The most probable pieces, unknown ones in a row joined."""
        starts, ids = self._best_ways(word)
        pieces: list[str] = []
        end, after_unknown = len(word), False
        while end > 0:
            start, unknown = starts[end], ids[end] == self.unknown and self.unknown is not None
            if unknown and after_unknown:
                pieces[-1] = word[start:end] + pieces[-1]
            else:
                pieces.append(word[start:end])
            end, after_unknown = start, unknown
        return pieces[::-1]

    def _best_ways(self, word: str) -> tuple[list[int], list[int]]:
        """For each place, where the last piece of the best way to it begins, and its id."""
        n, scores, at = len(word), self._scores, self._finder.at
        best, starts, ids = [0.0] * (n + 1), [-1] * (n + 1), [0] * (n + 1)
        for start in range(n):
            before, single = best[start], False
            for length, i in at(word, start):
                score, end = scores[i] + before, start + length
                if starts[end] < 0 or score > best[end]:
                    best[end], starts[end], ids[end] = score, start, i
                single = single or length == 1
            if not single:
                score, end = self._unknown_score + before, start + 1
                if starts[end] < 0 or score > best[end]:
                    best[end], starts[end], ids[end] = score, start, self._known(self.unknown)
        return starts, ids
