"""Where pipelines cut around every character there is: as Hugging Face's tokenizers 0.23 do."""

import json
import string
import unicodedata

import pytest
import tokenizers as hf

from minigpt.tokenizers.formats.hf_read import from_hf
from minigpt.tokenizers.pipeline.cutting import cut_all
from minigpt.tokenizers.pipeline.stretch import Stretch

from .test_pipeline_parity import CUTS, document

pytestmark = pytest.mark.parity


def characters() -> list[str]:
    """Every character that this edition of Unicode has assigned."""
    return [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) != "Cn"]


@pytest.mark.parametrize("cut", [c for c in CUTS if c["type"] != "FixedLength"], ids=str)
def test_cuts_between_all_characters(cut):
    """Where a character stands between letters; differences are those of two editions of Unicode."""
    theirs = hf.Tokenizer.from_str(json.dumps(document("bpe", pre_tokenizer=cut))).pre_tokenizer
    steps = from_hf(document("bpe", pre_tokenizer=cut)).cutters
    different = [
        c
        for c in characters()
        if [w for w, _ in theirs.pre_tokenize_str(f"a{c}b")] != [s.text for s in cut_all(steps, Stretch(f"a{c}b"))]
    ]
    assert len(different) <= 110 and not set(different) & set(string.printable)
    assert {unicodedata.category(c)[0] for c in different} <= {"P", "S", "M"}
