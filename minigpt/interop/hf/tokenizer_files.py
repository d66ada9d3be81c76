"""The tokenizer of a Hugging Face folder: found among its files, and written so that AutoTokenizer opens it."""

from __future__ import annotations

import json
from pathlib import Path

from minigpt import tokenizers
from minigpt.core.files import write_atomically
from minigpt.interop.hf.special_files import folder_template
from minigpt.tokenizers import GPTBPE, Tokenizer
from minigpt.tokenizers.special import SpecialTokens

# What tokenizers call the tokens of each role, the likeliest name first.
ROLES = {
    "bos_token": ("<s>", "<|begin_of_text|>", "<|endoftext|>"),
    "eos_token": ("</s>", "<|end_of_text|>", "<|endoftext|>"),
    "unk_token": ("<unk>", "[UNK]"),
    "pad_token": ("<pad>", "[PAD]"),
    "sep_token": ("</s>", "[SEP]"),
    "cls_token": ("<s>", "[CLS]"),
    "mask_token": ("<mask>", "[MASK]"),
}


def read_tokenizer(folder: Path, vocab_size: int, model_type: str = "") -> Tokenizer | None:
    """The tokenizer of the folder, for a model with so many embeddings; None if none of its files is one.

    Args:
        model_type: of its config.json; "" where the folder is not Hugging Face's and nothing is added to a text.
    """
    if tokenizers.find_file(folder) is None:
        return None
    tokenizer = tokenizers.load(folder)
    if isinstance(tokenizer, GPTBPE):  # fine-tuning appends tokens, for which the model may have no embeddings yet
        tokenizer.special = SpecialTokens(t for t in tokenizer.special.tokens.values() if t.id < vocab_size)
        tokenizer.name_ids(tokenizer.vocab)
    if model_type:
        tokenizer.template = folder_template(folder, tokenizer, model_type)
    return tokenizer


def roles(tokenizer: Tokenizer | None) -> dict[str, str]:
    """The special tokens of the tokenizer by the names of their roles."""
    names = tokenizer.special_tokens if tokenizer else {}
    found = {role: next((name for name in known if name in names), None) for role, known in ROLES.items()}
    if "<mask>" not in names:  # only BART and its like begin and separate texts with the sentence's own tokens
        for role, name in (("cls_token", "<s>"), ("sep_token", "</s>")):
            found[role] = None if found[role] == name else found[role]
    return {role: name for role, name in found.items() if name is not None}


def special_ids(tokenizer: Tokenizer | None) -> dict[str, int | None]:
    """What a configuration says of the tokenizer: the ids that begin, end and pad a text, or null."""
    names = roles(tokenizer)
    ids = tokenizer.special_tokens if tokenizer else {}
    return {f"{role}_id": ids.get(names.get(role, "")) for role in ("bos_token", "eos_token", "pad_token")}


def write_tokenizer(folder: Path, tokenizer: Tokenizer, context: int) -> None:
    """tokenizer.json, and the files that tell AutoTokenizer what its special tokens are for."""
    names = roles(tokenizer)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        **names,
    }
    files = {"tokenizer.json": tokenizer.to_hf(), "tokenizer_config.json": settings, "special_tokens_map.json": names}
    for name, content in files.items():
        write_atomically(folder / name, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
