"""Read the files that the original models were published with: vocabularies with merges, and vocab.txt.

Every reader names the file in its errors, which are one sentence each. tokenizer.json is read by `hf_read`,
SentencePiece's files by `sentencepiece_files`, .tiktoken by `tiktoken_files`. What a file does not say is taken from
what lies beside it or from the tokens themselves; a guess that the tokens contradict is refused, any other announced.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from pathlib import Path

from minigpt.core.errors import UserError
from minigpt.core.files import read_text
from minigpt.core.limits import TOKEN_ID, VOCABULARY_BYTES
from minigpt.core.reading import parse_json
from minigpt.tokenizers.added import check_utf8, is_id
from minigpt.tokenizers.base import Tokenizer
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.byte_alphabet import CHAR_TO_BYTE, GPT2_ORDER, from_mapped
from minigpt.tokenizers.byte_bpe import ByteBPE, made_by_training
from minigpt.tokenizers.formats.tiktoken_files import END_OF_TEXT
from minigpt.tokenizers.gpt_bpe import GPT_SPECIAL, GPTBPE, UNKNOWN
from minigpt.tokenizers.gpt_words import GPTWords
from minigpt.tokenizers.patterns import GPT2_PATTERN, contradicting, how_to_name, resolve_pattern
from minigpt.tokenizers.wordpiece import WordPiece

_HALVES = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(path: str | Path) -> dict:
    """The JSON object in a file.

    Raises:
        UserError: the file cannot be read, is not JSON, or holds something else than an object.
    """
    try:
        text = read_text(path, VOCABULARY_BYTES)
        data = parse_json(text)
        if _HALVES.search(text):  # of surrogate pairs, perhaps; tokenizers' own parser refuses them, too
            check_utf8(json.dumps(data, ensure_ascii=False))
    except ValueError as error:
        raise UserError(f"{path} is not a tokenizer file, or damaged: it is not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is not a tokenizer file: it holds a JSON {type(data).__name__}, not an object")
    return data


def read_vocab_json(path: str | Path) -> dict[str, int]:
    """encoder.json or vocab.json: one object, token string -> id."""
    data = read_json(path)
    if not data or not all(map(is_id, data.values())):
        raise UserError(f"{path} is not a vocabulary: it should map every token to its id, a number below {TOKEN_ID}")
    if len(set(data.values())) != len(data):
        raise UserError(f"{path} is damaged: two tokens have the same id")
    return data


def read_merges(path: str | Path) -> list[tuple[str, str]]:
    """vocab.bpe or merges.txt: a version line (if any), then two strings a line, earliest merge first."""
    lines = read_text(path, VOCABULARY_BYTES).split("\n")
    skip = 1 if lines[0].startswith("#version") else 0
    merges = []
    for number, line in enumerate(lines[skip:], start=skip + 1):
        line = line.removesuffix("\r")
        if not line:
            continue
        parts = line.split(" ")
        if len(parts) != 2 or not all(parts):
            raise UserError(f"{path} is damaged: line {number} should be two strings with a space between them")
        merges.append((parts[0], parts[1]))
    return merges


def _read_pair(vocab_path: str | Path, merges_path: str | Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary and merges, if the two files belong together."""
    vocab, merges = read_vocab_json(vocab_path), read_merges(merges_path)
    for token in (token for a, b in merges for token in (a, b, a + b)):
        if token not in vocab:
            raise UserError(f"{merges_path} does not fit {vocab_path}: it needs the token {token!r}")
    return vocab, merges


def read_gpt2(vocab_path: str | Path, merges_path: str | Path, pattern: str | None = None) -> Tokenizer:
    """encoder.json + vocab.bpe as OpenAI published them, or vocab.json + merges.txt as Hugging Face renamed them.

    Files of the latter names also come with GPT's tokenizer, whose words end in </w>; its rule is then "hf".

    Args:
        pattern: how text is cut into words, a name or a regular expression. The files do not say it; None: GPT-2's.

    Raises:
        UserError: a file is damaged, the two do not belong together, or GPT-2's pattern cannot be the right one.
    """
    vocab, merges = _read_pair(vocab_path, merges_path)
    if any(token.endswith("</w>") for token in vocab):
        if UNKNOWN not in vocab:
            raise UserError(
                f"{vocab_path} is a vocabulary of words that end in </w> but lacks {UNKNOWN}, so it is not GPT's: "
                "save the tokenizer as tokenizer.json, which says how text is cut"
            )
        return read_gpt1(vocab_path, merges_path, rule="hf")
    special = {name: vocab[name] for name in SPECIAL_NAMES if name in vocab}
    return ByteBPE(
        vocab,
        merges,
        special_tokens=special,
        pattern=_pattern(merges_path, merges, pattern),
        absorb_left=["<mask>"],
        whole_words=made_by_training(GPT2_ORDER, merges),
    )


def _pattern(path: str | Path, merges: list[tuple[str, str]], pattern: str | None) -> str:
    """The pattern that was named, or GPT-2's unless the merges cannot have been learned with it.

    Raises:
        UserError: more than one in a thousand tokens are such that GPT-2's pattern always cuts them.
    """
    if pattern is not None:
        return resolve_pattern(pattern)
    known = CHAR_TO_BYTE.keys()
    tokens = [from_mapped(a + b) for a, b in merges if known >= set(a + b)]
    cut = contradicting(GPT2_PATTERN, tokens)
    if 1000 * len(cut) > len(tokens):
        raise UserError(
            f"{path} does not say how text is cut into words, and GPT-2's pattern cannot have made tokens such as "
            f"{cut[0]!r}; use the model's tokenizer.json, or {how_to_name()}"
        )
    return GPT2_PATTERN


# What GPT-2 and BART call their special tokens inside vocab.json.
SPECIAL_NAMES = (END_OF_TEXT, "<s>", "<pad>", "</s>", "<unk>", "<mask>")


def read_gpt1(vocab_path: str | Path, merges_path: str | Path, rule: str = "gpt") -> GPTBPE:
    """encoder_bpe_40000.json + vocab_40000.bpe, and the three tokens that fine-tuning appends to them."""
    vocab, merges = _read_pair(vocab_path, merges_path)
    if UNKNOWN not in vocab:
        raise UserError(f"{vocab_path} is not a vocabulary of GPT: it lacks the token {UNKNOWN}")
    special = {name: len(vocab) + n for n, name in enumerate(GPT_SPECIAL)}
    return GPTBPE(vocab, merges, special_tokens=special, words=GPTWords(rule))


def read_vocab_txt(path: str | Path, lower: bool | None = None, rule: str = "hf") -> WordPiece:
    """BERT's vocab.txt, a token a line. Only a line feed ends a line: tokens may be such as U+0085 and U+2028.

    Args:
        lower: whether the model is uncased, which is not in the file. None: what tokenizer_config.json beside it says;
            without one, what the tokens show. Capital letters are of a cased model, small letters and no capital ones
            of an uncased one; where there are neither, the model is taken to be uncased, and that is announced.
    """
    tokens = [line.removesuffix("\r") for line in read_text(path, VOCABULARY_BYTES).removesuffix("\n").split("\n")]
    vocab = {token: i for i, token in enumerate(tokens)}
    if "[UNK]" not in vocab:
        raise UserError(f"{path} is not a vocabulary of BERT: it lacks the token [UNK]")
    if len(vocab) != len(tokens) or "" in vocab:
        raise UserError(f"{path} is damaged: a token is empty or occurs twice")
    settings = Path(path).with_name("tokenizer_config.json")
    if lower is None and settings.is_file():
        return WordPiece(vocab, words=_bert_words(read_json(settings), settings, rule))
    words = [t for t in tokens if not (t.startswith("[") and t.endswith("]"))]
    cased = any(t != t.lower() for t in words)
    if lower is None and not cased and all(t == t.upper() for t in words):
        print(f"{path} does not say whether the model is cased: it is taken to be uncased", file=sys.stderr)
    lower = not cased if lower is None else lower
    strip = lower and not any(map(_has_accent, words))  # an uncased model whose tokens have accents kept them
    return WordPiece(vocab, words=BertWords(lower=lower, rule=rule, strip_accents=strip if strip != lower else None))


def _has_accent(token: str) -> bool:
    return any(unicodedata.category(c) == "Mn" for c in unicodedata.normalize("NFD", token))


def _bert_words(settings: dict, path: Path, rule: str) -> BertWords:
    """The basic tokenizer as tokenizer_config.json describes it; what is not in there is as BertTokenizer has it."""
    if not settings.get("do_basic_tokenize", True):
        raise UserError(f"{path} says that text is not cut into words first, which minigpt does not do")
    flags = {name: settings.get(name) for name in ("do_lower_case", "strip_accents", "tokenize_chinese_chars")}
    for name, value in flags.items():
        if not (value is None or isinstance(value, bool)):
            raise UserError(f"{path}: {name} should be true, false or null, not {value!r}")
    return BertWords(
        lower=flags["do_lower_case"] is not False,
        rule=rule,
        strip_accents=flags["strip_accents"],
        split_cjk=flags["tokenize_chinese_chars"] is not False,
    )


def read_vocab_bpe(path: str | Path, pattern: str | None = None) -> ByteBPE:
    """vocab.bpe alone: ids are the 256 bytes in GPT-2's order, then the merges, then <|endoftext|>.

    Args:
        pattern: as for `read_gpt2`.
    """
    merges = read_merges(path)
    vocab = {c: i for i, c in enumerate(GPT2_ORDER)}
    for a, b in merges:
        if a not in vocab or b not in vocab:
            raise UserError(f"{path} is damaged: it merges {a!r} and {b!r} before both of them exist")
        vocab.setdefault(a + b, len(vocab))
    vocab[END_OF_TEXT] = end = len(vocab)
    pattern, whole_words = _pattern(path, merges, pattern), made_by_training(GPT2_ORDER, merges)
    return ByteBPE(vocab, merges, special_tokens={END_OF_TEXT: end}, pattern=pattern, whole_words=whole_words)
