"""What a SentencePiece model says: its pieces with their scores and types, and how a text is prepared."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # the types of a piece
SPACE = "▁"
BPE, UNIGRAM = "bpe", "unigram"  # the kinds of model that can be read


@dataclass
class SentencePieceVocabulary:
    """What the files say: the pieces by id, with scores and types, and how text is prepared."""

    pieces: list[str]
    scores: list[float]
    types: list[int]
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = False
    unknown_surface: str = " ⁇ "
    roles: dict[str, int] = field(default_factory=dict)  # "unk", "bos", "eos", "pad" -> id
    model: str = BPE
    escape_whitespaces: bool = True
    charsmap: str = ""  # the precompiled map of characters (`charsmap`), in base64


def check_vocabulary(vocabulary: SentencePieceVocabulary) -> None:
    """Raise ValueError if a part of the vocabulary, which may come from anyone's file, cannot be right."""
    v, right = vocabulary, SentencePieceVocabulary([], [], [])
    fit = all(isinstance(getattr(v, f.name), type(getattr(right, f.name))) for f in fields(v))
    if not fit or v.model not in (BPE, UNIGRAM):
        raise ValueError("a part of its SentencePiece vocabulary has the wrong form")
    if not len(v.pieces) == len(v.scores) == len(v.types):
        raise ValueError("its SentencePiece pieces, scores and types are not equally many")
    for i, (piece, score, kind) in enumerate(zip(v.pieces, v.scores, v.types, strict=True)):
        if not isinstance(piece, str) or type(score) not in (int, float) or not abs(score) < 3e38:
            raise ValueError(f"its SentencePiece piece {i} has no text or no score")
        if type(kind) is not int or not NORMAL <= kind <= BYTE:
            raise ValueError(f"its SentencePiece piece {i} is of a type that does not exist")
        if kind == BYTE and not is_byte(piece):
            raise ValueError(f"its SentencePiece piece {i} is a byte and not called one")
    if not all(type(i) is int and 0 <= i < len(v.pieces) for i in v.roles.values()):
        raise ValueError("its SentencePiece roles are not ids")


def is_byte(piece: str) -> bool:
    """Whether a piece is called <0x00> to <0xFF>."""
    return len(piece) == 6 and piece[:3] == "<0x" and piece[5] == ">" and set(piece[3:5]) <= _HEX


_HEX = frozenset("0123456789ABCDEFabcdef")
