"""Bytes of a text's tokens: always the file's own, wherever a stretch begins and ends."""

import json
import os

import pytest

from minigpt import tokenizers
from minigpt.core.files import cache_folder
from minigpt.data import encoded, text
from minigpt.data.documents import BLANK, END_OF_TEXT, documents
from minigpt.data.packing import pack_text
from minigpt.tokenizers.byte_offsets import byte_offsets
from minigpt.tokenizers.formats.hf_read import from_hf

from ..tiers import some
from ..tokenizers.test_pipeline import bpe
from ..tokenizers.test_streaming import KINDS
from ..tokenizers.texts import SAMPLE

MARK = "\ufeff"
HARD = "\r\n The CATS é ﬁ e\u0301\u2028日本 ▁x\x0c\x85\n\n \t\r\nİ  the end" + " the cat\r\n" * 5 + "no line break  "
FILES = [MARK + HARD, "", MARK, "Second file\r\n\r\n***\r\nof \n\n***\n ends\n", "\n", f"{MARK}***\nΣ"]
TOKENIZERS = {
    **KINDS,
    "char": tokenizers.CharTokenizer("".join(FILES)),
    "pipeline": from_hf(bpe(normalizer={"type": "NFKC"})),
}
KEPT = ["char", "byte", "bpe gpt2", "wordpiece", "gpt", "llama", "llama, spaces removed", "llama, no bytes", "pipeline"]
EVERY = some(TOKENIZERS, KEPT, "the same with other tokenizers")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files, read in small pieces, with a mark every few bytes."""
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(text, "_PIECE", 16)
    monkeypatch.setattr(encoded, "MARK_EVERY", 20)
    monkeypatch.setattr(encoded, "_LOOK", 5)
    paths = [tmp_path / f"{n}.txt" for n in range(len(FILES))]
    for path, content in zip(paths, FILES, strict=True):
        path.write_bytes(content.encode())
    return paths


def encode(files, tokenizer, parts=None):
    return encoded.encode_files(files, tokenizer, text.fingerprint(files), parts)


def by_hand(tokenizer, contents, end=None):
    """The (start, end) of every token in the bytes that count, each text encoded as a whole."""
    spans, position = [], 0
    for content, mark in contents:
        position += mark
        spans += [(position + a, position + b) for a, b in byte_offsets(tokenizer, content)]
        position += len(content.encode())
        spans += [(position, position)] if end is not None and content else []
    return spans, position


@pytest.mark.parametrize("name", EVERY)
def test_every_stretch_has_the_files_own_bytes(name, files):
    tokenizer = TOKENIZERS[name]
    whole = encode(files, tokenizer)
    spans, size = by_hand(tokenizer, [(c.removeprefix(MARK), 3 * c.startswith(MARK)) for c in FILES])
    n = len(whole.ids)
    assert n == len(spans) and size == sum(map(os.path.getsize, files)) and len(whole.marks) > 2
    assert whole.part().scored_bytes() == size - (spans[0][1] - spans[0][0])
    for cut in (1, n // 3, n // 2, n - 1):
        first, last = (spans[cut - 1][1], size - spans[cut - 1][1])
        assert whole.scored_bytes(0, cut, given=False) == first and whole.scored_bytes(cut, n, given=False) == last
        assert whole.part(cut).scored_bytes() == last - (spans[cut][1] - spans[cut][0])


@pytest.mark.parametrize("separator", ["", BLANK, "***"])
def test_lines_between_documents_do_not_count(separator, files):
    tokenizer = tokenizers.train("bpe", iter([SAMPLE]), 300, special_tokens=[END_OF_TEXT])
    parts = documents(tokenizer, separator)
    whole = encode(files, tokenizer, parts)
    n = len(whole.ids)
    between = {  # of all files, by hand
        "": 0,
        BLANK: sum(map(len, ("\r\n", "\n\n \t\r\n", "\r\n\r\n", "\n\n", "\n", "\n"))),
        "***": sum(map(len, ("***\r\n", "***\n", "***\n"))),
    }[separator]
    size = sum(map(os.path.getsize, files)) - between
    assert whole.scored_bytes(0, n, given=False) == size
    assert whole.part().scored_bytes() == size - tokenizer.byte_count(whole.ids[:1].tolist())
    data = tokenizer.decode_bytes([i for i in whole.ids.tolist() if i != parts.end])
    assert size == len(data) + 3 * 3  # the marks
    first, last = pack_text(whole, 16, 0.4)
    assert first.scored_bytes() + last.scored_bytes() == size and last.scored_bytes() > 0
    data = tokenizer.decode_bytes([i for i in last.stream.tolist() if i != parts.end])
    assert last.scored_bytes() == len(data) + 3 * 2  # two of the marks


def test_shards_without_marks_are_made_anew(files):
    before = encode(files, KINDS["byte"])
    (path,) = (cache_folder() / "tokens").glob("*.json")
    description = json.loads(path.read_text())
    content = path.with_suffix(".bin").read_bytes()
    for damaged in (
        {},
        {"marks": 3},
        {"marks": [[0, 0]]},
        {"marks": [[0, 0, 0]]},
        {"marks": []},
        {"marks": [["x"] * 3]},
    ):
        path.write_text(json.dumps({k: description[k] for k in ("tokens", "sha256")} | damaged))
        assert encode(files, KINDS["byte"]).marks == before.marks
        assert json.loads(path.read_text()) == description and path.with_suffix(".bin").read_bytes() == content


def test_marks_hold_however_the_text_is_cut_later(files, monkeypatch):
    whole = encode(files, KINDS["wordpiece"])
    expected = [whole.scored_bytes(0, cut, given=True) for cut in range(1, len(whole.ids))]
    monkeypatch.setattr(text, "_PIECE", 11)
    assert [whole.scored_bytes(0, cut, given=True) for cut in range(1, len(whole.ids))] == expected
