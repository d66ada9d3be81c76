"""The byte-level BPE that is to be read and the fast one learn the same merges and give the same ids."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt import tokenizers
from minigpt.tokenizers import plain_bpe
from minigpt.tokenizers.byte_bpe import ByteBPE
from minigpt.tokenizers.formats.readers import read_vocab_bpe
from minigpt.tokenizers.patterns import LLAMA3_PATTERN

from ..tiers import examples
from .texts import SAMPLE, TEXTS, real_file

# Few letters make many ties, runs such as aaaa, and merges that meet the letters of a special token.
FEW = st.text(st.sampled_from("aab \n"), min_size=1, max_size=60)
WORDS = st.lists(st.sampled_from(["aaaa", "abab", "bab", "é", "日本", " a", "b b", "\n", "'s", "12"])).map("".join)
SPECIAL = st.sampled_from([(), ("<s>",), ("ab",), ("b", "aa")])
LEARNED = plain_bpe.learn(SAMPLE, 380, special_tokens=["<|end|>", "<|pad|>"])


def fast(text: str, size: int, **options) -> ByteBPE:
    return tokenizers.train("bpe", iter([text]), size, **options)


def test_the_classic_example():
    ids, merges = plain_bpe.learn("aaabdaaabac", 256 + 3)
    assert merges == [("a", "a"), ("a", "b"), ("aa", "ab")]
    assert plain_bpe.encode("aaabdaaabac", ids, merges) == [ids[s] for s in ("aaab", "d", "aaab", "a", "c")]


@pytest.mark.parametrize(
    "symbols, merged", [("aaa", "aa a"), ("aaaa", "aa aa"), ("baab", "b aa b"), ("b", "b"), ("", "")]
)
def test_pairs_are_merged_from_left_to_right(symbols, merged):
    assert plain_bpe.merge(symbols, "a", "a") == merged.split()


@given(st.one_of(FEW, WORDS.filter(bool)), SPECIAL)
@settings(max_examples=examples(40), deadline=None)
def test_both_learn_the_same_from_any_text(text, special):
    ids, merges = plain_bpe.learn(text, 280, special_tokens=special)
    other = fast(text, 280, special_tokens=special)
    assert (ids, merges) == (other.vocab, other.merges)
    assert plain_bpe.encode(text, ids, merges) == other.encode(text)


@given(TEXTS)
@settings(max_examples=examples(40), deadline=None)
def test_both_give_the_same_ids_to_any_text(text):
    assert plain_bpe.encode(text, *LEARNED) == SAME.encode(text)


SAME = fast(SAMPLE, 380, special_tokens=["<|end|>", "<|pad|>"])


def test_both_learn_the_same_from_a_text():
    assert (SAME.vocab, SAME.merges) == LEARNED
    ids, merges = plain_bpe.learn(SAMPLE, 330, pattern=LLAMA3_PATTERN)
    other = fast(SAMPLE, 330, pattern="llama3")
    assert (ids, merges) == (other.vocab, other.merges)
    assert plain_bpe.encode(SAMPLE, ids, merges, pattern=LLAMA3_PATTERN) == other.encode(SAMPLE)


@given(st.permutations([*pairwise("abcab"), ("ab", "c"), ("a", "bc"), ("ab", "ab")]), st.text("abcd", max_size=12))
@settings(max_examples=examples(40), deadline=None)
def test_both_apply_merges_that_no_training_made(merges, text):
    """Merges in any order, also of symbols that come later, as in files made by hand; d has no token."""
    vocab = {symbol: i for i, symbol in enumerate(["a", "b", "c", "ab", "bc", "ca", "abc", "abab"])}
    assert plain_bpe.encode(text, vocab, merges) == ByteBPE(vocab, merges).encode(text)


@pytest.mark.slow("test_both_learn_the_same_from_a_text: the same with a small text")
def test_both_learn_the_same_from_a_book(shakespeare):
    text = shakespeare.read_text(encoding="utf-8")
    ids, merges = plain_bpe.learn(text, 330)
    other = fast(text, 330)
    assert (ids, merges) == (other.vocab, other.merges)
    assert plain_bpe.encode(text, ids, merges) == other.encode(text)


@pytest.mark.slow("test_both_give_the_same_ids_to_any_text: the same with a vocabulary of 380")
def test_both_encode_a_book_alike_with_the_vocabulary_of_gpt2(shakespeare):
    text = shakespeare.read_text(encoding="utf-8")[:200_000]
    gpt2 = read_vocab_bpe(real_file("tokenizers", "gpt2", "vocab.bpe"))
    assert plain_bpe.encode(text, gpt2.vocab, gpt2.merges) == gpt2.encode(text)
