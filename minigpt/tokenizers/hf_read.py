"""Read tokenizer.json, ours or one that Hugging Face wrote, into the tokenizer that it describes.

What the file asks for and we do not do is an error that says so: nothing is skipped silently.
"""

from __future__ import annotations

import re

from minigpt.tokenizers.base import BaseTokenizer
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.byte_bpe import ByteBPE
from minigpt.tokenizers.gpt_bpe import GPTBPE
from minigpt.tokenizers.gpt_words import GPTWords
from minigpt.tokenizers.pretokens import GPT2_PATTERN
from minigpt.tokenizers.sentencepiece import SentencePieceBPE
from minigpt.tokenizers.sentencepiece_files import (
    BYTE,
    CONTROL,
    NORMAL,
    SPACE,
    UNKNOWN,
    USER_DEFINED,
    SentencePieceVocabulary,
)
from minigpt.tokenizers.wordpiece import WordPiece


def from_hf(data: dict) -> BaseTokenizer:
    """The tokenizer that a parsed tokenizer.json describes.

    Raises:
        ValueError, KeyError, TypeError: the file is damaged or asks for something that is not supported; the message
            is the end of a sentence about the file.
    """
    model = data["model"]
    vocab = model["vocab"]
    kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece")
    if kind == "Unigram" or not isinstance(vocab, dict):
        raise ValueError(f"its model is of the type {kind}, not BPE or WordPiece")
    _check_vocab(vocab)
    special, absorb_left = _special_tokens(data.get("added_tokens") or [])
    if kind == "WordPiece":
        return _wordpiece(data, model, special)
    if kind != "BPE":
        raise ValueError(f"its model is of the type {kind}, not BPE or WordPiece")
    merges = _merges(model["merges"], vocab)
    if model.get("dropout") or model.get("continuing_subword_prefix"):
        raise ValueError("its BPE uses dropout or a prefix inside words, which minigpt does not do")
    if model.get("end_of_word_suffix"):
        return _gpt(data, model, merges, special)
    byte_level, pattern = _byte_level(data.get("pre_tokenizer"))
    if byte_level:
        if data.get("normalizer"):
            raise ValueError("it normalizes text before byte-level BPE, which minigpt does not do")
        return ByteBPE(
            vocab,
            merges,
            special_tokens=special,
            pattern=pattern,
            absorb_left=absorb_left,
            whole_words=bool(model.get("ignore_merges")),
        )
    if "minigpt" in model:
        return SentencePieceBPE(SentencePieceVocabulary(**model["minigpt"]))
    return _sentencepiece(data, model, merges, special)


_LARGEST_ID = 10_000_000  # ten times the largest published vocabularies; a model has a row for every id below


def _is_id(i: object) -> bool:
    return type(i) is int and 0 <= i < _LARGEST_ID


def _check_vocab(vocab: dict) -> None:
    if not vocab or not all(map(_is_id, vocab.values())):
        raise ValueError(f"its vocabulary should map every token to its id, a whole number below {_LARGEST_ID}")
    if len(set(vocab.values())) != len(vocab):
        raise ValueError("two of its tokens have the same id")


def _special_tokens(added: list[dict]) -> tuple[dict[str, int], list[str]]:
    special, absorb_left = {}, []
    for token in added:
        name = token["content"]
        if token.get("single_word") or token.get("rstrip"):
            raise ValueError(f"its added token {name} uses single_word or rstrip, which minigpt does not do")
        if not _is_id(token["id"]) or token["id"] in special.values():
            raise ValueError(f"its added token {name} has the id {token['id']}, which cannot be right")
        special[name] = token["id"]
        if token.get("lstrip"):
            absorb_left.append(name)
    return special, absorb_left


def _merges(merges: list, vocab: dict) -> list[tuple[str, str]]:
    pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in merges]
    for pair in pairs:
        if len(pair) != 2 or not all(s in vocab for s in (*pair, "".join(pair))):
            raise ValueError(f"its merge {' '.join(map(str, pair))!r} does not fit its vocabulary")
    return pairs


def _byte_level(pre_tokenizer: dict | None) -> tuple[bool, str]:
    """Whether text is cut for byte-level BPE, and the pattern."""
    steps = _steps(pre_tokenizer, "pretokenizers")
    if not any(s["type"] == "ByteLevel" for s in steps):
        return False, ""
    last = steps[-1]
    if last["type"] != "ByteLevel" or last.get("add_prefix_space"):
        raise ValueError("its pre-tokenizer puts a space in front of the text, which minigpt does not do")
    if len(steps) == 1:
        return True, GPT2_PATTERN if last.get("use_regex", True) else r"[\s\S]+"
    first = steps[0]
    right_kind = first["type"] == "Split" and first["behavior"] == "Isolated" and not first.get("invert")
    if len(steps) > 2 or not right_kind or last.get("use_regex", True):
        raise ValueError("its pre-tokenizer is not one regular expression, which is all that minigpt does")
    pattern = first["pattern"]
    return True, pattern["Regex"] if "Regex" in pattern else re.escape(pattern["String"])


def _steps(part: dict | None, plural: str) -> list[dict]:
    if part is None:
        return []
    return part[plural] if part["type"] == "Sequence" else [part]


def _bert_normalizer(part: dict | None, rule: str) -> BertWords:
    if part is None or part["type"] != "BertNormalizer":
        raise ValueError("its normalizer is not BERT's, which is the only one that minigpt does here")
    return BertWords(
        lower=bool(part["lowercase"]),
        rule=rule,
        strip_accents=part.get("strip_accents"),
        split_cjk=bool(part["handle_chinese_chars"]),
        clean=bool(part["clean_text"]),
    )


def _wordpiece(data: dict, model: dict, special: dict[str, int]) -> WordPiece:
    if (data.get("pre_tokenizer") or {}).get("type") != "BertPreTokenizer":
        raise ValueError("its pre-tokenizer is not BERT's, which is the only one that minigpt does for WordPiece")
    return WordPiece(
        model["vocab"],
        special_tokens=special,
        words=_bert_normalizer(data.get("normalizer"), model.get("minigpt", {}).get("rule", "hf")),
        unknown=model["unk_token"],
        prefix=model["continuing_subword_prefix"],
        longest_word=int(model["max_input_chars_per_word"]),
    )


def _gpt(data: dict, model: dict, merges: list[tuple[str, str]], special: dict[str, int]) -> GPTBPE:
    ours = model.get("minigpt")
    if ours is None:
        bert = _bert_normalizer(data.get("normalizer"), "hf")
        pre_tokenizer = (data.get("pre_tokenizer") or {}).get("type")
        if not bert.lower or bert.strip_accents is False or pre_tokenizer != "BertPreTokenizer":
            raise ValueError("it does not cut and lower-case words as GPT's tokenizer does")
        ours = {"rule": "hf", "ftfy": False}
    if model["end_of_word_suffix"] != "</w>":
        raise ValueError("its words do not end in </w>")
    return GPTBPE(
        model["vocab"],
        merges,
        special_tokens=special,
        words=GPTWords(ours["rule"], use_ftfy=ours["ftfy"]),
        unknown=model["unk_token"],
    )


def _sentencepiece(data: dict, model: dict, merges: list, special: dict[str, int]) -> SentencePieceBPE:
    """A converted Llama tokenizer. Scores are gone from such a file; the place of a piece's first merge is one."""
    if not model.get("byte_fallback"):
        raise ValueError("its BPE is neither byte-level nor GPT's nor SentencePiece's")
    names = {i: s for s, i in model["vocab"].items()} | {i: s for s, i in special.items()}
    size = 1 + max(names)
    order: dict[str, int] = {}
    for n, (a, b) in enumerate(merges):
        order.setdefault(a + b, n)
    vocabulary = SentencePieceVocabulary([names.get(i, f"<unused {i}>") for i in range(size)], [], [])
    normal = {t["content"] for t in data.get("added_tokens") or [] if not t.get("special")}
    for i, piece in enumerate(vocabulary.pieces):
        vocabulary.scores.append(-float(order.get(piece, len(merges))))
        vocabulary.types.append(_type(piece, i, model, special, normal, names))
    vocabulary.add_dummy_prefix = _prefixes(data)
    vocabulary.roles = {r: special[s] for r, s in (("bos", "<s>"), ("eos", "</s>")) if s in special}
    return SentencePieceBPE(vocabulary)


def _type(piece: str, i: int, model: dict, special: dict, normal: set[str], names: dict) -> int:
    if piece == model.get("unk_token"):
        return UNKNOWN
    if piece in special:
        return USER_DEFINED if piece in normal else CONTROL
    if i not in names:
        return CONTROL
    return BYTE if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">") else NORMAL


def _prefixes(data: dict) -> bool:
    steps = _steps(data.get("normalizer"), "normalizers")
    pre_tokenizer = data.get("pre_tokenizer")
    kinds = [s["type"] for s in steps]
    if pre_tokenizer is None and set(kinds) <= {"Prepend", "Replace"} and kinds:
        return "Prepend" in kinds
    if not steps and pre_tokenizer and pre_tokenizer["type"] == "Metaspace":
        if pre_tokenizer.get("replacement", SPACE) != SPACE or pre_tokenizer.get("split"):
            raise ValueError("its Metaspace pre-tokenizer cuts text in a way that minigpt does not do")
        return pre_tokenizer.get("prepend_scheme", "always") != "never"
    raise ValueError("it prepares text in a way that minigpt does not do")
