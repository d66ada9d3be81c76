"""GPT's BPE: standardised text, words that end in </w>, and what it does with the unknown."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.tokenizers import GPTBPE, GPTWords

from .texts import SAMPLE, TEXTS, real_file

TOKENIZER = tokenizers.train("gpt", iter([SAMPLE]), 200, special_tokens=["_start_"])


def test_standardised_text():
    words = GPTWords().words
    assert words("a—b…  c´s\n\n d") == ["a", "-", "b", "...", "c", "'s", "\n", "d"]
    assert words("--~~ (x), y/z;") == ["--", "~~", "(", "x", ")", ",", "y", "/", "z", ";"]
    assert words(" \t ") == []


def test_english_words():
    words = GPTWords().words
    assert words("Don't WE'LL it's.") == ["do", "n't", "we", "'ll", "it", "'s", "."]
    assert words("Mr. Smith paid $3.50, at 5 p.m. in the U.S. of A.") == [
        *("mr.", "smith", "paid", "$", "3.50", ",", "at", "5", "p.m.", "in", "the", "u.s.", "of", "a", "."),
    ]


def test_ids_are_unknown_special_characters_then_merges():
    assert TOKENIZER.token(0) == "<unk>" and TOKENIZER.special_tokens == {"_start_": 1}
    count = (TOKENIZER.vocab_size - 2 - len(TOKENIZER.merges)) // 2
    inside = [TOKENIZER.token(i) for i in range(2, 2 + count)]
    ending = [TOKENIZER.token(i) for i in range(2 + count, 2 + 2 * count)]
    assert inside == sorted(inside) and ending == [c + "</w>" for c in inside]


def test_what_it_learned_comes_back():
    text = "the cat said : it was ."
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text
    assert TOKENIZER.decode(TOKENIZER.encode("A bird\nwas")) == "a bird \nwas"
    ids = TOKENIZER.encode("cat ξx", allowed="all")
    assert ids[-2] == 0 and TOKENIZER.token(ids[-1]) in ("x</w>", "<unk>")


@pytest.mark.parametrize("rule", ["gpt", "hf"])
@given(text=TEXTS)
def test_offsets_belong_to_the_ids_and_go_forward(rule, text):
    tokenizer = GPTBPE(TOKENIZER.vocab, TOKENIZER.merges, words=GPTWords(rule))
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert ids == tokenizer.encode(text)
    assert all(0 <= a < b <= len(text) for a, b in offsets)
    assert all(b[0] >= a[0] for a, b in pairwise(offsets))


def test_offsets():
    text = "  The…  CAT\n\nisn't"
    _, offsets = GPTBPE({"<unk>": 0}, []).encode_with_offsets(text)
    assert [text[a:b] for a, b in offsets] == [*"The", "…", "…", "…", *"CAT", "\n\n", *"isn't"]


def test_ftfy_is_optional_and_said_to_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(UserError, match="ftfy is not installed: pip install ftfy"):
        GPTWords(use_ftfy=True)


def test_ftfy_mends_the_text_first(monkeypatch):
    class Mender:
        @staticmethod
        def fix_text(text):
            return text.replace("â€™", "'")

    monkeypatch.setitem(sys.modules, "ftfy", Mender)
    words = GPTWords(use_ftfy=True)
    assert words.words("itâ€™s") == ["it", "'s"]
    with pytest.raises(UserError, match="offsets cannot be given with ftfy"):
        words.stretches("it")


def test_what_cannot_be_made_is_one_sentence():
    with pytest.raises(UserError, match="too small for GPT's BPE"):
        tokenizers.train("gpt", iter([SAMPLE]), 10)
    with pytest.raises(UserError, match="needs the token <unk>"):
        GPTBPE({"a": 0}, [])
    with pytest.raises(UserError, match="the merges need the token 'ab</w>', which the vocabulary lacks"):
        GPTBPE({"<unk>": 0, "a": 1, "b</w>": 2}, [("a", "b</w>")])
    with pytest.raises(UserError, match="cannot be that of GPT's BPE: its merge <unk> 'a' joins"):
        GPTBPE({"<unk>": 0, "a": 1, "<unk>a": 2}, [("<unk>", "a")])
    with pytest.raises(ValueError, match="unknown rule 'spacy'"):
        GPTWords("spacy")


def test_gpt_ids():
    gpt = tokenizers.load(real_file("tokenizers", "gpt1", "vocab_40000.bpe"))
    assert gpt.special_tokens == {"_start_": 40478, "_delimiter_": 40479, "_classify_": 40480}
    assert [gpt.token(i) for i in (0, 1, 2, 477, 40477)] == ["<unk>", ".", ",", "th", "\n</w>"]
    ids = gpt.encode("Hello,\nworld.")
    assert [gpt.token(i) for i in ids] == ["hello</w>", ",</w>", "\n</w>", "world</w>", ".</w>"]
    assert gpt.decode(ids) == "hello , \nworld ."
