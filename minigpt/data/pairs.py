"""Pairs of texts to translate from and to: lines of a file with a tab between them, or two files line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.data import text
from minigpt.tokenizers import Tokenizer

_BLANK = " \t\r"  # around the texts of a line; any other character, U+0085 and U+2028 among them, is text


class Pairs(NamedTuple):
    """P pairs of token ids, one text after the other.

    Attributes:
        ids: (N,) source 0, target 0, source 1, target 1, …
        starts: (2P + 1,) where each of these texts starts. After a split the first is not 0.
        left_out: how many pairs were longer than the context.
    """

    ids: np.ndarray
    starts: np.ndarray
    left_out: int = 0

    @property
    def count(self) -> int:
        return len(self.starts) // 2

    def pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        a, b, c = self.starts[2 * number : 2 * number + 3]
        return self.ids[a:b].astype(np.int64), self.ids[b:c].astype(np.int64)

    def lengths(self) -> np.ndarray:
        """(P, 2) how many tokens each source and each target has."""
        return np.diff(self.starts).reshape(-1, 2)

    def split(self, fraction: float) -> tuple[Pairs, Pairs]:
        """The first pairs, and the last `fraction` of them, at least one each.

        Raises:
            UserError: there are fewer than two pairs.
        """
        if self.count < 2:
            raise UserError(f"there are {self.count} pairs that fit the context; training and validation need one each")
        cut = 2 * min(max(round(self.count * (1.0 - fraction)), 1), self.count - 1)
        return self._replace(starts=self.starts[: cut + 1]), self._replace(starts=self.starts[cut:])


def read_pairs(files: Sequence[Path], form: str) -> Iterator[tuple[str, str]]:
    """Yield source and target of every pair; lines without any text on either side are passed over.

    Args:
        form: "tsv", every line a source, a tab and a target; or "aligned", two files whose lines belong together.
    Raises:
        UserError: a line has no tab or several, one side of it is empty, or the two files have different numbers of
            lines; the message names file and line.
    """
    if form == "aligned" and len(files) != 2:
        raise UserError(f"aligned pairs are two files, sources and targets; --data names {len(files)}")
    for path, number, sides in _aligned(files) if form == "aligned" else _tabbed(files):
        sides = [side.strip(_BLANK) for side in sides]
        if len(sides) != 2 or any(sides) != all(sides):
            what = "is no source, tab and target" if form == "tsv" else "is empty in one of the two files"
            raise UserError(f"line {number} of {path} {what}")
        if all(sides):
            yield sides[0], sides[1]


def _tabbed(files: Sequence[Path]) -> Iterator[tuple[Path, int, list[str]]]:
    for path in files:
        for number, line in enumerate(_lines(path), start=1):
            yield path, number, line.split("\t") if line.strip(_BLANK) else ["", ""]


def _aligned(files: Sequence[Path]) -> Iterator[tuple[Path, int, list[str]]]:
    for number, sides in enumerate(zip_longest(*map(_lines, files)), start=1):
        if None in sides:
            raise UserError(f"{files[0]} and {files[1]} do not have equally many lines: one ends before line {number}")
        yield files[1], number, list(sides)


def _lines(path: Path) -> Iterator[str]:
    for piece in text.read_pieces([path]):
        yield from piece.removesuffix("\n").split("\n")


def encode_pairs(files: Sequence[Path], form: str, tokenizer: Tokenizer, longest: int) -> Pairs:
    """Read and encode all pairs, without those of which a side has more than `longest` tokens.

    Raises:
        UserError: see `read_pairs`.
    """
    ids, starts, left_out = [], [0], 0
    for pair in progress_bar(read_pairs(files, form), desc="encoding", unit="pair", leave=False, delay=2):
        sides = [tokenizer.encode(side) for side in pair]
        if max(map(len, sides)) > longest:
            left_out += 1
            continue
        for side in sides:
            ids.append(np.asarray(side, dtype=np.int32))
            starts.append(starts[-1] + len(side))
    return Pairs(np.concatenate(ids) if ids else np.empty(0, np.int32), np.asarray(starts, np.int64), left_out)
