"""Packed documents: boundaries where they belong, and nowhere else; the tokens between them give the text back."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.data import text
from minigpt.data.dataset import make_tokenizer
from minigpt.data.documents import BLANK, END_OF_TEXT, document_pieces, documents
from minigpt.data.encoded import encode_files

from ..tiers import examples

SEPARATOR = "<|endoftext|>"
LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\ufeff"), max_size=12)


def byte_bpe():
    return tokenizers.train("bpe", iter(["some text to learn from\n"]), 260, special_tokens=[END_OF_TEXT])


def encoded(paths, separator=SEPARATOR):
    tokenizer = byte_bpe()
    parts = documents(tokenizer, separator)
    ids = encode_files(paths, tokenizer, text.fingerprint(paths), parts).ids
    found, end = [], parts.end
    cuts = np.flatnonzero(ids == end)
    for a, b in zip([0, *(cuts + 1)], cuts, strict=False):
        found.append(tokenizer.decode(ids[a:b].tolist()))
    assert not len(ids) or ids[-1] == end
    return found


@settings(deadline=None, max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(LINES, min_size=1, max_size=4), max_size=4), st.booleans())
def test_documents_come_back_one_by_one(tmp_path_factory, texts, newline_at_end):
    texts = ["".join(f"{line}\n" for line in lines) for lines in texts]
    whole = f"{SEPARATOR}\n".join(texts) + (f"{SEPARATOR}\n" if newline_at_end else "")
    expected = [part for part in texts if SEPARATOR not in part]
    path = tmp_path_factory.mktemp("d") / "t.txt"
    path.write_text(whole, encoding="utf-8", newline="")
    if expected == texts:
        assert encoded([path]) == expected


def test_files_are_documents_and_empty_ones_are_not(tmp_path):
    for name, content in {"a": "one\ntwo", "b": "", "c": f"{SEPARATOR}\n{SEPARATOR}\nthree\n{SEPARATOR}"}.items():
        (tmp_path / name).write_text(content)
    paths = [tmp_path / name for name in "abc"]
    assert encoded(paths) == ["one\ntwo", "three\n"]
    assert encoded(paths, separator="") == ["one\ntwo", f"{SEPARATOR}\n{SEPARATOR}\nthree\n{SEPARATOR}"]


def test_only_whole_lines_separate_and_carriage_returns_do_not_hide_them(tmp_path):
    path = tmp_path / "t"
    path.write_bytes(b"a <|endoftext|> b\r\n<|endoftext|>  \r\nc\n")
    assert encoded([path]) == ["a <|endoftext|> b\r\n", "c\n"]
    (tmp_path / "u").write_text("a\n***\nb\n")
    assert list(document_pieces([tmp_path / "u"], "***")) == ["a\n", None, "b\n", None]


OTHER_BREAKS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # what else Python calls the end of a line


def test_only_line_feeds_end_lines_and_documents_come_back_as_they_were(tmp_path):
    first = f"one{OTHER_BREAKS}two\r\n{OTHER_BREAKS}\r\nthree\r"
    (tmp_path / "a").write_bytes(f"\r\n{first}\r\n \t\r\n\n\nfour\n".encode())
    assert list(document_pieces([tmp_path / "a"], BLANK)) == [first, None, "four", None]
    assert encoded([tmp_path / "a"], BLANK) == [first, "four"]
    for content in (f"x{OTHER_BREAKS}\r\n\ry", f"{OTHER_BREAKS}\n", "\r\n \r\n"):
        (tmp_path / "b").write_bytes(content.encode())
        assert encoded([tmp_path / "b"]) == [content]


def test_a_document_longer_than_a_piece_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_PIECE", 64)
    path = tmp_path / "t"
    path.write_text("".join(f"line {i}\n" for i in range(100)) + f"{SEPARATOR}\nend\n")
    assert [len(document) for document in encoded([path])] == [790, 4]


def test_a_tokenizer_made_for_it_has_the_token_and_others_are_refused(tmp_path):
    path = tmp_path / "t"
    path.write_text("some text to learn from\n")
    tokenizer = make_tokenizer("bpe:260", [path], [END_OF_TEXT])
    assert documents(tokenizer, "").end == tokenizer.special_tokens[END_OF_TEXT] < tokenizer.vocab_size
    with pytest.raises(UserError, match=r"this one, of the kind char, has none"):
        documents(make_tokenizer("char", [path], [END_OF_TEXT]), "")
