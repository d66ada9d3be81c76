"""Character and byte tokenizers: round trips, files, and what they refuse."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import tokenizers
from minigpt.core.errors import UserError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # all of Unicode but surrogates, which are not characters


@given(TEXT)
def test_characters_round_trip(text):
    tokenizer = tokenizers.CharTokenizer(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab_size == len(set(text))


@given(TEXT)
def test_bytes_round_trip(text):
    tokenizer = tokenizers.ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.lists(st.integers(0, 255)))
def test_any_bytes_decode(ids):
    assert isinstance(tokenizers.ByteTokenizer().decode(ids), str)


@given(TEXT)
def test_files_bring_the_same_tokenizer_back(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("tokenizer")
    saved = tokenizers.CharTokenizer(text)
    tokenizers.save(saved, folder)
    loaded = tokenizers.load(folder)
    assert loaded.to_json() == saved.to_json() and loaded.encode(text) == saved.encode(text)


def test_ids_follow_code_points_whatever_the_order_of_the_text():
    pieces = tokenizers.train("char", iter(["cb", "a\n"]))
    assert pieces.characters == "\nabc" and pieces.encode("abc") == [1, 2, 3]


def test_unknown_characters_are_refused_by_name():
    with pytest.raises(UserError, match=r"character 'é' \(U\+00E9\) at position 2 is not among the 3"):
        tokenizers.CharTokenizer("abc").encode("abé")


@pytest.mark.parametrize("ids", [[-1], [0, 3]])
def test_ids_out_of_range_are_refused(ids):
    with pytest.raises(ValueError, match=f"token id {ids[-1]} is outside the vocabulary of 3"):
        tokenizers.CharTokenizer("abc").decode(ids)


def test_damaged_files_are_refused_by_name(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(UserError, match="there is no tokenizer file"):
        tokenizers.load(path)
    for content in ("", "{", "[]", "{}", json.dumps({"minigpt": "other"}), json.dumps({"minigpt": "char"})):
        path.write_text(content)
        with pytest.raises(UserError, match=r"tokenizer\.json is (empty|damaged|not a tokenizer)"):
            tokenizers.load(path)


def test_unknown_kinds_are_refused():
    with pytest.raises(UserError, match="unknown tokenizer 'word'"):
        tokenizers.train("word", [])
