"""Characters and bytes, which our own files list more simply, in the tokenizer.json that other programs read."""

from __future__ import annotations

from minigpt.tokenizers.byte import ByteTokenizer
from minigpt.tokenizers.byte_alphabet import BYTE_TO_CHAR
from minigpt.tokenizers.char import CharTokenizer
from minigpt.tokenizers.json_parts import bpe_model, document, split


def char_to_hf(tokenizer: CharTokenizer) -> dict:
    """Characters: a word for each, cut out one by one; none for unknown ones."""
    vocab = {c: i for i, c in enumerate(tokenizer.characters)}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>", "minigpt": tokenizer.to_json()}
    every_character = split(r"[\s\S]", "Isolated")
    return document(model, tokenizer.special, pre_tokenizer=every_character, decoder={"type": "Fuse"})


def byte_to_hf(tokenizer: ByteTokenizer) -> dict:
    """Bytes: a byte-level BPE without merges, which names the bytes by GPT-2's characters for them."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    vocab = {c: b for b, c in BYTE_TO_CHAR.items()}
    model = bpe_model(vocab, [], minigpt=tokenizer.to_json())
    return document(model, tokenizer.special, pre_tokenizer=byte_level, decoder=dict(byte_level))
