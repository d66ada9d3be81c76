"""What the tokenizer tests share: texts to try, where the published files lie, and a small vocabulary."""

import random
import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import strategies as st

from minigpt.tokenizers import ByteBPE
from minigpt.tokenizers.formats.tiktoken_files import write_ranks
from minigpt.tokenizers.sentencepiece_vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, SentencePieceVocabulary

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
CORPORA = ("tinyshakespeare", "tinystories", "wikitext2_valid", "botchan", "names", "bert_sample_text")

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
# Texts that are rich in what tokenizers trip over: white space of all kinds, contractions, marks, scripts.
PIECES = ["a", "the", " the", "don't", "I'LL", "'s", " ", "  ", "\n", "\r\n", "\t", "\x85", "\u3000", "\u2028", "\0"]
PIECES += [
    "\1",
    "12",
    "3",
    "é",
    "e\u0301",
    "日本",
    "🙂",
    "İ",
    "Σ",
    "ß",
    "…",
    "—",
    "!",
    "?!",
    "_",
    "##",
    "▁",
    "<s>",
    "\x1c",
]
TRICKY = st.lists(st.sampled_from(PIECES)).map("".join)
TEXTS = st.one_of(UNICODE, TRICKY)


@cache
def many_texts(count: int = 20_000) -> list[str]:
    """So many different texts, half of them of any characters, half of PIECES: the same ones each time. (Hypothesis,
    which could also make such a text smaller, takes longer to draw one than ten tokenizers to encode it.)
    """
    rng, ends = random.Random(0), (0x80, 0x250, 0x3100, 0x10000, 0x110000)
    texts: dict[str, None] = {}
    while len(texts) < count:
        codes = [rng.randrange(rng.choice(ends)) for _ in range(int(rng.expovariate(1 / 12)))]
        texts["".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000)] = None
        texts["".join(rng.choices(PIECES, k=int(rng.expovariate(1 / 8))))] = None
    return list(texts)[:count]


def random_joins(pieces: Sequence[str], count: int) -> list[str]:
    """So many texts of up to 20 of the pieces each, in any order, the same ones each time."""
    rng = random.Random(count)
    return ["".join(rng.choices(pieces, k=rng.randrange(20))) for _ in range(count)]


def differing(texts: Sequence[str], same: Callable[[str], bool], between: str = " ", at_once: int = 4096) -> list[str]:
    """The texts that are not encoded alike, found in joined texts: where one differs, its halves are tried.

    What is between the texts must keep them apart, so that the joined one has the tokens of each. Equal lists of
    tokens have equal tokens at each place, so a joined text that is encoded alike acquits all texts in it.
    """
    found = []
    for start in range(0, len(texts), at_once):
        some = texts[start : start + at_once]
        if not same(between.join(some)):
            found += differing(some, same, between, (len(some) + 1) // 2) if len(some) > 1 else some
    return found


def write_tiktoken(tokenizer: ByteBPE) -> str:
    """The .tiktoken text of a byte-level BPE (its special tokens and pattern are not part of that format)."""
    special = set(tokenizer.special.ids.values())
    return write_ranks({token: i for i, token in tokenizer.bytes_of_tokens().items() if i not in special})


def write_tokenizer_bin(vocabulary: SentencePieceVocabulary) -> bytes:
    """The bytes of a `tokenizer.bin`, as llama2.c's exporter writes it."""
    tokens = [p.replace("▁", " ").encode("utf-8") for p in vocabulary.pieces]
    for i in (vocabulary.roles[role] for role in ("bos", "eos")):
        tokens[i] = b"\n" + tokens[i] + b"\n"
    parts = [struct.pack("<i", max(map(len, tokens)))]
    for score, token in zip(vocabulary.scores, tokens, strict=True):
        parts += [struct.pack("<fi", score, len(token)), token]
    return b"".join(parts)


_ANIMALS, _WHO, _AGE = ("cat", "dog", "bird"), ("he", "she", "it", "who"), ("new", "old")
SAMPLE = "".join(
    f"The {_ANIMALS[i % 3]} said: \"{_WHO[i % 4]}'s {_ANIMALS[i % 3]} isn't {_AGE[i % 2]}…\" — {i * 37} times,  "
    f"and café n°{i}.\n\n\tSo it was.\r\n"
    for i in range(27)
)


def real_file(*parts: str) -> Path:
    """A file of the shared data; the test is skipped where the folder does not exist."""
    path = REAL.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the shared data file {path} is not there")
    return path


def corpus(name: str) -> str:
    return real_file("corpora", f"{name}.txt").read_bytes().decode("utf-8")


def little_llama() -> SentencePieceVocabulary:
    """A vocabulary laid out as Llama's: special pieces, bytes, learned pieces (best first), characters."""
    learned = ["▁t", "he", "▁the", "in", "▁c", "at", "▁cat", "▁▁", "ing"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *learned, *"▁thecatinsg"]
    pieces = list(dict.fromkeys(pieces))
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (len(pieces) - 259)]
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces) - 259)]
    return SentencePieceVocabulary(pieces, scores, types, roles={"unk": 0, "bos": 1, "eos": 2})
