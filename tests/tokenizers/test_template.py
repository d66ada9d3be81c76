"""The special tokens around a text: post-processors of every kind, and what they become in a file of ours."""

import json

import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.tokenizers import ByteBPE, WordPiece, encode_text
from minigpt.tokenizers.byte_alphabet import BYTE_TO_CHAR
from minigpt.tokenizers.template import (
    NOTHING,
    begin_end_template,
    bert_template,
    read_template,
    roberta_template,
    template_to_json,
)

A, B = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def special(name, type_id=0):
    return {"SpecialToken": {"id": name, "type_id": type_id}}


def processing(single, pair, **ids):
    tokens = {name: {"id": name, "ids": list(i), "tokens": [name] * len(i)} for name, i in ids.items()}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


def letters(**options):
    """A byte-level BPE without merges, and three special tokens."""
    vocab = {c: b for b, c in BYTE_TO_CHAR.items()}
    return ByteBPE(vocab, [], special_tokens={"<s>": 256, "</s>": 257, "<mask>": 258}, **options)


BOS = processing([special("S"), A], [special("S"), A, special("S", 1), B], S=[256])
TABLE = {  # the post-processor, then ids and types of "a", and of "a" and "b" (tokenizers 0.23.3)
    "none": (None, [97], [97, 98], [0, 1]),
    "byte level": (BYTE_LEVEL, [97], [97, 98], [0, 1]),
    "empty sequence": ({"type": "Sequence", "processors": []}, [97], [97, 98], [0, 1]),
    "bert": (
        {"type": "BertProcessing", "sep": ["</s>", 257], "cls": ["<s>", 256]},
        *([256, 97, 257], [256, 97, 257, 98, 257], [0, 0, 0, 1, 1]),
    ),
    "roberta": (
        {**BYTE_LEVEL, "type": "RobertaProcessing", "sep": ["</s>", 257], "cls": ["<s>", 256]},
        *([256, 97, 257], [256, 97, 257, 257, 98, 257], [0] * 6),
    ),
    "llama": (BOS, [256, 97], [256, 97, 256, 98], [0, 0, 1, 1]),
    "llama 3": (
        {"type": "Sequence", "processors": [BYTE_LEVEL, BOS]},
        *([256, 97], [256, 97, 256, 98], [0, 0, 1, 1]),
    ),
    "several ids, twice the text": (
        processing([A, special("Z", 7), A], [B, special("Z"), A], Z=[256, 257]),
        *([97, 256, 257, 97], [98, 256, 257, 97], [1, 0, 0, 0]),
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_post_processors(name, tmp_path):
    data, single, pair, types = TABLE[name]
    tokenizer = letters()
    tokenizer.template = read_template(data, tokenizer.vocab_size)
    for _ in range(2):
        assert encode_text(tokenizer, "a").ids == single
        found = encode_text(tokenizer, "a", "b")
        assert found.ids == pair and found.type_ids == types and tokenizer.encode("a") == [97]
        tokenizer = tokenizers.load(tokenizers.save(tokenizer, tmp_path))


def test_offsets_and_parts():
    tokenizer = letters()
    tokenizer.template = bert_template(256, 257)
    found = encode_text(tokenizer, "a</s>b", "c")
    assert found.ids == [256, 97, 257, 98, 257, 99, 257] and found.type_ids == [0, 0, 0, 0, 0, 1, 1]
    assert found.offsets == [(0, 0), (0, 1), (1, 5), (5, 6), (0, 0), (0, 1), (0, 0)]
    assert found.parts == [None, 0, 0, 0, None, 1, None]


def test_names_in_a_text_are_tokens_or_plain(tmp_path):
    """As transformers reads them, and as llama2.c does; the difference is kept in the file."""
    tokenizer = letters()
    tokenizer.template = begin_end_template(256, None)
    assert encode_text(tokenizer, "<s>a").ids == [256, 256, 97]
    tokenizer.template = begin_end_template(256, None, plain=True)
    assert encode_text(tokenizer, "<s>").ids == [256, *b"<s>"]
    again = tokenizers.load(tokenizers.save(tokenizer, tmp_path))
    assert again.template == tokenizer.template and encode_text(again, "<s>").ids == [256, *b"<s>"]


def test_files_of_before_say_what_they_said():
    """The tokenizers of existing runs have the fingerprints that their checkpoints remember."""
    assert letters().to_json()["post_processor"] == {**BYTE_LEVEL, "trim_offsets": False}
    special_tokens = {name: i for i, name in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))}
    words = WordPiece({**special_tokens, "a": 5}, special_tokens=special_tokens)
    expected = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    assert words.template == bert_template(2, 3) and words.to_json()["post_processor"] == expected
    assert WordPiece({"[UNK]": 0, "a": 1}).to_json()["post_processor"] is None
    words.template = NOTHING
    assert template_to_json(words.template, words.token) is None
    words.template = roberta_template(2, 3)
    assert read_template(template_to_json(words.template, words.token), 6) == words.template


def test_what_cannot_be_read(tmp_path):
    def said(data):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps({**letters().to_json(), "post_processor": data}))
        with pytest.raises(UserError) as error:
            tokenizers.load(path)
        return str(error.value)

    assert "adds the id 300, which its vocabulary lacks" in said(processing([special("S"), A], [A, B], S=[300]))
    assert "adds special tokens twice" in said({"type": "Sequence", "processors": [BOS, BOS]})
    assert "of the type Strange" in said({"type": "Strange"})
    assert "asks for a second text" in said(processing([B], [A, B]))
    assert "neither a text nor a special token" in said(processing([{"Word": {"id": "A", "type_id": 0}}], [A, B]))
    assert "has -1 where a token's id should be" in said({"type": "BertProcessing", "sep": ["", -1], "cls": ["", 1]})
    for damaged in ({}, [], {"type": "TemplateProcessing"}, processing([special("S")], []), {"type": "Sequence"}):
        assert "damaged" in said(damaged)
