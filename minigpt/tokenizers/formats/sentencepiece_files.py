"""Read SentencePiece's vocabulary from a `.model` file or from llama2.c's `tokenizer.bin`, without sentencepiece.

A `.model` is one protocol-buffer message. Its wire format is small: a field is a number (tag · 8 + wire type) and a
value, and only four wire types occur. Source: sentencepiece_model.proto and the protocol-buffer encoding guide.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from pathlib import Path

from minigpt.core.errors import UserError
from minigpt.core.files import read_bytes
from minigpt.core.limits import VOCABULARY_BYTES
from minigpt.tokenizers import sentencepiece_vocabulary as kinds
from minigpt.tokenizers.sentencepiece_vocabulary import BPE, SPACE, UNIGRAM, SentencePieceVocabulary, is_byte


def read_model(path: str | Path) -> SentencePieceVocabulary:
    """Read a SentencePiece `.model`.

    Raises:
        UserError: the file cannot be read, is no such model, or is neither a BPE nor a unigram model. What it says of
            its pieces is not checked yet: `check_vocabulary` does.
    """
    data = read_bytes(path, VOCABULARY_BYTES)
    try:
        vocabulary, trainer = _parse_model(data)
    except (ValueError, IndexError, struct.error, TypeError, AttributeError, KeyError):
        raise UserError(f"{path} is damaged, or not a SentencePiece model") from None
    if not vocabulary.pieces:
        raise UserError(f"{path} is not a SentencePiece model: it has no pieces")
    kind = trainer.get(3, 1)
    if kind not in (1, 2):
        names = {3: "word", 4: "char"}
        raise UserError(f"{path} is a {names.get(kind, 'strange')} model: only BPE and unigram can be read")
    vocabulary.model = BPE if kind == 2 else UNIGRAM
    if trainer.get(24):
        raise UserError(f"{path} puts white space at the end of words: only models with it in front can be read")
    return vocabulary


def _parse_model(data: bytes) -> tuple[SentencePieceVocabulary, dict]:
    vocabulary = SentencePieceVocabulary([], [], [])
    trainer: dict = {}
    normalizer: dict = {}
    for tag, value in _fields(data):
        if tag == 1:  # a piece: its string, score and type
            piece = dict(_fields(value))
            vocabulary.pieces.append(piece[1].decode("utf-8"))
            vocabulary.scores.append(struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0)
            vocabulary.types.append(piece.get(3, kinds.NORMAL))
        elif tag == 2:
            trainer = dict(_fields(value))
        elif tag == 3:
            normalizer = dict(_fields(value))
    vocabulary.charsmap = base64.b64encode(normalizer.get(2, b"")).decode("ascii")
    vocabulary.add_dummy_prefix = bool(normalizer.get(3, 1))
    vocabulary.remove_extra_whitespaces = bool(normalizer.get(4, 1))
    vocabulary.escape_whitespaces = bool(normalizer.get(5, 1))
    if 44 in trainer:
        vocabulary.unknown_surface = trainer[44].decode("utf-8")
    names = {"unk": (45, b"<unk>"), "bos": (46, b"<s>"), "eos": (47, b"</s>"), "pad": (48, b"<pad>")}
    ids = {p: i for i, p in enumerate(vocabulary.pieces)}
    for role, (tag, default) in names.items():
        if (i := ids.get(trainer.get(tag, default).decode("utf-8"))) is not None:
            vocabulary.roles[role] = i
    return vocabulary, trainer


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (tag, value) for the fields of a message: an int for a varint, bytes for everything else."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire = key & 7
        if wire == 0:
            value, position = _varint(data, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
            value, position = data[position : position + length], position + length
        elif wire == 2:
            length, position = _varint(data, position)
            value, position = data[position : position + length], position + length
        else:
            raise ValueError(f"wire type {wire}")
        if position > len(data):
            raise ValueError("the file ends inside a field")
        yield key >> 3, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first; the high bit says that more follow."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position += 1
        if byte < 128:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def read_tokenizer_bin(path: str | Path) -> SentencePieceVocabulary:
    """Read llama2.c's `tokenizer.bin`: the longest length, then score, length and bytes of each token up to the end.

    Ids 0, 1 and 2 are <unk>, <s> and </s>; bytes are called <0x00> to <0xFF>; spaces stand for themselves.

    Raises:
        UserError: the file cannot be read or is damaged.
    """
    data = read_bytes(path, VOCABULARY_BYTES)
    vocabulary = SentencePieceVocabulary([], [], [], roles={"unk": 0, "bos": 1, "eos": 2})
    try:
        (longest,) = struct.unpack_from("<i", data)
        position = 4
        while position < len(data):
            score, length = struct.unpack_from("<fi", data, position)
            position += 8
            if not 0 <= length <= longest or position + length > len(data):
                raise ValueError("a token is longer than it can be")
            vocabulary.pieces.append(data[position : position + length].decode("utf-8").replace(" ", SPACE))
            vocabulary.scores.append(score)
            position += length
        if len(vocabulary.pieces) < 3:
            raise ValueError("fewer than three tokens")
    except (ValueError, struct.error):
        raise UserError(f"{path} is damaged, or not a tokenizer.bin of llama2.c") from None
    vocabulary.types = [_type_by_name(i, p) for i, p in enumerate(vocabulary.pieces)]
    vocabulary.pieces[:3] = ["<unk>", "<s>", "</s>"]
    return vocabulary


def _type_by_name(i: int, piece: str) -> int:
    if i < 3:
        return (kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL)[i]
    return kinds.BYTE if is_byte(piece) else kinds.NORMAL
