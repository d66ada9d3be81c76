"""Byte-level BPE to be read: count pairs, take the most frequent, merge, repeat; and how the merges are applied.

`ByteBPE.train` and `ByteBPE.encode` give the same, faster: `learn_merges` recounts only what a merge changed, and
encoding remembers words. Tests hold them to these two functions. A symbol is a string of mapped bytes, in which a
space is written Ġ (`byte_alphabet`).

Source: Sennrich, Haddow and Birch 2016; bytes as in GPT-2 (Radford et al. 2019).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from minigpt.tokenizers.base import utf8
from minigpt.tokenizers.byte_alphabet import SORTED_ORDER, to_mapped
from minigpt.tokenizers.patterns import GPT2_PATTERN
from minigpt.tokenizers.pretokens import PreTokenizer, lines

Pair = tuple[str, str]


def learn(
    text: str, vocab_size: int, *, special_tokens: Sequence[str] = (), pattern: str = GPT2_PATTERN
) -> tuple[dict[str, int], list[Pair]]:
    """Learn a vocabulary (symbol -> id) and merges, in order, until there are `vocab_size` symbols or no more pairs.

    Ids are the special tokens, the 256 bytes in the order of their mapped characters, then the merges. Of the pairs
    that are most frequent, the one with the smallest (left id, right id) is merged. Pairs are counted inside
    pre-tokens, and those inside lines.
    """
    ids = {symbol: i for i, symbol in enumerate(dict.fromkeys([*special_tokens, *SORTED_ORDER]))}
    merges: list[Pair] = []
    cut = PreTokenizer(pattern)
    counts = Counter(word for line in lines(text) for word in cut.words(line))
    words = [(list(to_mapped(utf8(word))), times) for word, times in counts.items()]
    while len(ids) < vocab_size:
        pairs: Counter[Pair] = Counter()
        for symbols, times in words:
            for pair in pairwise(symbols):
                pairs[pair] += times
        if not pairs:
            break
        most = max(pairs.values())
        _, _, left, right = min((ids[a], ids[b], a, b) for (a, b), times in pairs.items() if times == most)
        merges.append((left, right))
        ids.setdefault(left + right, len(ids))  # a special token of the same letters keeps its id
        words = [(merge(symbols, left, right), times) for symbols, times in words]
    return ids, merges


def merge(symbols: Sequence[str], left: str, right: str) -> list[str]:
    """Join `left` and `right` wherever they stand side by side, from left to right: a a a becomes aa a."""
    merged: list[str] = []
    for symbol in symbols:
        if symbol == right and merged[-1:] == [left]:
            merged[-1] = left + right
        else:
            merged.append(symbol)
    return merged


def encode(text: str, ids: Mapping[str, int], merges: Sequence[Pair], *, pattern: str = GPT2_PATTERN) -> list[int]:
    """The ids of a text: in every pre-token the pair that was learned first is merged, the leftmost of them first.

    A byte that the vocabulary lacks has no token. Special tokens are not looked for.
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    encoded: list[int] = []
    for word in PreTokenizer(pattern).words(text):
        symbols = [symbol for symbol in to_mapped(utf8(word)) if symbol in ids]
        while places := [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]:
            _, i = min(places)
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        encoded += [ids[symbol] for symbol in symbols]
    return encoded
