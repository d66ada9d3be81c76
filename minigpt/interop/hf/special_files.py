"""Which special tokens AutoTokenizer adds to a text, by what lies in a folder.

A tokenizer.json says it itself, unless the folder is opened by a class that sets its own template (BERT's, RoBERTa's,
which is BART's too). Where there are only the older files, tokenizer_config.json's add_bos_token and add_eos_token do;
beside a tokenizer.json transformers ignores the two. Measured with transformers 5.23.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minigpt.interop.keys import read_json
from minigpt.tokenizers import TOKENIZER_FILE, Tokenizer
from minigpt.tokenizers.template import Template, begin_end_template, bert_template, roberta_template

# The class that transformers takes for a kind of model where no file names one, and how our classes are called.
BY_MODEL = {
    **{"bert": "BertTokenizer", "bart": "RobertaTokenizer", "gpt2": "GPT2Tokenizer", "gpt_neo": "GPT2Tokenizer"},
    **{"distilbert": "BertTokenizer", "roberta": "RobertaTokenizer"},
}
ALIASES = {"BartTokenizer": "RobertaTokenizer", "DistilBertTokenizer": "BertTokenizer"}
DEFAULTS = {
    "BertTokenizer": {"cls_token": "[CLS]", "sep_token": "[SEP]"},
    "RobertaTokenizer": {"cls_token": "<s>", "sep_token": "</s>"},
    "GPT2Tokenizer": dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
}
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
OTHERWISE = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def folder_template(folder: Path, tokenizer: Tokenizer, model_type: str) -> Template:
    """The template of a folder's tokenizer, whose own is what its tokenizer.json says, if it has one.

    Raises:
        UserError: a file is damaged.
    """
    settings, name = _settings(folder, model_type)
    roles = DEFAULTS.get(name, OTHERWISE) | settings
    ids = {role: _id(tokenizer, roles.get(role)) for role in ("bos_token", "eos_token", "cls_token", "sep_token")}
    makers = {"BertTokenizer": bert_template, "RobertaTokenizer": roberta_template}
    if name in makers and None not in (ids["cls_token"], ids["sep_token"]):
        return makers[name](ids["cls_token"], ids["sep_token"])
    if (folder / TOKENIZER_FILE).exists():
        return tokenizer.template
    added = [ids[f"{role}_token"] if settings.get(f"add_{role}_token") is True else None for role in ("bos", "eos")]
    return begin_end_template(*added)


def token_names(folder: Path) -> dict[str, str]:
    """The special tokens by their roles ("bos_token"), as the folder's files or the class of its tokenizer name them.

    Raises:
        UserError: a file is damaged.
    """
    settings, name = _settings(folder)
    roles = DEFAULTS.get(name, OTHERWISE if name == "LlamaTokenizer" else {}) | settings
    found = {role: x.get("content") if isinstance(x, dict) else x for role, x in roles.items() if role in ROLES}
    return {role: name for role, name in found.items() if isinstance(name, str)}


def _settings(folder: Path, model_type: str | None = None) -> tuple[dict[str, Any], str]:
    """What the files say of the tokenizer, and what transformers would call its class.

    Args:
        model_type: None takes what config.json says.
    """
    settings = _read(folder / "special_tokens_map.json") | _read(folder / "tokenizer_config.json")
    config = _read(folder / "config.json")
    name = settings.get("tokenizer_class") or config.get("tokenizer_class")
    if not isinstance(name, str):
        name = BY_MODEL.get(model_type or str(config.get("model_type")), "")
    name = name.removesuffix("Fast")
    return settings, ALIASES.get(name, name)


def _read(path: Path) -> dict[str, Any]:
    """What a file says; null is as good as absent."""
    values = read_json(path) if path.exists() else {}
    return {name: value for name, value in values.items() if value is not None}


def _id(tokenizer: Tokenizer, token: Any) -> int | None:
    """The id of a special token, given as a text or as an object with its `content`."""
    name = token.get("content") if isinstance(token, dict) else token
    return tokenizer.special_tokens.get(name) if isinstance(name, str) else None
