"""The parts of Hugging Face's tokenizer.json, for what tokenizers write: `tokenizers.Tokenizer.from_file` opens it.

What that format cannot say (which rule a normalizer follows, scores) stands under the key "minigpt" of the model,
where other readers skip it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from minigpt.tokenizers.base import Tokenizer
from minigpt.tokenizers.special import AddedToken
from minigpt.tokenizers.template import template_to_json


def document(
    tokenizer: Tokenizer,
    model: dict,
    *,
    normalizer: dict | None = None,
    pre_tokenizer: dict | None = None,
    post_processor: dict | None = None,
    decoder: dict | None = None,
) -> dict:
    """A whole tokenizer.json around `model`; `post_processor` is that of a tokenizer whose template adds nothing."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(tokenizer.special.tokens.values()),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": template_to_json(tokenizer.template, tokenizer.token) or post_processor,
        "decoder": decoder,
        "model": model,
    }


def added_tokens(tokens: Iterable[AddedToken]) -> list[dict]:
    """Special tokens, by id."""
    return [dataclasses.asdict(token) for token in sorted(tokens, key=lambda token: token.id)]


def bpe_model(vocab: dict[str, int], merges: list[tuple[str, str]], **options) -> dict:
    """The model part of a BPE tokenizer; `options` replace the defaults."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        **options,
        "vocab": vocab,
        "merges": [list(m) for m in merges],
    }


def byte_level(*, use_regex: bool) -> dict:
    """The pre-tokenizer that goes over to bytes (and cuts by GPT-2's pattern first), and the way back."""
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": use_regex}


def split(pattern: str, behavior: str, invert: bool = False) -> dict:
    """A pre-tokenizer that cuts at a regular expression."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def replace(pattern: dict, content: str) -> dict:
    """A normalizer or decoder that puts `content` in the place of a pattern."""
    return {"type": "Replace", "pattern": pattern, "content": content}
