"""Write tokenizers in Hugging Face's tokenizer.json format, so that `tokenizers.Tokenizer.from_file` opens them.

What that format cannot say (which rule a normalizer follows, scores) stands under the key "minigpt" of the model,
where other readers skip it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from minigpt.tokenizers import gpt_words
from minigpt.tokenizers.byte_alphabet import BYTE_TO_CHAR
from minigpt.tokenizers.pretokens import GPT2_PATTERN
from minigpt.tokenizers.sentencepiece_files import SPACE, UNIGRAM, USER_DEFINED, SentencePieceVocabulary
from minigpt.tokenizers.special import SpecialTokens
from minigpt.tokenizers.template import template_to_json
from minigpt.tokenizers.trim import Trim

if TYPE_CHECKING:
    from minigpt.tokenizers.byte import ByteTokenizer
    from minigpt.tokenizers.byte_bpe import ByteBPE
    from minigpt.tokenizers.char import CharTokenizer
    from minigpt.tokenizers.gpt_bpe import GPTBPE
    from minigpt.tokenizers.sentencepiece import SentencePiece, SentencePieceBPE
    from minigpt.tokenizers.wordpiece import WordPiece


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


def byte_bpe_to_json(tokenizer: ByteBPE) -> dict:
    """A byte-level BPE. GPT-2's pattern is the ByteLevel pre-tokenizer's own; any other is a Split before it."""
    own_pattern = tokenizer.pattern == GPT2_PATTERN
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": own_pattern,
    }
    pre_tokenizer = byte_level
    if not own_pattern:
        pre_tokenizer = {
            "type": "Sequence",
            "pretokenizers": [split(tokenizer.pattern, "Isolated"), byte_level],
        }
    taken = set(tokenizer.vocab.values())  # the reader numbers special tokens that the vocabulary lacks by itself
    vocab = tokenizer.vocab | {name: i for name, i in tokenizer.special.ids.items() if i not in taken}
    return document(
        bpe_model(vocab, tokenizer.merges, ignore_merges=tokenizer.whole_words),
        tokenizer.special,
        pre_tokenizer=pre_tokenizer,
        post_processor=template_to_json(tokenizer) or byte_level | _trimming(tokenizer.trim),
        decoder=dict(byte_level),
    )


def _trimming(trim: Trim | None) -> dict:
    """What a byte-level post-processor says about offsets."""
    return {} if trim is None else {"trim_offsets": True, "add_prefix_space": trim.prefix_space}


def char_to_hf(tokenizer: CharTokenizer) -> dict:
    """Characters, which our own file lists more simply: a word for each, cut out one by one; none for unknown ones."""
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


def wordpiece_to_json(tokenizer: WordPiece) -> dict:
    """A WordPiece. BertNormalizer is the "hf" rule; a file with the "google" rule says so under "minigpt"."""
    words = tokenizer.words
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": words.clean,
        "handle_chinese_chars": words.split_cjk,
        "strip_accents": words.strip_accents,
        "lowercase": words.lower,
    }
    model = {
        "type": "WordPiece",
        "unk_token": tokenizer.unknown,
        "continuing_subword_prefix": tokenizer.prefix,
        "max_input_chars_per_word": tokenizer.longest_word,
        "minigpt": {"rule": words.rule},
        "vocab": tokenizer.vocab,
    }
    return document(
        model,
        tokenizer.special,
        normalizer=normalizer,
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor=template_to_json(tokenizer),
        decoder={"type": "WordPiece", "prefix": tokenizer.prefix, "cleanup": tokenizer.cleanup},
    )


def gpt_bpe_to_json(tokenizer: GPTBPE) -> dict:
    """GPT's BPE. The rule "gpt" is written out as replacements and a Split; ftfy has no counterpart there."""
    words = tokenizer.words
    model = bpe_model(
        tokenizer.vocab,
        tokenizer.merges,
        unk_token=tokenizer.unknown,
        end_of_word_suffix="</w>",
        minigpt={"rule": words.rule, "ftfy": words.use_ftfy},
    )
    normalizer: dict = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    }
    pre_tokenizer: dict = {"type": "BertPreTokenizer"}
    if words.rule == "gpt":
        steps = [_replace({"String": old}, new) for old, new in gpt_words.REPLACED.items()]
        steps.append(_replace({"Regex": gpt_words.SPACE_AT_BREAK}, " \n "))
        steps.append(_replace({"Regex": gpt_words.OTHER_SPACE}, " "))
        steps += [{"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Lowercase"}]
        normalizer = {"type": "Sequence", "normalizers": steps}
        pre_tokenizer = split(gpt_words.WORD, "Removed", invert=True)
    return document(
        model,
        tokenizer.special,
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        post_processor=template_to_json(tokenizer),
        decoder={"type": "BPEDecoder", "suffix": "</w>"},
    )


def _replace(pattern: dict, content: str) -> dict:
    return {"type": "Replace", "pattern": pattern, "content": content}


def sentencepiece_to_json(tokenizer: SentencePiece) -> dict:
    """A SentencePiece model; under "minigpt" stands all of it, since the format does not say it all."""
    vocabulary = tokenizer.vocabulary
    model = _unigram_model(tokenizer) if vocabulary.model == UNIGRAM else _bpe_of_scores(tokenizer)
    decoders: list[dict] = [_replace({"String": SPACE}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
    if vocabulary.add_dummy_prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    data = document(
        model | {"minigpt": dataclasses.asdict(vocabulary)},
        tokenizer.special,
        normalizer={"type": "Sequence", "normalizers": _preparing(vocabulary)},
        post_processor=template_to_json(tokenizer),
        decoder={"type": "Sequence", "decoders": decoders},
    )
    data["added_tokens"] += [
        {**entry, "special": False}
        for i, piece in enumerate(vocabulary.pieces)
        if vocabulary.types[i] == USER_DEFINED
        for entry in added_tokens(SpecialTokens({piece: i}))
    ]
    return data


def _preparing(vocabulary: SentencePieceVocabulary) -> list[dict]:
    """The steps that prepare a text as SentencePiece does."""
    steps: list[dict] = []
    if vocabulary.charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": vocabulary.charsmap})
    if vocabulary.remove_extra_whitespaces:
        steps.append(_replace({"Regex": r"\A +| +\z"}, ""))
        steps.append(_replace({"Regex": " +"}, " "))
    space = SPACE if vocabulary.escape_whitespaces else " "
    if vocabulary.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": space})
    return [*steps, _replace({"String": " "}, space)]


def _unigram_model(tokenizer: SentencePiece) -> dict:
    vocabulary = tokenizer.vocabulary
    return {
        "type": "Unigram",
        "unk_id": tokenizer.unknown,
        "vocab": [list(entry) for entry in zip(vocabulary.pieces, vocabulary.scores, strict=True)],
        "byte_fallback": tokenizer.has_bytes,
    }


def _bpe_of_scores(tokenizer: SentencePieceBPE) -> dict:
    """Every way to spell a piece with two others becomes a merge, the highest score first."""
    pieces = tokenizer.vocabulary.pieces
    vocab = {p: i for i, p in reversed(list(enumerate(pieces)))}
    return bpe_model(
        vocab,
        _merges_of_scores(tokenizer, vocab),
        unk_token=pieces[tokenizer.unknown],
        fuse_unk=True,
        byte_fallback=tokenizer.has_bytes,
    )


def _merges_of_scores(tokenizer: SentencePieceBPE, vocab: dict[str, int]) -> list[tuple[str, str]]:
    scores = tokenizer.scores
    found = [
        (-score, vocab[piece[:k]], vocab[piece[k:]], piece[:k], piece[k:])
        for piece, score in scores.items()
        for k in range(1, len(piece))
        if piece[:k] in scores and piece[k:] in scores
    ]
    return [(a, b) for *_, a, b in sorted(found)]
