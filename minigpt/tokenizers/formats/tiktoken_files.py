"""Read .tiktoken files: a token's bytes in base64 and its rank a line, and nothing else.

How text is cut into words, and which special tokens there are, is not in such a file. The published vocabularies are
recognised by their ranks; for any other the pattern has to be named.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from minigpt.core.errors import UserError
from minigpt.core.files import read_bytes
from minigpt.core.limits import TOKEN_ID, VOCABULARY_BYTES
from minigpt.tokenizers import patterns
from minigpt.tokenizers.byte_alphabet import to_mapped
from minigpt.tokenizers.byte_bpe import ByteBPE
from minigpt.tokenizers.merge import Merges, merge_word

END_OF_TEXT = "<|endoftext|>"


class Published(NamedTuple):
    """A published vocabulary: its name, how many ranks it has, its pattern and its special tokens."""

    name: str
    ranks: int
    pattern: str
    special_tokens: dict[str, int]


def _llama3_special() -> dict[str, int]:
    """256 names, most of them reserved. Llama 3.1 and later call some of the reserved ones otherwise."""
    names = ["<|begin_of_text|>", "<|end_of_text|>", *(f"<|reserved_special_token_{n}|>" for n in range(4))]
    names += ["<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_4|>", "<|eot_id|>"]
    names += [f"<|reserved_special_token_{n}|>" for n in range(5, 251)]
    return {name: 128000 + n for n, name in enumerate(names)}


# Sources: tiktoken's openai_public.py; for Llama 3 (and 3.1, 3.2: the same file) the checksum published with the model.
_CL100K = {END_OF_TEXT: 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260}
_CL100K["<|endofprompt|>"] = 100276
R50K = Published("r50k_base", 50256, patterns.GPT2_PATTERN, {END_OF_TEXT: 50256})
P50K = Published("p50k_base", 50280, patterns.GPT2_PATTERN, {END_OF_TEXT: 50256})
CL100K = Published("cl100k_base", 100256, patterns.CL100K_PATTERN, _CL100K)
O200K = Published("o200k_base", 199998, patterns.O200K_PATTERN, {END_OF_TEXT: 199999, "<|endofprompt|>": 200018})
LLAMA3 = Published("llama3", 128000, patterns.LLAMA3_PATTERN, _llama3_special())

# By the SHA-256 of the published file, which is that of the ranks written by `write_ranks`.
PUBLISHED = {
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": R50K,
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": P50K,
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": CL100K,
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": O200K,
    "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55": LLAMA3,
}


def read_tiktoken(
    path: str | Path, pattern: str | None = None, special_tokens: Mapping[str, int] | None = None
) -> ByteBPE:
    """The tokenizer of a .tiktoken file. Ranks double as ids.

    The merges, which the file does not name, are found by encoding each token with the merges before it: the two parts
    that are left are the ones that made it.

    Args:
        pattern: how text is cut into words, a name of `patterns.PATTERNS` or an expression; None: that of the published
            vocabulary which the file holds.
        special_tokens: names and ids; None: those of the published vocabulary, none for any other.

    Raises:
        UserError: the file is damaged, or its vocabulary is not one of the published ones and no pattern is named.
    """
    data = read_bytes(path, VOCABULARY_BYTES)
    ranks = _parse(data, path)
    known = recognise(ranks, data)
    if pattern is None and known is None:
        raise UserError(
            f"{path} does not say how text is cut into words, and its ranks are not those of a published vocabulary; "
            f"{patterns.how_to_name()}"
        )
    if special_tokens is None:
        special_tokens = known.special_tokens if known else {}
    return ByteBPE(
        {to_mapped(token): i for token, i in sorted(ranks.items(), key=lambda item: item[1])} | dict(special_tokens),
        _merges(ranks),
        special_tokens=special_tokens,
        pattern=known.pattern if pattern is None else patterns.resolve_pattern(pattern),
        whole_words=True,
    )


def recognise(ranks: Mapping[bytes, int], data: bytes) -> Published | None:
    """The published vocabulary with these ranks, in a file of its own or one with other line ends or another order."""
    if len(ranks) not in {known.ranks for known in PUBLISHED.values()}:
        return None
    digests = (hashlib.sha256(text).hexdigest() for text in (data, write_ranks(ranks).encode()))
    return next((PUBLISHED[digest] for digest in digests if digest in PUBLISHED), None)


def _parse(data: bytes, path: str | Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.split(b"\n"), start=1):
        line = line.removesuffix(b"\r")
        if not line:
            continue
        token, _, rank = line.partition(b" ")
        try:
            if not rank.isdigit() or len(rank) > 9 or int(rank) >= TOKEN_ID:
                raise ValueError("not a rank")
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise UserError(f"{path} is damaged: line {number} should be base64 and a rank") from None
    if len(set(ranks.values())) != len(ranks):
        raise UserError(f"{path} is damaged: a rank occurs twice")
    if (single := sum(len(token) == 1 for token in ranks)) != 256:
        raise UserError(f"{path} is damaged: it has {single} of the 256 single bytes")
    return ranks


def _merges(ranks: Mapping[bytes, int]) -> list[tuple[str, str]]:
    """The merges that made the tokens. One that no merge made is only ever found as a whole word."""
    byte_ids = [ranks[bytes([b])] for b in range(256)]
    strings = {i: to_mapped(token) for token, i in ranks.items()}
    table, merges = Merges(), []
    for token, i in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) < 2:
            continue
        parts = merge_word([byte_ids[b] for b in token], table)
        if len(parts) == 2:
            merges.append((strings[parts[0]], strings[parts[1]]))
            table.add(parts[0], parts[1], i)
    return merges


def write_ranks(ranks: Mapping[bytes, int]) -> str:
    """The text of a .tiktoken file."""
    rows = sorted((i, token) for token, i in ranks.items())
    return "".join(f"{base64.b64encode(token).decode()} {i}\n" for i, token in rows)
