"""The parts of Hugging Face's tokenizer.json, for what tokenizers write: `tokenizers.Tokenizer.from_file` opens it.

What that format cannot say (which rule a normalizer follows, scores) stands under the key "minigpt" of the model,
where other readers skip it.
"""

from __future__ import annotations

from minigpt.tokenizers.special import SpecialTokens


def document(
    model: dict,
    special: SpecialTokens,
    *,
    normalizer=None,
    pre_tokenizer=None,
    post_processor=None,
    decoder=None,
) -> dict:
    """A whole tokenizer.json around `model`."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(special),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


def added_tokens(special: SpecialTokens) -> list[dict]:
    """The special tokens, by id."""
    return [
        {
            "id": i,
            "content": name,
            "single_word": name in special.single_word,
            "lstrip": name in special.absorb_left,
            "rstrip": name in special.absorb_right,
            "normalized": False,
            "special": name not in special.always,
        }
        for name, i in sorted(special.ids.items(), key=lambda item: item[1])
    ]


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


def split(pattern: str, behavior: str, invert: bool = False) -> dict:
    """A pre-tokenizer that cuts at a regular expression."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def replace(pattern: dict, content: str) -> dict:
    """A normalizer or decoder that puts `content` in the place of a pattern."""
    return {"type": "Replace", "pattern": pattern, "content": content}
