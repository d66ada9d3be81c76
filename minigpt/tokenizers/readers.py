"""Read the files that the original models were published with: byte-level BPE in its four forms, and vocab.txt.

Every reader names the file in its errors, which are one sentence each. tokenizer.json is read by `hf_read`,
SentencePiece's files by `sentencepiece_files`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path

from minigpt.errors import UserError
from minigpt.files import read_text
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.byte_alphabet import GPT2_ORDER, to_mapped
from minigpt.tokenizers.byte_bpe import ByteBPE, made_by_training
from minigpt.tokenizers.gpt_bpe import GPT_SPECIAL, GPTBPE, UNKNOWN
from minigpt.tokenizers.gpt_words import GPTWords
from minigpt.tokenizers.merge import Merges, merge_word
from minigpt.tokenizers.pretokens import GPT2_PATTERN, LLAMA3_PATTERN
from minigpt.tokenizers.wordpiece import WordPiece

END_OF_TEXT = "<|endoftext|>"


def read_json(path: str | Path) -> dict:
    """The JSON object in a file.

    Raises:
        UserError: the file cannot be read, is not JSON, or holds something else than an object.
    """
    try:
        data = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a tokenizer file, or damaged: it is not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is not a tokenizer file: it holds a JSON {type(data).__name__}, not an object")
    return data


def read_vocab_json(path: str | Path) -> dict[str, int]:
    """encoder.json or vocab.json: one object, token string -> id."""
    data = read_json(path)
    if not data or not all(type(i) is int and i >= 0 for i in data.values()):
        raise UserError(f"{path} is not a vocabulary: it should map every token to its id, a number from 0 on")
    if len(set(data.values())) != len(data):
        raise UserError(f"{path} is damaged: two tokens have the same id")
    return data


def read_merges(path: str | Path) -> list[tuple[str, str]]:
    """vocab.bpe or merges.txt: a version line (if any), then two strings a line, earliest merge first."""
    lines = read_text(path).split("\n")
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


def check_merges(vocab: Mapping[str, int], merges: list[tuple[str, str]], vocab_path, merges_path) -> None:
    """Raise if the two files do not belong together."""
    for a, b in merges:
        for token in (a, b, a + b):
            if token not in vocab:
                raise UserError(f"{merges_path} does not fit {vocab_path}: it needs the token {token!r}")


def read_gpt2(vocab_path: str | Path, merges_path: str | Path, pattern: str = GPT2_PATTERN) -> ByteBPE:
    """encoder.json + vocab.bpe as OpenAI published them, or vocab.json + merges.txt as Hugging Face renamed them."""
    vocab, merges = read_vocab_json(vocab_path), read_merges(merges_path)
    check_merges(vocab, merges, vocab_path, merges_path)
    special = {name: vocab[name] for name in SPECIAL_NAMES if name in vocab}
    absorb_left = [name for name in ("<mask>",) if name in special]
    whole_words = made_by_training(GPT2_ORDER, merges)
    return ByteBPE(
        vocab,
        merges,
        special_tokens=special,
        pattern=pattern,
        absorb_left=absorb_left,
        whole_words=whole_words,
    )


# What GPT-2 and BART call their special tokens inside vocab.json.
SPECIAL_NAMES = (END_OF_TEXT, "<s>", "<pad>", "</s>", "<unk>", "<mask>")


def read_gpt1(vocab_path: str | Path, merges_path: str | Path, rule: str = "gpt") -> GPTBPE:
    """encoder_bpe_40000.json + vocab_40000.bpe, and the three tokens that fine-tuning appends to them."""
    vocab, merges = read_vocab_json(vocab_path), read_merges(merges_path)
    check_merges(vocab, merges, vocab_path, merges_path)
    if UNKNOWN not in vocab:
        raise UserError(f"{vocab_path} is not a vocabulary of GPT: it lacks the token {UNKNOWN}")
    special = {name: len(vocab) + n for n, name in enumerate(GPT_SPECIAL)}
    return GPTBPE(vocab, merges, special_tokens=special, words=GPTWords(rule))


def read_vocab_txt(path: str | Path, lower: bool | None = None, rule: str = "hf") -> WordPiece:
    """BERT's vocab.txt, a token a line. Whether the model is uncased is not in it: by default it is taken to be when
    no token but the bracketed ones has a capital letter.
    """
    tokens = [line.removesuffix("\r") for line in read_text(path).removesuffix("\n").split("\n")]
    vocab = {token: i for i, token in enumerate(tokens)}
    if "[UNK]" not in vocab:
        raise UserError(f"{path} is not a vocabulary of BERT: it lacks the token [UNK]")
    if len(vocab) != len(tokens) or "" in vocab:
        raise UserError(f"{path} is damaged: a token is empty or occurs twice")
    if lower is None:
        lower = not any(t != t.lower() for t in tokens if not (t.startswith("[") and t.endswith("]")))
    return WordPiece(vocab, words=BertWords(lower=lower, rule=rule))


def read_vocab_bpe(path: str | Path) -> ByteBPE:
    """vocab.bpe alone: ids are the 256 bytes in GPT-2's order, then the merges, then <|endoftext|>."""
    merges = read_merges(path)
    vocab = {c: i for i, c in enumerate(GPT2_ORDER)}
    for a, b in merges:
        if a not in vocab or b not in vocab:
            raise UserError(f"{path} is damaged: it merges {a!r} and {b!r} before both of them exist")
        vocab.setdefault(a + b, len(vocab))
    vocab[END_OF_TEXT] = end = len(vocab)
    whole_words = made_by_training(GPT2_ORDER, merges)
    return ByteBPE(vocab, merges, special_tokens={END_OF_TEXT: end}, whole_words=whole_words)


def read_tiktoken(
    path: str | Path, pattern: str = LLAMA3_PATTERN, special_tokens: Mapping[str, int] | None = None
) -> ByteBPE:
    """A .tiktoken file: a token's bytes in base64 and its rank a line; the pattern and special tokens are not in it.

    Ranks double as ids. The merges, which the file does not name, are found by encoding each token with the merges
    before it: the two parts that are left are the ones that made it.
    """
    ranks = _read_ranks(path)
    ids = {data: i for data, i in ranks.items() if len(data) == 1}
    table = Merges()
    strings = {i: to_mapped(data) for data, i in ranks.items()}
    merges = []
    if len(ids) != 256:
        raise UserError(f"{path} is damaged: it has {len(ids)} of the 256 single bytes")
    for data, i in sorted(ranks.items(), key=lambda item: item[1]):
        if len(data) == 1:
            continue
        parts = merge_word([ids[data[k : k + 1]] for k in range(len(data))], table)
        if len(parts) != 2:
            continue  # never made by a merge: only found as a whole word
        merges.append((strings[parts[0]], strings[parts[1]]))
        table.add(parts[0], parts[1], i)
    vocab = {strings[i]: i for i in sorted(strings)} | dict(special_tokens or {})
    return ByteBPE(vocab, merges, special_tokens=special_tokens, pattern=pattern, whole_words=True)


def _read_ranks(path: str | Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise UserError(f"{path} is damaged: line {number} should be base64 and a rank") from None
    if len(set(ranks.values())) != len(ranks) or min(ranks.values(), default=0) < 0:
        raise UserError(f"{path} is damaged: a rank is negative or occurs twice")
    return ranks


def write_tiktoken(tokenizer: ByteBPE) -> str:
    """The .tiktoken text of a byte-level BPE (its special tokens and pattern are not part of that format)."""
    special = set(tokenizer.special.ids.values())
    rows = [(i, data) for i, data in tokenizer.bytes_of_tokens().items() if i not in special]
    return "".join(f"{base64.b64encode(data).decode()} {i}\n" for i, data in sorted(rows))
