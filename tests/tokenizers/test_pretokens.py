"""Cutting text: the fast way and the plain way agree, on merging as well."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from minigpt.tokenizers.merge import Merges, merge_long, merge_short
from minigpt.tokenizers.patterns import LLAMA3_PATTERN, PATTERNS
from minigpt.tokenizers.pretokens import PreTokenizer, line_blocks, lines
from minigpt.tokenizers.sentencepiece_merge import Scores
from minigpt.tokenizers.sentencepiece_merge import merge_short as merge_short_by_score

from .texts import TEXTS, TRICKY

CUTTERS = {name: PreTokenizer(pattern) for name, pattern in PATTERNS.items()}
CHUNKED = [CUTTERS[name] for name in ("gpt2", "llama3", "cl100k")]


@given(TEXTS)
def test_chunks_give_the_words_of_the_plain_pattern(text):
    for cutter in CHUNKED:
        chunks = cutter.chunks(text)
        if "\0" in text or "\1" in text:
            assert chunks is None
        else:
            assert [word for chunk in chunks for word in cutter.chunk_words(chunk)] == cutter.words(text)


@given(st.text(alphabet=" \n\t\r\x85\u3000ab'1!é", max_size=40))
def test_chunks_agree_on_white_space(text):
    for cutter in CHUNKED:
        assert [word for chunk in cutter.chunks(text) for word in cutter.chunk_words(chunk)] == cutter.words(text)


@given(TEXTS)
def test_counts_are_those_of_the_words_of_each_line(text):
    for cutter in (*CUTTERS.values(), PreTokenizer(r"\w+|\n\n")):
        assert cutter.count([text]) == Counter(word for line in lines(text) for word in cutter.words(line))


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
    assert merge_long(symbols, MERGES) == merge_short(symbols, MERGES)


SCORES = {"aa": -1.0, "ab": -2.0, "aaa": -3.0, "abab": -4.0, "ba": -2.0, "aab": -0.5, "bb": -2.0}


@given(st.text(alphabet="ab", max_size=60))
def test_long_words_merge_like_short_ones_by_score(text):
    assert merge_long(text, Scores(SCORES)) == merge_short_by_score(text, SCORES)


def test_a_very_long_word_is_no_trap():
    n = 40_000  # quadratic time would be minutes
    assert len(merge_long([0] * n, MERGES)) == n // 4
    assert len(merge_long("a" * n, Scores(SCORES))) == n // 2
