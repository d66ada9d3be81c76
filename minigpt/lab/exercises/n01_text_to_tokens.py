"""Exercises of notebooks/01-text-to-tokens.ipynb."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value
from minigpt.tokenizers import ByteTokenizer, WordPiece
from minigpt.tokenizers.merge import Merges, merge_word


def _merge(ids: Sequence[int], pair: tuple[int, int], new: int) -> list[int]:
    return merge_word(ids, Merges([(*pair, new)]))


def _merge_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    yield [1, 2, 3, 1, 2], (1, 2), 4
    yield [5, 5, 5], (5, 5), 6
    yield [], (0, 1), 2
    yield [7], (7, 7), 8
    for _ in range(5):
        yield rng.integers(0, 3, 30).tolist(), (0, 1), 3


def _once(ids: Sequence[int], pair: tuple[int, int], new: int) -> list[int]:
    for i in range(len(ids) - 1):
        if tuple(ids[i : i + 2]) == pair:
            return [*ids[:i], new, *ids[i + 2 :]]
    return list(ids)


def _from_the_right(ids: Sequence[int], pair: tuple[int, int], new: int) -> list[int]:
    return _merge(ids[::-1], pair[::-1], new)[::-1]


def _encode(word: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    tokens = list(dict.fromkeys([*word, *(part for pair in merges for part in (*pair, "".join(pair)))]))
    ids = {token: i for i, token in enumerate(tokens)}
    pairs = Merges((ids[a], ids[b], ids[a + b]) for a, b in merges)
    return [tokens[i] for i in merge_word([ids[letter] for letter in word], pairs)]


_MERGES = [("e", "s"), ("es", "t"), ("l", "o"), ("lo", "w"), ("n", "e"), ("ne", "w"), ("a", "b"), ("b", "c")]


def _encode_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    for word in ("low", "lowest", "newest", "snow", "abc", "bcab", "x", ""):
        yield word, _MERGES
    yield "abc", [("b", "c"), ("a", "b")]
    for _ in range(5):
        yield "".join(rng.choice(list("abc"), 12)), [("a", "b"), ("ab", "a"), ("b", "c"), ("aba", "bc"), ("c", "c")]


def _latest_first(word: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    return _encode(word, merges[::-1])


def _longest_pieces(word: str, vocabulary: Collection[str]) -> list[str]:
    names = [*vocabulary, "[UNK]"]
    return [names[i] for i, _, _ in WordPiece({name: i for i, name in enumerate(names)}).model.tokens(word)]


_PIECES = frozenset(["un", "##aff", "##able", "##a", "##b", "a", "b", "ab", "abc", "##cd", "##c", "##d", "u", "##n"])


def _pieces_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    for word in ("unaffable", "abcd", "ab", "un", "unx", "xa", "bd", "unaff"):
        yield word, _PIECES


def _drawn_words(rng: np.random.Generator) -> Iterator[tuple]:
    for length in rng.integers(2, 10, 8).tolist():
        yield "".join(rng.choice(list("abcdunf"), length)), _PIECES


def _without_unknown(word: str, vocabulary: Collection[str]) -> list[str]:
    """What has been found when nothing fits any more."""
    for end in range(len(word), 0, -1):
        if "[UNK]" not in (pieces := _longest_pieces(word[:end], vocabulary)):
            return pieces
    return []


EXERCISES = (
    Exercise(
        "walk through the list with an index; where the pair stands, append `new` and go on by two, else by one.",
        Function(
            _merge,
            _merge_inputs,
            mistakes=[
                Mistake(_once, "Only the first occurrence was replaced."),
                Mistake(_from_the_right, "Where occurrences overlap, the leftmost is the one that is replaced."),
            ],
        ),
    ),
    Exercise(
        "in a loop: among the neighbours of the present list, find the pair with the smallest place in `merges`, the "
        "leftmost if it occurs twice, and join it; stop when no pair is in the list.",
        Function(
            _encode,
            _encode_inputs,
            mistakes=[
                Mistake(_latest_first, "The earliest-learned merge goes first, not the latest."),
                Mistake(lambda word, merges: list(word), "Nothing was merged."),
            ],
        ),
    ),
    Exercise(
        "try the whole rest of the word, then one letter less, and so on; what does not start the word is looked up "
        "with ## in front.",
        Function(
            _longest_pieces,
            _pieces_inputs,
            drawn=_drawn_words,
            mistakes=[Mistake(_without_unknown, "A word that cannot be cut to its end is one [UNK], not half a word.")],
        ),
    ),
    Exercise(
        "ö and å have two bytes each, the emoji has four, and the space is a byte too.",
        Value(
            lambda: len(ByteTokenizer().encode("smörgåsbord 🍞")),
            mistakes=[Mistake(len("smörgåsbord 🍞"), "That is the number of characters.")],
        ),
    ),
    Exercise(
        "BPE looks at count(ab) alone; the score divides it by count(a) · count(b).",
        Value(
            lambda: (
                max(_COUNTED, key=lambda pair: _COUNTED[pair][0]),
                max(_COUNTED, key=lambda pair: _COUNTED[pair][0] / (_COUNTED[pair][1] * _COUNTED[pair][2])),
            ),
            mistakes=[Mistake(("qu", "th"), "The other way round.")],
        ),
    ),
)

_COUNTED = {"qu": (100, 100, 1000), "th": (3000, 9000, 6000)}  # of the pair, and of its two symbols
