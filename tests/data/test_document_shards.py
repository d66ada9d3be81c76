"""Tokenized documents: what is kept, the cache, and the split."""

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.core.files import cache_folder
from minigpt.data import document_shards as module
from minigpt.data import text
from minigpt.data.document_shards import Documents, encode_documents

from .nested import from_lists

TEXT = "One two three. Four five.\nSix.\n\nSeven eight. Nine.\n\n\x00\n\nTen.\n"


@pytest.fixture
def tokenizer():
    return tokenizers.train("wordpiece", [TEXT], 60)


def encode(path, tokenizer, form="paragraphs"):
    return encode_documents([path], tokenizer, form, text.fingerprint([path]))


def sentences(documents: Documents) -> list[list[list[int]]]:
    """The documents as nested lists."""
    edges = documents.sentences
    return [
        [documents.ids[edges[s] : edges[s + 1]].tolist() for s in range(*documents.documents[d : d + 2])]
        for d in range(documents.count)
    ]


def test_documents_are_the_encoded_sentences(tmp_path, tokenizer):
    path = tmp_path / "t.txt"
    path.write_text(TEXT)
    expected = [["One two three.", "Four five.", "Six."], ["Seven eight.", "Nine."], ["Ten."]]  # \0 is no token at all
    documents = encode(path, tokenizer)
    assert sentences(documents) == [[tokenizer.encode(s) for s in d] for d in expected]
    assert documents.tokens == len(documents.ids) and isinstance(documents.ids, np.memmap)


def test_the_second_time_nothing_is_encoded_and_a_damaged_file_is_made_anew(tmp_path, tokenizer, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_text(TEXT + "Eleven.")
    before = encode(path, tokenizer)
    assert sentences(encode(path, tokenizer, "sentences")) != sentences(before)  # another form is another file
    with monkeypatch.context() as m:
        m.setattr(module, "_write", None)
        assert sentences(encode(path, tokenizer)) == sentences(before)
    next((cache_folder() / "tokens").glob("*-sentences.bin")).write_bytes(b"1234")
    for form in ("paragraphs", "sentences"):
        encode(path, tokenizer, form)
    assert sentences(encode(path, tokenizer)) == sentences(before)


def test_no_document_spans_two_files(tmp_path, tokenizer):
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text("Some words.")
    assert encode_documents(paths, tokenizer, "stories", text.fingerprint(paths)).count == 2


def test_split_between_documents():
    documents = from_lists([[[1] * 10], [[2] * 50, [3] * 10], [[4] * 20], [[5] * 10]])
    first, second = documents.split(0.25)
    assert sentences(first) + sentences(second) == sentences(documents)
    assert first.count == 2 and second.tokens == 30
    first, second = documents.split(0.001)
    assert (first.count, second.count) == (3, 1)  # at least one document
    assert documents.split(0.999)[0].count == 1
    assert documents.split(0.001, least=2)[1].count == 2
    with pytest.raises(UserError, match="has 4 documents, and training and validation need at least 3 each"):
        documents.split(0.5, least=3)


def test_a_text_without_a_sentence_is_refused(tmp_path, tokenizer):
    path = tmp_path / "t.txt"
    path.write_text("\n\n \x00 \n")
    with pytest.raises(UserError, match="no sentence"):
        encode(path, tokenizer)


def test_the_bar_of_encoding_does_not_stay(tmp_path, tokenizer, monkeypatch):
    options, right = [], text.progress_bar

    def bar(**keywords):
        options.append(keywords)
        return right(**keywords)

    monkeypatch.setattr(text, "progress_bar", bar)
    (tmp_path / "text.txt").write_text("One. Two.\n\nThree.\n")
    encode(tmp_path / "text.txt", tokenizer)
    assert [(o["total"], o["leave"]) for o in options] == [(18, False)]
