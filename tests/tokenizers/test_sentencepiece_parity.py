"""SentencePiece models of both kinds, with every normalization: ids, offsets and texts of sentencepiece 0.2."""

import functools
import io
import json
import random

import pytest
import sentencepiece as spm
import tokenizers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt import tokenizers as ours
from minigpt.tokenizers.formats.hf_read import from_hf

from .test_pipeline_parity import ANY, BLANKS, LETTERS, PLAIN, TEXTS, WORDS, check

pytestmark = pytest.mark.parity

NAMES = ["<s>", "</s>", "<foo>", "<f", "the cat", "ﬁ", "<unk>", " x"]
MANY = st.one_of(st.lists(st.sampled_from([*BLANKS, *LETTERS, *NAMES])).map("".join), ANY)
EVERYTHING = {"byte_fallback": True, "remove_extra_whitespaces": False}
MODELS = {
    "defaults": {},
    "T5": {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "byte_fallback": True},
    "as it is": {"normalization_rule_name": "identity", **EVERYTHING},
    "nfkc": {"normalization_rule_name": "nfkc", **EVERYTHING},
    "nfkc_cf": {"normalization_rule_name": "nfkc_cf"},
    "nmt_nfkc_cf": {"normalization_rule_name": "nmt_nfkc_cf", "add_dummy_prefix": False, "byte_fallback": True},
    "no prefix": {"add_dummy_prefix": False, "remove_extra_whitespaces": False},
    "symbols": {"user_defined_symbols": ["<foo>", "<f", "the cat", "ﬁ", "é"], "control_symbols": ["<ctl>"]},
    "symbols as they are": {"user_defined_symbols": ["<foo>", "<f", " x"], "normalization_rule_name": "identity"},
    "across words": {"split_by_whitespace": False, **EVERYTHING},
}


@functools.cache
def trained(kind: str, name: str) -> bytes:
    model = io.BytesIO()
    options = {"vocab_size": 420 if "byte_fallback" in MODELS[name] else 150, "hard_vocab_limit": False}
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS.split("\n")),
        model_writer=model,
        model_type=kind,
        minloglevel=2,
        character_coverage=0.99,
        **options,
        **MODELS[name],
    )
    return model.getvalue()


def both(kind: str, name: str, tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(trained(kind, name))
    return ours.load(path), spm.SentencePieceProcessor(model_proto=path.read_bytes())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_models(kind, name, tmp_path):
    tokenizer, theirs = both(kind, name, tmp_path)
    again = from_hf(json.loads(json.dumps(tokenizer.to_json())))

    @settings(PLAIN, max_examples=400)
    @given(MANY)
    def encoding(text):
        wanted = theirs.encode(text)
        ids, offsets = tokenizer.encode_with_offsets(text)
        assert ids == wanted == tokenizer.encode(text) == again.encode(text)
        for n, (i, ours_, (start, end)) in enumerate(zip(ids, offsets, spans_of(theirs, text), strict=True)):
            if i in tokenizer._bytes:
                continue
            assert ours_[0] == start
            assert ours_[1] == end or (n + 1 < len(ids) and end == offsets[n + 1][0] < ours_[1])  # a shared character
        assert tokenizer.decode(ids) == theirs.decode(ids)

    @settings(PLAIN, max_examples=200)
    @given(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    def decoding(ids):
        assert tokenizer.decode(ids) == theirs.decode(ids) == again.decode(ids)

    encoding()
    decoding()


def spans_of(theirs, text: str) -> list[tuple[int, int]]:
    return [tuple(span) for span in theirs.encode(text, return_type="offset_mapping")["offsets"]]


def test_rounding_decides_alike_behind_symbols(tmp_path):
    """ ". .." and ".. ." are as good up to rounding, and that depends on the score of every symbol before them."""
    tokenizer, theirs = both("unigram", "symbols", tmp_path)
    draw = random.Random(0)
    for _ in range(1000):
        text = "".join(draw.choices(["é", "<foo>", "<f", "the cat", "a", "h", "..."], k=draw.randint(1, 24)))
        assert tokenizer.encode(text) == theirs.encode(text), text


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_long_texts(kind, tmp_path):
    """Where 32-bit sums over the whole text decide between ways that are nearly as good."""
    tokenizer, theirs = both(kind, "defaults", tmp_path)
    text = WORDS * 30
    assert tokenizer.encode(text) == theirs.encode(text)


def test_the_map_of_characters_as_hugging_face_applies_it(tmp_path):
    charsmap = both("unigram", "defaults", tmp_path)[0].vocabulary.charsmap
    normalizer = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    for kind in ("bpe", "unigram"):
        from .test_pipeline_parity import document, metaspace

        options = {"byte_fallback": True}
        check(
            document(kind, normalizer=normalizer, pre_tokenizer=metaspace(), decoder=metaspace(), model=options), TEXTS
        )


@pytest.mark.parametrize("name", ["as it is", "T5"])
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_hugging_face_opens_what_we_write(kind, name, tmp_path):
    """With the same ids wherever that library's steps can say what SentencePiece does."""
    tokenizer, _ = both(kind, name, tmp_path)
    theirs = hf.Tokenizer.from_str(json.dumps(tokenizer.to_json()))
    for text in ("the cat", WORDS[:500].strip().replace("\n", " ").replace("  ", " "), "caf\u00e9 \u00bd", " \u65e5"):
        assert theirs.encode(text, add_special_tokens=False).ids == tokenizer.encode(text)
