"""A text that ranks encode together leaves the files that one process writes."""

import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.data import document_shards, encoded, sharing
from minigpt.data.documents import Documents
from minigpt.distributed import sharing as ranks_sharing
from minigpt.distributed.sharing import after_first
from minigpt.tokenizers import CharTokenizer

from .side_by_side import side_by_side

STORY = "Tom went to the sea. “Où est-il?” she said 😀.\n\nIt rained, and 12 ducks swam.\r\nThey ate.\n\n"


def by_text(path, file, tokenizer):
    encoded.write_shard(path, [file], tokenizer, None)


def by_document(path, file, tokenizer):
    encoded.write_shard(path, [file], tokenizer, Documents(7, "\n\n"))


def by_sentence(path, file, tokenizer):
    document_shards._write(path, [file], tokenizer, "paragraphs")


@pytest.mark.parametrize("spec, write", [("bpe:300", by_text), ("byte", by_document), ("wordpiece:90", by_sentence)])
def test_shared_encoding_writes_the_same_files(spec, write, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "LARGE", 0)
    monkeypatch.setattr(ranks_sharing, "_BLOCK", 64)
    monkeypatch.setattr("minigpt.data.text._PIECE", 100)
    file, had = tmp_path / "text.txt", {}
    file.write_bytes(STORY.encode() * 12)
    tokenizer = tokenizers.from_spec(spec, lambda: iter([STORY]))
    write(tmp_path / "alone.bin", file, tokenizer)
    right = ranks_sharing._together

    def seen(ranks, encode, block):
        had.setdefault(ranks.rank, []).append(len(block[ranks.rank :: ranks.size]))
        return right(ranks, encode, block)

    monkeypatch.setattr(ranks_sharing, "_together", seen)
    side_by_side(3, lambda one: after_first(one, lambda: one.first and write(tmp_path / "three.bin", file, tokenizer)))
    assert len(had) == 3 and min(map(sum, had.values())) > 2
    alone = sorted(tmp_path.glob("alone*"))
    assert len(alone) >= 2
    for path in alone:
        assert path.read_bytes() == (tmp_path / path.name.replace("alone", "three")).read_bytes()


def test_what_cannot_be_encoded_is_said_as_by_one_process(tmp_path, monkeypatch):
    """The first place of several, whichever rank comes to it; and no half of a file stays."""
    monkeypatch.setattr(sharing, "LARGE", 0)
    monkeypatch.setattr("minigpt.data.text._PIECE", 100)
    file = tmp_path / "text.txt"
    file.write_text("All is well.\n" * 20 + "No % here, @ there.\n" * 20)
    tokenizer = CharTokenizer.train(["Alisw.e\nNohr,t "])

    def work(one):
        with pytest.raises(UserError) as caught:
            after_first(one, lambda: by_text(tmp_path / "a.bin", file, tokenizer))
        return str(caught.value)

    (alone,), three = side_by_side(1, work), side_by_side(3, work)
    assert three == [alone] * 3 and "%" in alone and not list(tmp_path.glob("*a.bin*"))


def test_a_small_text_is_encoded_by_rank_0_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks_sharing, "_together", None)
    file, path = tmp_path / "text.txt", tmp_path / "a.bin"
    file.write_text(STORY)
    tokenizer = CharTokenizer.train([STORY])
    side_by_side(2, lambda one: after_first(one, lambda: one.first and by_text(path, file, tokenizer)))
    assert path.stat().st_size == len(STORY)
