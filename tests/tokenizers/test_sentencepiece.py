"""SentencePiece-style BPE: merging by score, byte fallback, decoding, and its two file formats."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.tokenizers import SentencePieceBPE
from minigpt.tokenizers.formats.sentencepiece_files import read_model
from minigpt.tokenizers.sentencepiece_vocabulary import UNUSED, USER_DEFINED, SentencePieceVocabulary

from .texts import TEXTS, little_llama, write_tokenizer_bin

TOKENIZER = SentencePieceBPE(little_llama())


def field(tag: int, value: int | float | bytes) -> bytes:
    """One field of a protocol-buffer message."""
    if isinstance(value, float):
        return bytes([tag << 3 | 5]) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    return varint(tag << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def model_file(vocabulary: SentencePieceVocabulary, model_type: int = 2, charsmap: bytes = b"") -> bytes:
    """A .model as sentencepiece writes it."""
    pieces = zip(vocabulary.pieces, vocabulary.scores, vocabulary.types, strict=True)
    data = b"".join(field(1, field(1, p.encode()) + field(2, s) + field(3, t)) for p, s, t in pieces)
    data += field(2, field(3, model_type) + field(35, 1))
    spec = field(1, b"nmt_nfkc" if charsmap else b"identity") + field(2, charsmap)
    spec += field(3, int(vocabulary.add_dummy_prefix)) + field(4, int(vocabulary.remove_extra_whitespaces))
    return data + field(3, spec)


def tokens(text: str) -> list[str]:
    return [TOKENIZER.token(i) for i in TOKENIZER.encode(text)]


def test_the_highest_score_merges_first():
    assert tokens("the cat") == ["▁the", "▁cat"]
    assert tokens("heat") == ["▁", "he", "at"]
    assert tokens("  cat") == ["▁▁", "▁cat"]
    assert tokens("caté!") == ["▁cat", "<0xC3>", "<0xA9>", "<0x21>"]
    assert tokens("") == []


@given(TEXTS)
def test_texts_round_trip(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text.replace("▁", " ")  # ▁ is how a space is written


@given(st.lists(st.integers(0, TOKENIZER.vocab_size - 1)))
def test_any_ids_decode(ids):
    assert isinstance(TOKENIZER.decode(ids), str)


@given(TEXTS)
def test_offsets_belong_to_the_ids_and_cover_the_text(text):
    ids, offsets = TOKENIZER.encode_with_offsets(text)
    assert ids == TOKENIZER.encode(text)
    covered = sorted({k for a, b in offsets for k in range(a, b)})
    assert covered == list(range(len(text)))


def test_offsets():
    text = "the éat"
    _, offsets = TOKENIZER.encode_with_offsets(text)
    assert [text[a:b] for a, b in offsets] == ["the", " ", "é", "é", "at"]


def test_decoding_takes_one_space_off_and_shows_bad_bytes():
    assert TOKENIZER.decode(TOKENIZER.encode(" the")) == " the"
    assert TOKENIZER.decode([1, TOKENIZER.encode("the")[0], 2]) == "the"
    assert TOKENIZER.decode([3 + 0xE2, 3 + 0x82]) == "\ufffd\ufffd"
    assert TOKENIZER.decode([0]) == " ⁇ "


def test_without_bytes_unknown_characters_in_a_row_are_one_token():
    v = little_llama()
    pieces = SentencePieceVocabulary(v.pieces[:3] + v.pieces[259:], v.scores[259:], v.types[:3] + v.types[259:])
    pieces.scores = [0.0] * 3 + pieces.scores
    tokenizer = SentencePieceBPE(pieces)
    ids, offsets = tokenizer.encode_with_offsets("éücatüé")
    assert [tokenizer.token(i) for i in ids] == ["▁", "<unk>", "c", "at", "<unk>"]
    assert offsets[1] == (0, 2) and offsets[-1] == (5, 7)


def test_user_defined_and_unused_pieces():
    v = little_llama()
    v.pieces.append("<sep>")
    v.scores.append(0.0)
    v.types.append(USER_DEFINED)
    v.types[v.pieces.index("▁cat")] = UNUSED
    tokenizer = SentencePieceBPE(v)
    pieces = [tokenizer.token(i) for i in tokenizer.encode("cat<sep>cat")]
    assert pieces == ["▁c", "at", "<sep>", "c", "at"]


def test_white_space_may_be_removed():
    v = little_llama()
    v.remove_extra_whitespaces = True
    tokenizer = SentencePieceBPE(v)
    ids, offsets = tokenizer.encode_with_offsets("  the   cat ")
    assert [tokenizer.token(i) for i in ids] == ["▁the", "▁cat"] and ids == tokenizer.encode("  the   cat ")
    assert offsets == [(2, 5), (5, 11)]


def test_model_files(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(model_file(little_llama()))
    loaded = tokenizers.load(tmp_path)
    assert loaded.to_json()["model"] == TOKENIZER.to_json()["model"]
    assert loaded.special_tokens == {"<unk>": 0, "<s>": 1, "</s>": 2}


def test_tokenizer_bin(tmp_path):
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(write_tokenizer_bin(little_llama()))
    loaded = tokenizers.load(path)
    assert loaded.vocabulary == little_llama() and loaded.encode("the  é") == TOKENIZER.encode("the  é")


@pytest.mark.parametrize("suffix", ["model", "bin"])
def test_cut_off_files_are_damaged_wherever_they_end(tmp_path, suffix):
    whole = model_file(little_llama()) if suffix == "model" else write_tokenizer_bin(little_llama())
    path = tmp_path / f"t.{suffix}"
    ends = set()
    for length in [*range(0, 120), len(whole) - 3]:
        path.write_bytes(whole[:length])
        try:
            tokenizers.load(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            ends.add(length)
    assert {0, 1, 3, len(whole) - 3} <= ends


def test_models_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "t.model"
    path.write_bytes(model_file(little_llama(), model_type=3))
    with pytest.raises(UserError, match=r"t\.model is a word model: only BPE and unigram can be read"):
        read_model(path)


def test_bytes_are_counted_token_by_token():
    """Wherever the ids are cut, the counts of the parts add up to the text's bytes and the space in front of it."""
    text = "the cat é日🙂\r\n  a"
    ids = TOKENIZER.encode(text)
    for cut in range(len(ids)):
        assert TOKENIZER.byte_count(ids[:cut]) + TOKENIZER.byte_count(ids[cut:]) == len(text.encode()) + 1
    assert TOKENIZER.byte_count([1, 2]) == 0
