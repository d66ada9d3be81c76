"""Sentences and pairs as BERT, BART and GPT expect them, and BART's numbering of GPT-2's tokens."""

import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.tokenizers import GPTBPE, ByteBPE, WordPiece, encode_pair

from .texts import real_file

BERT = WordPiece({s: i for i, s in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##d"])})
BYTES = {c: i + 4 for i, c in enumerate("abcdef")}
BART = ByteBPE(BYTES, [], special_tokens={"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3})
GPT_SPECIAL = {"_start_": 3, "_delimiter_": 4, "_classify_": 5}
GPT = GPTBPE({"<unk>": 0, "a</w>": 1, "b</w>": 2}, [], special_tokens=GPT_SPECIAL)


def test_bert():
    one, two = encode_pair(BERT, "a b"), encode_pair(BERT, "a b", "cd")
    assert one.ids == [2, 4, 5, 3] and one.type_ids == [0, 0, 0, 0]
    assert two.ids == [2, 4, 5, 3, 6, 7, 3] and two.type_ids == [0, 0, 0, 0, 1, 1, 1]
    assert two.parts == [None, 0, 0, None, 1, 1, None]
    assert two.offsets == [(0, 0), (0, 1), (2, 3), (0, 0), (0, 1), (1, 2), (0, 0)]


def test_bart_has_one_separator_or_two():
    assert encode_pair(BART, "a", layout="bart").ids == [0, 4, 2]
    assert encode_pair(BART, "a", "b", layout="bart").ids == [0, 4, 2, 5, 2]
    two = encode_pair(BART, "a", "b", layout="bart-hf")
    assert two.ids == [0, 4, 2, 2, 5, 2] and two.type_ids == [0] * 6


def test_gpt():
    assert encode_pair(GPT, "a", layout="gpt").ids == [3, 1, 5]
    assert encode_pair(GPT, "a", "b", layout="gpt").ids == [3, 1, 4, 2, 5]


def test_the_longer_part_is_truncated():
    cut = encode_pair(BERT, "a a a a", "b b", max_length=6)
    assert cut.ids == [2, 4, 4, 3, 5, 3]  # 2 and 1: of equally long ones the second loses
    assert encode_pair(BERT, "a b c", max_length=4).ids == [2, 4, 5, 3]
    assert encode_pair(BERT, "a", "b", max_length=3).ids == [2, 3, 3]
    assert len(encode_pair(BART, "abcd", "abcd", layout="bart-hf", max_length=9).ids) == 9


def test_what_does_not_fit_is_one_sentence():
    with pytest.raises(UserError, match="unknown layout 'roberta'"):
        encode_pair(BERT, "a", layout="roberta")
    with pytest.raises(UserError, match="the layout 'gpt' needs the special token _start_"):
        encode_pair(BERT, "a", layout="gpt")
    with pytest.raises(UserError, match="max_length leaves no room"):
        encode_pair(BERT, "a", "b", max_length=2)


def test_bart_numbers_gpt2_again(tmp_path):
    gpt2 = ByteBPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], special_tokens={"<|endoftext|>": 3})
    (tmp_path / "dict.txt").write_text("2 90\n0 50\n3 9\n1 5\nmadeupword0000 0\n", encoding="utf-8")
    bart = tokenizers.renumber(gpt2, tokenizers.read_dictionary(tmp_path / "dict.txt"))
    assert bart.special_tokens == {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 9}
    assert bart.encode("abab a".replace(" ", "")) == [4, 4, 5] and bart.vocab_size == 10
    assert encode_pair(bart, "ab", "b", layout="bart").ids == [0, 4, 2, 7, 2]
    with pytest.raises(UserError, match="the dictionary lacks 1 of GPT-2's tokens, 'b' among them"):
        tokenizers.renumber(gpt2, ["2", "0", "3"])
    (tmp_path / "dict.txt").write_text("2 90\n0\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"dict\.txt is damaged: line 2"):
        tokenizers.read_dictionary(tmp_path / "dict.txt")


def test_barts_first_ids():
    """The dictionary begins with GPT-2's 13 (.), 262 (Ġthe), 11 (,); the rest is made up here."""
    gpt2 = tokenizers.load(real_file("tokenizers", "gpt2"))
    order = ["13", "262", "11", *(str(i) for i in range(50257) if i not in (13, 262, 11))]
    bart = tokenizers.renumber(gpt2, [*order, *(f"madeupword{n:04}" for n in range(3))])
    assert [bart.token(i) for i in (4, 5, 6)] == [".", "Ġthe", ","]
    assert bart.special_tokens["<mask>"] == 50264 and bart.vocab_size == 50265
    assert encode_pair(bart, "x the", layout="bart").ids[2:] == [5, 2]
    assert bart.decode(bart.encode("Hello world!")) == "Hello world!"
