"""The tokenizer that a GGUF file carries: byte-level BPE ("gpt2") or SentencePiece's BPE ("llama").

How byte-level BPE cuts a text into words the file says by a name alone (`tokenizer.ggml.pre`), which stands for
patterns in llama.cpp's source. A name that is not known here is refused: a wrong pattern gives wrong ids, silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigpt.core.errors import UserError
from minigpt.interop.gguf.header import Header
from minigpt.tokenizers import Tokenizer
from minigpt.tokenizers.formats.hf_read import from_hf
from minigpt.tokenizers.json_parts import byte_level, split
from minigpt.tokenizers.patterns import LLAMA3_PATTERN
from minigpt.tokenizers.sentencepiece import from_vocabulary
from minigpt.tokenizers.sentencepiece_vocabulary import CONTROL, USER_DEFINED, SentencePieceVocabulary
from minigpt.tokenizers.template import begin_end_template

QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")  # digit by digit
_GPT2_STEPS = [byte_level(use_regex=True)]
_DIGITS = [{"type": "Digits", "individual_digits": True}]


def _by_pattern(pattern: str) -> list[dict[str, Any]]:
    """Words by a pattern of their own, then bytes."""
    return [split(pattern, "Isolated"), byte_level(use_regex=False)]


# What each name stands for, as the steps of a tokenizer.json.
CUTS = {
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion"), _GPT2_STEPS),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), _DIGITS + _GPT2_STEPS),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3"), _by_pattern(LLAMA3_PATTERN)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), _by_pattern(QWEN2_PATTERN)),
}
WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3")  # a word that is a token is taken whole, without merges
ROLES = {"bos": "bos_token_id", "eos": "eos_token_id", "pad": "padding_token_id", "unk": "unknown_token_id"}


def read_tokenizer(header: Header) -> Tokenizer | None:
    """The tokenizer, with what stands around a text; None if the file has none.

    Raises:
        UserError: it is of a kind that we do not have, or damaged.
    """
    values = {k.removeprefix("tokenizer.ggml."): v for k, v in header.metadata.items() if k.startswith("tokenizer.")}
    kind = values.get("model", "none")
    if kind in ("none", "no_vocab"):
        return None
    if kind not in ("gpt2", "llama"):
        raise UserError(f"{header.path}: tokenizer.ggml.model is {kind!r}; read are 'gpt2' and 'llama'")
    try:
        tokenizer = _byte_bpe(header, values) if kind == "gpt2" else _sentencepiece(values)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{header.path}: its tokenizer is damaged: {error}") from None
    adds_bos = values.get("add_bos_token", kind == "llama" or values.get("pre") in WHOLE_WORDS)
    ids = read_ids(header)
    bos = ids.get("bos_token_id") if adds_bos else None
    tokenizer.template = begin_end_template(bos, ids.get("eos_token_id") if values.get("add_eos_token") else None)
    return tokenizer


def read_ids(header: Header) -> dict[str, Any]:
    """The ids of the tokens that begin, end and pad a text, by Hugging Face's names."""
    found = {role: header.metadata.get(f"tokenizer.ggml.{name}") for role, name in ROLES.items()}
    return {f"{role}_token_id": i for role, i in found.items() if type(i) is int and role != "unk"}


def _byte_bpe(header: Header, values: Mapping[str, Any]) -> Tokenizer:
    pre, tokens, types = values.get("pre", "default"), values["tokens"], values.get("token_type", [])
    if pre not in CUTS:
        raise UserError(
            f"{header.path}: tokenizer.ggml.pre is {pre!r}, which may cut text in any way; known are {', '.join(CUTS)}"
        )
    added = [
        {"id": i, "content": tokens[i], "special": kind == CONTROL, "normalized": False}
        for i, kind in enumerate(types)
        if kind in (CONTROL, USER_DEFINED)
    ]
    data = {
        "added_tokens": [dict.fromkeys(("single_word", "lstrip", "rstrip"), False) | token for token in added],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": CUTS[pre]},
        "decoder": {"type": "ByteLevel"},
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": values["merges"],
            "ignore_merges": pre in WHOLE_WORDS,
        },
    }
    return from_hf(data)


def _sentencepiece(values: Mapping[str, Any]) -> Tokenizer:
    vocabulary = SentencePieceVocabulary(
        values["tokens"],
        values["scores"],
        values["token_type"],
        add_dummy_prefix=values.get("add_space_prefix", True),
        remove_extra_whitespaces=values.get("remove_extra_whitespaces", False),
        roles={role: values[name] for role, name in ROLES.items() if name in values},
    )
    return from_vocabulary(vocabulary)
