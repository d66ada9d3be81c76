"""A text in pieces has the ids of the whole text, for every kind of tokenizer and wherever the pieces end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt import tokenizers
from minigpt.data import encoded, text
from minigpt.tokenizers import BertWords, GPTWords, SentencePieceBPE, WordPiece
from minigpt.tokenizers.patterns import PATTERNS
from minigpt.tokenizers.sentencepiece_vocabulary import USER_DEFINED, SentencePieceVocabulary
from minigpt.tokenizers.streaming import encode_part, regroup

from ..tiers import examples
from .texts import SAMPLE, TEXTS, little_llama

WIDE = SAMPLE + "".join(map(chr, range(32, 127))) + "ΣσςÀ\u0301日本▁"


def llama(pieces=(), **options) -> SentencePieceBPE:
    v = little_llama()
    v.pieces, v.scores, v.types = [*v.pieces, *pieces], [*v.scores, *[0.0] * len(pieces)], list(v.types)
    v.types += [USER_DEFINED] * len(pieces)
    for name, value in options.items():
        setattr(v, name, value)
    return SentencePieceBPE(v)


def without_bytes() -> SentencePieceBPE:
    v = little_llama()
    keep = [i for i, p in enumerate(v.pieces) if not p.startswith("<0x")]
    parts = ([values[i] for i in keep] for values in (v.pieces, v.scores, v.types))
    return SentencePieceBPE(SentencePieceVocabulary(*parts, roles=v.roles))


PIECES = tokenizers.train("wordpiece", iter([WIDE.lower()]), 240)
KINDS = {
    "char": tokenizers.CharTokenizer(map(chr, range(0xD800))),
    "byte": tokenizers.ByteTokenizer(),
    **{f"bpe {name}": tokenizers.train("bpe", iter([WIDE * 2]), 400, pattern=name) for name in PATTERNS},
    "bpe, a pattern": tokenizers.train("bpe", iter([WIDE]), 300, pattern=r"\w+(?=x)|\s{2,}(?=a)|[^é]"),
    "wordpiece": PIECES,
    "wordpiece cased": WordPiece(PIECES.vocab, words=BertWords(lower=False, rule="google", clean=False)),
    "wordpiece google": WordPiece(PIECES.vocab, words=BertWords(rule="google")),
    "gpt": tokenizers.train("gpt", iter([WIDE]), 300),
    "gpt hf": tokenizers.train("gpt", iter([WIDE]), 300, words=GPTWords("hf")),
    "llama": llama(),
    "llama, no prefix": llama(add_dummy_prefix=False),
    "llama, spaces removed": llama(remove_extra_whitespaces=True),
    "llama, own pieces": llama(["<foo>", "▁▁▁", "▁<s>"]),
    "llama, across words": llama(["t▁c"]),
    "llama, no bytes": without_bytes(),
}
NEVER_CUT = ("bpe, a pattern", "llama, across words")
EDGES = st.text(" \n\r\t/!'ab1É\u0301\x85\x1c\u2028Σ▁日", max_size=16)


def check(whole: str, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(whole[at : at + size])
        at += size
    pieces.append(whole[at:])
    for name, tokenizer in (KINDS | {"char": tokenizers.CharTokenizer(whole)}).items():
        ids = [i for part in regroup(pieces, tokenizer.last_cut) for i in encode_part(tokenizer, part)]
        assert ids == tokenizer.encode(whole), name
        assert "".join(part.text for part in regroup(pieces, tokenizer.last_cut)) == whole


@settings(max_examples=examples(50), deadline=None)
@given(st.one_of(EDGES, TEXTS), st.lists(st.integers(0, 6), max_size=40))
def test_pieces_of_any_sizes(whole, sizes):
    check(whole, sizes)


@settings(max_examples=examples(30), deadline=None)
@given(EDGES)
def test_every_piece_one_character(whole):
    check(whole, [1] * len(whole))


@pytest.mark.exhaustive
def test_every_piece_one_character_of_many_texts():
    @settings(max_examples=examples(20_000), deadline=None, database=None)
    @given(st.one_of(EDGES, TEXTS))
    def check_all(whole):
        check(whole, [1] * len(whole))

    check_all()


@pytest.mark.parametrize("name", KINDS)
def test_ordinary_text_is_cut_often(name):
    """So that memory stays bounded: the longest part of a text in pieces of a character is a word or two."""
    parts = [len(part.text) for part in regroup(SAMPLE, KINDS[name].last_cut)]
    assert max(parts) == len(SAMPLE) if name in NEVER_CUT else max(parts) < 40 < len(parts)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [1, 3, 17, 64])
def test_files_have_the_ids_of_their_texts(name, size, tmp_path, monkeypatch):
    """Several files, CRLF, marks, a special token's name, no line break at the end: ids, and the text again."""
    tokenizer = KINDS[name]
    texts = ["one two\r\n e\u0301t\u00e9\r\n\r\n  <|endoftext|> 日本\u0301 x", "", " \n the cat\x0c\x85\u2028 end  "]
    files = [tmp_path / f"{n}.txt" for n in range(len(texts))]
    for file, content in zip(files, texts, strict=True):
        file.write_bytes(content.encode())
    monkeypatch.setattr(text, "_PIECE", size)
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    ids = encoded.encode_files(files, tokenizer, text.fingerprint(files)).ids.tolist()
    assert ids == [i for content in texts for i in tokenizer.encode(content)]
    if name in ("char", "byte", "bpe gpt2", "bpe o200k", "llama, no prefix"):
        assert tokenizer.decode(ids) == "".join(texts)


def test_gpt_is_trained_on_the_text_whatever_its_pieces():
    whole = tokenizers.train("gpt", iter([SAMPLE]), 200)
    for size in (1, 7, 50):
        pieces = (SAMPLE[i : i + size] for i in range(0, len(SAMPLE), size))
        assert tokenizers.train("gpt", pieces, 200).to_json() == whole.to_json()
