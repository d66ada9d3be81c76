"""Cutting text: the fast way and the plain way agree, on merging as well."""

import itertools
from collections import Counter
from functools import partial
from unittest import mock

import numpy as np
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from minigpt.tokenizers.merge import LONG, Merges, merge_long, merge_short
from minigpt.tokenizers.merge_batch import NEVER, PairTable, merge_words
from minigpt.tokenizers.patterns import LLAMA3_PATTERN, PATTERNS
from minigpt.tokenizers.pretokens import PreTokenizer, line_blocks, lines
from minigpt.tokenizers.sentencepiece_merge import find
from minigpt.tokenizers.sentencepiece_merge import merge_short as merge_short_by_score
from minigpt.tokenizers.stretches import Stretches

from .texts import TEXTS, TRICKY

CUTTERS = {name: PreTokenizer(pattern) for name, pattern in PATTERNS.items()}
BYTES = np.arange(256, dtype=np.int32)
CHUNKED = [CUTTERS[name] for name in ("gpt2", "llama3", "cl100k")]


def by_chunks(cutter: PreTokenizer, text: str, each_line: bool = False) -> list[str]:
    """The pre-tokens, by way of the chunks, each of which is cut alone and among the others."""
    if (chunks := cutter.chunks(text, each_line)) is None:
        assert not text or "\0" in text
        return [word for part in (lines(text) if each_line else [text]) for word in cutter.words(part)]
    words, own = cutter.cut_chunks(chunks)
    found = []
    for k in range(len(chunks.start)):
        among = [words.one(i).tobytes().decode() for i in own.one(k)]
        assert among == cutter.words(chunks.one(k).tobytes().decode())
        found += among
    return found


@given(TEXTS)
def test_chunks_give_the_words_of_the_plain_pattern(text):
    for cutter in CHUNKED:
        assert by_chunks(cutter, text) == cutter.words(text)
        assert by_chunks(cutter, text, True) == [word for line in lines(text) for word in cutter.words(line)]


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_needs_no_unicode(text):
    for cutter in CHUNKED:
        assert cutter.words(text) == regex.findall(cutter.pattern, text)


def test_the_ascii_form_of_each_pattern():
    """Every character beside every other one, twice: what a pattern can tell apart."""
    letters = map(chr, range(128))
    pairs = "".join(a + b + b + a for a, b in itertools.product(letters, repeat=2))
    for cutter in CHUNKED:
        assert cutter.words(pairs) == regex.findall(cutter.pattern, pairs)


@given(st.text(alphabet=" \n\t\r\x85\u3000\u2003ab'1!é", max_size=40))
def test_chunks_agree_on_white_space(text):
    for cutter in CHUNKED:
        assert by_chunks(cutter, text) == cutter.words(text)


@pytest.mark.parametrize("characters", ["a\n \t", "a1.\n "])
def test_line_feeds_in_a_row_with_white_space_around_them(characters):
    """Every text of up to three characters alone, and of four between letters and between dots."""
    texts = ["".join(some) for n in range(1, 5) for some in itertools.product(characters, repeat=n)]
    for cutter in CHUNKED:
        for text in (*(text for text in texts if len(text) < 4), "b".join(texts), "..".join(texts)):
            assert by_chunks(cutter, text) == cutter.words(text)


def test_many_words_merge_like_each_alone():
    """Words of all lengths, also those whose merges were given twice, and such as no pair merges in."""
    rng = np.random.default_rng(0)
    words = [bytes(rng.integers(0, 3, size).tolist()) for size in range(1, LONG) for _ in range(3)]
    found = merge_words(Stretches.of(words, np.uint8), PairTable(MERGES, BYTES))
    assert [found.one(k).tolist() for k in range(len(words))] == [merge_short(word, MERGES) for word in words]


def test_a_table_of_pairs_finds_every_rank_and_nothing_else():
    rng = np.random.default_rng(1)
    pairs = np.unique(rng.integers(0, 3000, (5000, 2)), axis=0)
    merges = Merges((int(a), int(b), 0) for a, b in rng.permutation(pairs))
    left, right = np.concatenate([pairs, rng.integers(0, 3000, (5000, 2)), [[-1, 7], [7, -1], [-1, -1], [0, 0]]]).T
    expected = [merges.rank.get((int(a), int(b)), NEVER) for a, b in zip(left, right, strict=True)]
    assert PairTable(merges, BYTES).find(left, right).tolist() == expected
    assert PairTable(Merges(), BYTES).find(left, right).tolist() == [NEVER] * len(left)


@given(TEXTS)
def test_counts_are_those_of_the_words_of_each_line(text):
    for cutter in (*CUTTERS.values(), PreTokenizer(r"\w+|\n\n")):
        expected = Counter(word for line in lines(text) for word in cutter.words(line))
        with mock.patch("minigpt.tokenizers.pretokens.FULL", 9):
            assert cutter.count([text]) == cutter.count(lines(text)) == expected


@given(TEXTS)
def test_patterns_lose_nothing(text):
    for cutter in (*CUTTERS.values(), PreTokenizer("b+"), PreTokenizer("x*"), PreTokenizer("(a)|(b)")):
        assert "".join(cutter.words(text)) == text


@given(st.lists(TRICKY))
def test_line_blocks_are_whole_lines(pieces):
    blocks = list(line_blocks(pieces))
    assert "".join(blocks) == "".join(pieces)
    assert all(block.endswith("\n") for block in blocks[:-1])
    assert [line for block in blocks for line in lines(block)] == list(lines("".join(pieces)))


def test_llama3_pattern():
    words = PreTokenizer(LLAMA3_PATTERN).words("I'LL pay 12345  now!\n\nOK")
    assert words == ["I", "'LL", " pay", " ", "123", "45", " ", " now", "!\n\n", "OK"]


MERGES = Merges([(0, 0, 2), (0, 1, 3), (2, 0, 4), (3, 3, 5), (1, 0, 6), (2, 2, 7), (6, 6, 8), (5, 1, 3), (3, 2, 9)])


@given(st.lists(st.integers(0, 1), max_size=60))
def test_long_words_merge_like_short_ones(symbols):
    assert merge_long(symbols, MERGES.find) == merge_short(symbols, MERGES)


SCORES = {"aa": -1.0, "ab": -2.0, "aaa": -3.0, "abab": -4.0, "ba": -2.0, "aab": -0.5, "bb": -2.0}


@given(st.text(alphabet="ab", max_size=60))
def test_long_words_merge_like_short_ones_by_score(text):
    assert merge_long(text, partial(find, SCORES)) == merge_short_by_score(text, SCORES)


def test_a_very_long_word_is_no_trap():
    n = 40_000  # quadratic time would be minutes
    assert len(merge_long([0] * n, MERGES.find)) == n // 4
    assert len(merge_long("a" * n, partial(find, SCORES))) == n // 2
