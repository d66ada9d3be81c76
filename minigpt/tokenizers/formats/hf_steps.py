"""Make a pipeline of a parsed tokenizer.json: one table for each part, from a step's type to what makes it.

A step or an option that is not in these tables is refused by its name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import regex

from minigpt.tokenizers.added import check_utf8, steps
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.oniguruma import compile_pattern
from minigpt.tokenizers.pipeline import cutting, decoders, normalizers
from minigpt.tokenizers.pipeline.bpe import BPE, BPEOptions
from minigpt.tokenizers.pipeline.precompiled import Precompiled
from minigpt.tokenizers.pipeline.tokenizer import Model
from minigpt.tokenizers.pipeline.unigram import Unigram
from minigpt.tokenizers.pipeline.words import WordLevel, WordPieces
from minigpt.tokenizers.pretokens import GPT2_PATTERN

Part = Mapping[str, Any]
_TEXTS, _FLAGS = ("continuing_subword_prefix", "end_of_word_suffix"), ("fuse_unk", "byte_fallback", "ignore_merges")


def read_normalizer(part: Part | None) -> normalizers.Normalizer:
    """The normalizer of a file, perhaps none."""
    return partial(normalizers.one_by_one, [_made(p, NORMALIZERS, "normalizer") for p in steps(part, "normalizers")])


def read_cutters(part: Part | None) -> list[cutting.Cutter]:
    """The steps of a file's pre-tokenizer, perhaps none."""
    return [step for p in steps(part, "pretokenizers") for step in _made(p, CUTTERS, "pre-tokenizer")]


def read_decoder(part: Part | None) -> decoders.Decoder | None:
    """The decoder of a file, perhaps none."""
    if part is None:
        return None
    return partial(decoders.one_by_one, [_made(p, DECODERS, "decoder") for p in steps(part, "decoders")])


def read_model(kind: str, part: Part, vocab: Mapping[str, int], merges: list[tuple[str, str]]) -> Model:
    """The model of a file. `vocab` and `merges` are checked already; a unigram model has its own."""
    if kind == "BPE":
        if part.get("dropout"):
            raise ValueError("its BPE uses dropout, which minigpt does not do")
        texts = {name: "" if part.get(name) is None else _text(part, name) for name in _TEXTS}
        flags = {name: _flag(part, name, False) for name in _FLAGS}
        return BPE(vocab, merges, BPEOptions(unk_token=part.get("unk_token"), **texts, **flags))
    if kind == "Unigram":
        unknown = part.get("unk_id")
        if unknown is not None and type(unknown) is not int:
            raise ValueError("its unk_id is not a number")
        return Unigram(_scored(part["vocab"]), unknown, _flag(part, "byte_fallback", False))
    if kind == "WordLevel":
        return WordLevel(vocab, _text(part, "unk_token"))
    if kind == "WordPiece":
        prefix, longest = _text(part, "continuing_subword_prefix"), _number(part, "max_input_chars_per_word")
        return WordPieces(vocab, _text(part, "unk_token"), prefix, longest)
    raise ValueError(f"its model is of the type {kind}, which minigpt does not know")


def _made(part: Part, table: Mapping[str, Callable[[Part], Any]], what: str) -> Any:
    kind = part["type"]
    if not isinstance(kind, str) or kind not in table:
        raise ValueError(f"its {what} is of the type {kind}, which minigpt does not do")
    return table[kind](part)


def _scored(vocab: object) -> list[tuple[str, float]]:
    """A unigram model's list of pieces with their log-probabilities."""
    if not isinstance(vocab, list) or not vocab:
        raise ValueError("its vocabulary should be a list of pieces and their scores")
    for entry in vocab:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise ValueError("its vocabulary should be a list of pieces and their scores")
        if type(entry[1]) not in (int, float) or not abs(entry[1]) < 1e30:
            raise ValueError(f"its piece {entry[0]!r} has a score that is not a number")
    return [(piece, float(score)) for piece, score in vocab]


def _value(part: Part, name: str, default: Any, fits: Callable[[Any], bool], what: str) -> Any:
    """A value of a part, or the default if there is one and the part says nothing."""
    value = part[name] if default is None else part.get(name, default)
    if not fits(value):
        raise ValueError(f"its {name} is {what}")
    if isinstance(value, str):
        check_utf8(value)
    return value


def _text(part: Part, name: str) -> str:
    return _value(part, name, None, lambda value: isinstance(value, str), "not a text")


def _flag(part: Part, name: str, default: bool | None = None) -> bool:
    return _value(part, name, default, lambda value: isinstance(value, bool), "neither true nor false")


def _number(part: Part, name: str) -> int:
    return _value(part, name, None, lambda value: type(value) is int and value >= 0, "not a number from 0 on")


def _character(part: Part, name: str) -> str:
    return _value(part, name, None, lambda value: isinstance(value, str) and len(value) == 1, "not one character")


def _choice(part: Part, name: str, known: tuple[str, ...], default: str) -> str:
    value = part.get(name, default)
    if value not in known:
        raise ValueError(f"its {name} is {value!r}, not one of {', '.join(known)}")
    return value


def _pattern(part: Part) -> tuple[regex.Pattern[str], str | None]:
    """The pattern of a step, and the text that it is, if it is one."""
    pattern = part["pattern"]
    if "Regex" in pattern:
        return compile_pattern(_text(pattern, "Regex")), None
    literal = _text(pattern, "String")
    return regex.compile(regex.escape(literal)), literal


def _replace(part: Part) -> normalizers.Normalizer:
    pattern, literal = _pattern(part)
    return partial(normalizers.replace, pattern, _text(part, "content"), literal)


def _precompiled(part: Part) -> normalizers.Normalizer:
    text = _text(part, "precompiled_charsmap")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("its precompiled_charsmap is not base64") from None
    return Precompiled(data)


def bert_words(part: Part, rule: str = "hf") -> BertWords:
    """BERT's basic tokenizer, of which the step BertNormalizer is the first half."""
    accents = part.get("strip_accents")
    return BertWords(
        lower=_flag(part, "lowercase"),
        rule=rule,
        strip_accents=accents if accents is None else _flag(part, "strip_accents"),
        split_cjk=_flag(part, "handle_chinese_chars"),
        clean=_flag(part, "clean_text"),
    )


NORMALIZERS: dict[str, Callable[[Part], normalizers.Normalizer]] = {
    **{form: lambda part: partial(normalizers.unicode_form, part["type"]) for form in ("NFC", "NFD", "NFKC", "NFKD")},
    "Lowercase": lambda part: normalizers.LOWERCASE,
    "StripAccents": lambda part: normalizers.without("M"),
    "Nmt": lambda part: normalizers.PerCharacter(normalizers.for_translation),
    "ByteLevel": lambda part: normalizers.PerCharacter(normalizers.mapped_bytes),
    "Strip": lambda part: partial(normalizers.strip, _flag(part, "strip_left"), _flag(part, "strip_right")),
    "Prepend": lambda part: partial(normalizers.prepend, _text(part, "prepend")),
    "Replace": _replace,
    "Precompiled": _precompiled,
    "BertNormalizer": lambda part: bert_words(part).normalizer,
}


def scheme_of(part: Part) -> str:
    """A Metaspace's prepend_scheme; older files have a flag instead."""
    if "prepend_scheme" not in part and part.get("add_prefix_space") is False:
        return "never"
    scheme = _choice(part, "prepend_scheme", cutting.PREPEND_SCHEMES, "always")
    if part.get("add_prefix_space") is False and scheme != "never":
        raise ValueError("its add_prefix_space is false and its prepend_scheme says otherwise")
    return scheme


def _metaspace(part: Part) -> list[cutting.Cutter]:
    replacement = _character(part, "replacement")
    return [cutting.Metaspace(replacement, scheme_of(part), _flag(part, "split", True))]


def _split(part: Part) -> list[cutting.Cutter]:
    behavior = _choice(part, "behavior", cutting.BEHAVIORS, "")
    return [partial(cutting.split, _pattern(part)[0], behavior, _flag(part, "invert"))]


def _digits(part: Part) -> list[cutting.Cutter]:
    return [_at(r"\p{N}", "Isolated" if _flag(part, "individual_digits", False) else "Contiguous")]


def _byte_level(part: Part) -> list[cutting.Cutter]:
    prefix = [cutting.prefix_space] if _flag(part, "add_prefix_space") else []
    words = [_at(GPT2_PATTERN)] if _flag(part, "use_regex", True) else []
    return [*prefix, *words, cutting.to_bytes]


def _at(pattern: str, behavior: str = "Isolated", *, invert: bool = False) -> cutting.Cutter:
    return partial(cutting.split, regex.compile(pattern), behavior, invert)


def _fixed_length(part: Part) -> list[cutting.Cutter]:
    length = _number(part, "length")
    if not length:
        raise ValueError("its length is 0")
    return [partial(cutting.fixed_length, length)]


_MARK = f"[{cutting.PUNCTUATION}]"
CUTTERS: dict[str, Callable[[Part], list[cutting.Cutter]]] = {
    "ByteLevel": _byte_level,
    "Metaspace": _metaspace,
    "Split": _split,
    "Digits": _digits,
    "Punctuation": lambda part: [_at(_MARK, _choice(part, "behavior", cutting.BEHAVIORS, "Isolated"))],
    "Whitespace": lambda part: [_at(r"\w+|[^\w\s]+", "Removed", invert=True)],
    "WhitespaceSplit": lambda part: [_at(r"\s", "Removed")],
    "BertPreTokenizer": lambda part: [_at(r"\s", "Removed"), _at(_MARK)],
    "CharDelimiterSplit": lambda part: [_at(regex.escape(_character(part, "delimiter")), "Removed")],
    "FixedLength": _fixed_length,
}

DECODERS: dict[str, Callable[[Part], decoders.Decoder]] = {
    "ByteLevel": lambda part: decoders.byte_level,
    "Metaspace": lambda part: partial(decoders.metaspace, _character(part, "replacement"), scheme_of(part)),
    "WordPiece": lambda part: partial(decoders.word_piece, _text(part, "prefix"), _flag(part, "cleanup")),
    "BPEDecoder": lambda part: partial(decoders.bpe, _text(part, "suffix")),
    "ByteFallback": lambda part: decoders.byte_fallback,
    "Fuse": lambda part: decoders.fuse,
    "Strip": lambda part: partial(
        decoders.strip, _character(part, "content"), _number(part, "start"), _number(part, "stop")
    ),
    "Replace": lambda part: partial(decoders.normalize, _replace(part)),
}
