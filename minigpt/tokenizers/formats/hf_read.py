"""Read tokenizer.json, ours or one that Hugging Face wrote, into the tokenizer that it describes.

What the file asks for and we do not do is an error that says so: nothing is skipped silently.
"""

from __future__ import annotations

from dataclasses import replace

from minigpt.core.limits import TOKEN_ID
from minigpt.tokenizers.added import check_utf8, is_id, read_added, steps
from minigpt.tokenizers.base import Tokenizer
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.byte_alphabet import CHAR_TO_BYTE
from minigpt.tokenizers.byte_bpe import ByteBPE
from minigpt.tokenizers.formats.hf_steps import bert_words, read_cutters, read_decoder, read_model, read_normalizer
from minigpt.tokenizers.gpt_bpe import GPTBPE
from minigpt.tokenizers.gpt_words import GPTWords
from minigpt.tokenizers.oniguruma import portable
from minigpt.tokenizers.pipeline.tokenizer import Pipeline
from minigpt.tokenizers.pretokens import GPT2_PATTERN
from minigpt.tokenizers.sentencepiece import from_vocabulary
from minigpt.tokenizers.sentencepiece_vocabulary import SentencePieceVocabulary
from minigpt.tokenizers.special import AddedToken, SpecialTokens
from minigpt.tokenizers.template import trim_of
from minigpt.tokenizers.wordpiece import WordPiece


def from_hf(data: dict) -> Tokenizer:
    """The tokenizer that a parsed tokenizer.json describes.

    Its `post_processor` is the file's own, as it stands there.

    Raises:
        ValueError, KeyError, TypeError: the file is damaged or asks for something that is not supported; the message
            is the end of a sentence about the file.
    """
    model = data["model"]
    vocab = _vocab(model["vocab"])
    added = read_added(data.get("added_tokens") or [], vocab)
    kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece")
    tokenizer = _of_a_family(kind, data, vocab, added) or _pipeline(kind, data, vocab, added)
    tokenizer.post_processor = data.get("post_processor")
    tokenizer.trim = trim_of(tokenizer.post_processor)
    return tokenizer


def _vocab(vocab: dict | list) -> dict[str, int]:
    """The ids of the tokens. A unigram model lists its pieces, the id of each is its place."""
    if isinstance(vocab, list):
        vocab = {entry[0]: i for i, entry in enumerate(vocab)}
        if not all(isinstance(piece, str) for piece in vocab):
            raise ValueError("its vocabulary should be a list of pieces and their scores")
    elif not isinstance(vocab, dict) or not vocab or not all(map(is_id, vocab.values())):
        raise ValueError(f"its vocabulary should map every token to its id, a whole number below {TOKEN_ID}")
    elif len(set(vocab.values())) != len(vocab):
        raise ValueError("two of its tokens have the same id")
    check_utf8("".join(vocab))
    return vocab


def _merges(merges: list, vocab: dict, prefix: str = "") -> list[tuple[str, str]]:
    pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in merges]
    for pair in pairs:
        if len(pair) != 2 or not all(s in vocab for s in (*pair, pair[0] + pair[1][len(prefix) :])):
            raise ValueError(f"its merge {' '.join(map(str, pair))!r} does not fit its vocabulary")
    return pairs


def _of_a_family(kind: str, data: dict, vocab: dict, added: list[AddedToken]) -> Tokenizer | None:
    """A tokenizer of one of the classes that are made for one family, if the file is exactly that."""
    model = data["model"]
    ours = model.get("minigpt")
    if any(t.normalized for t in added) and data.get("normalizer"):
        return None
    tokenizer: Tokenizer | None = None
    ids = {t.content: t.id for t in added}
    if kind == "WordPiece":
        tokenizer = _wordpiece(data, vocab, ids)
    elif kind == "BPE" and model.get("end_of_word_suffix"):
        tokenizer = _gpt(data, vocab, ids)
    elif kind in ("BPE", "Unigram") and isinstance(ours, dict) and "pieces" in ours:
        return from_vocabulary(SentencePieceVocabulary(**ours))
    elif kind == "BPE":
        tokenizer = _byte_bpe(data, vocab, ids)
    if tokenizer:
        tokenizer.special = SpecialTokens(replace(token, normalized=False) for token in added)
    return tokenizer


def _byte_bpe(data: dict, vocab: dict, special: dict[str, int]) -> ByteBPE | None:
    """Byte-level BPE that cuts text by one regular expression and does nothing else to it."""
    model, decoder = data["model"], data.get("decoder") or {"type": "ByteLevel"}
    pattern = _byte_level_pattern(steps(data.get("pre_tokenizer"), "pretokenizers"))
    other = any(model.get(name) for name in ("dropout", "continuing_subword_prefix", "byte_fallback"))
    lacks = not CHAR_TO_BYTE.keys() <= vocab.keys()
    if pattern is None or data.get("normalizer") or decoder["type"] != "ByteLevel" or other or lacks:
        return None
    merges = _merges(model["merges"], vocab)
    whole_words = bool(model.get("ignore_merges"))
    return ByteBPE(vocab, merges, special_tokens=special, pattern=pattern, whole_words=whole_words)


def _byte_level_pattern(cuts: list[dict]) -> str | None:
    """The one pattern that the pre-tokenizer cuts at before it goes to bytes; None if it is anything else."""
    if not cuts or cuts[-1]["type"] != "ByteLevel" or cuts[-1].get("add_prefix_space") or len(cuts) > 2:
        return None
    own = cuts[-1].get("use_regex", True)
    if len(cuts) == 1:
        return GPT2_PATTERN if own else r"[\s\S]+"
    first = cuts[0]
    if own or first["type"] != "Split" or first["behavior"] != "Isolated" or first.get("invert"):
        return None
    pattern = first["pattern"].get("Regex")
    return pattern if isinstance(pattern, str) and portable(pattern) else None


def _bert_words(part: dict | None, rule: str) -> BertWords | None:
    """BERT's basic tokenizer, if that is what the normalizer is."""
    return bert_words(part, rule) if part and part["type"] == "BertNormalizer" else None


def _wordpiece(data: dict, vocab: dict, special: dict[str, int]) -> WordPiece | None:
    model = data["model"]
    words = _bert_words(data.get("normalizer"), model.get("minigpt", {}).get("rule", "hf"))
    decoder = data.get("decoder") or {"type": "WordPiece", "prefix": model["continuing_subword_prefix"]}
    same_prefix = decoder["type"] == "WordPiece" and decoder["prefix"] == model["continuing_subword_prefix"]
    if not words or (data.get("pre_tokenizer") or {}).get("type") != "BertPreTokenizer" or not same_prefix:
        return None
    return WordPiece(
        vocab,
        special_tokens=special,
        words=words,
        unknown=model["unk_token"],
        prefix=model["continuing_subword_prefix"],
        longest_word=int(model["max_input_chars_per_word"]),
        cleanup=bool(decoder.get("cleanup")),
    )


def _gpt(data: dict, vocab: dict, special: dict[str, int]) -> GPTBPE | None:
    model = data["model"]
    ours = model.get("minigpt")
    if ours is None:
        bert = _bert_words(data.get("normalizer"), "hf")
        pre_tokenizer = (data.get("pre_tokenizer") or {}).get("type")
        if not bert or not bert.lower or bert.strip_accents is False or pre_tokenizer != "BertPreTokenizer":
            return None
        if model["end_of_word_suffix"] != "</w>" or model.get("dropout") or model.get("continuing_subword_prefix"):
            return None
        ours = {"rule": "hf", "ftfy": False}
    return GPTBPE(
        vocab,
        _merges(model["merges"], vocab),
        special_tokens=special,
        words=GPTWords(ours["rule"], use_ftfy=ours["ftfy"]),
        unknown=model["unk_token"],
    )


def _pipeline(kind: str, data: dict, vocab: dict, added: list[AddedToken]) -> Pipeline:
    """Everything else: the steps that the file lists."""
    part = data["model"]
    merges = _merges(part["merges"], vocab, part.get("continuing_subword_prefix") or "") if kind == "BPE" else []
    model, normalizer = read_model(kind, part, vocab, merges), read_normalizer(data.get("normalizer"))
    cutters, decoder = read_cutters(data.get("pre_tokenizer")), read_decoder(data.get("decoder"))
    return Pipeline(model, SpecialTokens(added), normalizer, cutters, decoder, data)
