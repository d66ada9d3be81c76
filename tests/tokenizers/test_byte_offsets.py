"""Every token's own bytes of the text, counted by hand, also where tokens are not what the text says."""

import pytest
from hypothesis import given, settings

from minigpt.tokenizers import WordPiece
from minigpt.tokenizers.byte_offsets import byte_offsets
from minigpt.tokenizers.formats.hf_read import from_hf

from ..tiers import examples
from .test_pipeline import BYTE_LEVEL, PREFIXES, bpe, byte_bpe
from .test_streaming import KINDS, llama
from .texts import TEXTS

WORDS = WordPiece({"[UNK]": 0, "the": 1, "cat": 2, "##s": 3, "cafe": 4})
LIGATURES = from_hf(bpe(model={"vocab": {"<unk>": 0, "f": 1, "i": 2}, "merges": []}, normalizer={"type": "NFKC"}))
TRIMMED = byte_bpe([BYTE_LEVEL]) | {"post_processor": {"type": "ByteLevel", "trim_offsets": True}}
BY_HAND = [
    (WORDS, " The\r\ncats \u2028 ca\u0301fe ☃ x\n", [(1, 4), (6, 9), (9, 10), (15, 21), (22, 25), (26, 27)]),
    (KINDS["byte"], "é☃", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
    (llama(), "the é", [(0, 3), (3, 4), (4, 5), (5, 6)]),  # ▁the ▁ <0xC3> <0xA9>
    (llama(), "é", [(0, 0), (0, 1), (1, 2)]),  # ▁ <0xC3> <0xA9>
    (llama(remove_extra_whitespaces=True), "  the   cat ", [(2, 5), (5, 11)]),  # ▁the ▁cat
    (KINDS["llama, no bytes"], "☃☃ the", [(0, 0), (0, 6), (6, 10)]),  # ▁ <unk> ▁the
    (LIGATURES, "iﬁf", [(0, 1), (1, 1), (1, 4), (4, 5)]),  # i f i f: what a character became is the last one's
    (from_hf(bpe(**PREFIXES["first"])), "éa", [(0, 0), (0, 1), (1, 2), (2, 3)]),  # ▁ <0xC3> <0xA9> a
    (from_hf(TRIMMED), " a é", [(0, 2), (2, 3), (3, 5)]),  # Ġa Ġ Ã©: white space is text
]


@pytest.mark.parametrize("n", range(len(BY_HAND)))
def test_by_hand(n):
    tokenizer, text, expected = BY_HAND[n]
    assert byte_offsets(tokenizer, text) == expected


def check(text):
    for name, tokenizer in KINDS.items():
        if name == "char" and any(c not in tokenizer.characters for c in text):
            continue
        spans, ids, data = byte_offsets(tokenizer, text), tokenizer.encode(text), text.encode()
        assert len(spans) == len(ids)
        edges = [edge for span in spans for edge in span]
        assert edges == sorted(edges) and (not edges or 0 <= edges[0] <= edges[-1] <= len(data)), name
        if name == "byte" or name.startswith("bpe"):
            assert [len(data[a:b]) for a, b in spans] == [tokenizer.byte_count([i]) for i in ids], name
            assert not spans or spans[-1][1] == len(data)


@settings(max_examples=examples(10), deadline=None)
@given(TEXTS)
def test_spans_are_in_order_and_apart(text):
    check(text)


@pytest.mark.slow("test_spans_are_in_order_and_apart: the same with fewer texts")
def test_spans_of_many_texts():
    settings(max_examples=examples(1000), deadline=None, database=None)(given(TEXTS)(check))()
