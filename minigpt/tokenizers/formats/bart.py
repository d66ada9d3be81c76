"""BART's vocabulary: GPT-2's byte-level BPE with its ids numbered again, by frequency, after four special tokens.

fairseq's dictionary file lists GPT-2's ids, the most frequent first; line n becomes id n + 4. Hugging Face's
vocab.json for BART is the result of this, and is read like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minigpt.core.errors import UserError
from minigpt.core.files import read_text
from minigpt.tokenizers.byte_bpe import ByteBPE

FIRST = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"


def renumber(gpt2: ByteBPE, order: Sequence[str]) -> ByteBPE:
    """GPT-2's tokenizer with BART's ids.

    Args:
        gpt2: the tokenizer as published.
        order: the symbols of the dictionary: GPT-2's ids as decimal strings, and made-up words that fill it up.

    Raises:
        UserError: a token of GPT-2 is missing from the dictionary.
    """
    new = {symbol: n + len(FIRST) for n, symbol in enumerate(order)}
    old = gpt2.vocab | gpt2.special.ids
    missing = [token for token, i in old.items() if str(i) not in new]
    if missing:
        raise UserError(f"the dictionary lacks {len(missing)} of GPT-2's tokens, {missing[0]!r} among them")
    vocab = {token: new[str(i)] for token, i in old.items()}
    vocab |= {symbol: i for symbol, i in new.items() if not symbol.isdigit()}
    special = {name: i for i, name in enumerate(FIRST)} | {MASK: len(FIRST) + len(order)}
    return ByteBPE(
        vocab,
        gpt2.merges,
        special_tokens=special,
        pattern=gpt2.pattern,
        absorb_left=[MASK],
        whole_words=gpt2.whole_words,
    )


def read_dictionary(path: str | Path) -> list[str]:
    """The symbols of a fairseq dict.txt, each of whose lines is a symbol and a count.

    Raises:
        UserError: the file cannot be read, or is not such a dictionary.
    """
    symbols = []
    for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), start=1):
        symbol, space, count = line.removesuffix("\r").rpartition(" ")
        if not space or not count.isdigit():
            raise UserError(f"{path} is damaged: line {number} should be a symbol and a count")
        symbols.append(symbol)
    if len(set(symbols)) != len(symbols):
        raise UserError(f"{path} is damaged: a symbol occurs twice")
    return symbols
