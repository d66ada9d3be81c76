"""Byte-pair encoding over the characters of a word, with everything that tokenizer.json can ask of it.

A character that the vocabulary lacks becomes its UTF-8 bytes (`byte_fallback`), else the unknown token, else nothing:
then the tokens after it report the place where they would be without it, as in Hugging Face's tokenizers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from minigpt.tokenizers.cache import Cache
from minigpt.tokenizers.merge import Merges, merge_word

Token = tuple[int, int, int]  # id, and the bytes of the word that it stands for: start, end
_SPACE = "▁"
_WORDS = re.compile(f"{_SPACE}*[^{_SPACE}]+|{_SPACE}+")


@dataclass
class BPEOptions:
    """The options of tokenizer.json's BPE, by its names."""

    unk_token: str | None = None
    fuse_unk: bool = False
    byte_fallback: bool = False
    ignore_merges: bool = False
    continuing_subword_prefix: str = ""
    end_of_word_suffix: str = ""


class BPE:
    """BPE from a vocabulary and merges.

    Raises:
        UserError: the vocabulary lacks a token that a merge names.
        ValueError: it lacks the unknown token, or a merge joins bytes or unknown characters.
    """

    def __init__(self, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], options: BPEOptions):
        self.vocab, self.options = vocab, options
        self.unknown = None if options.unk_token is None else vocab.get(options.unk_token)
        if options.unk_token is not None and self.unknown is None:
            raise ValueError(f"its vocabulary lacks its unknown token {options.unk_token}")
        self._bytes = byte_ids(vocab) if options.byte_fallback else []
        self._single = {i for i in (self.unknown, *self._bytes) if i is not None}
        prefix = options.continuing_subword_prefix
        if self._bytes and (prefix or options.end_of_word_suffix):
            raise ValueError("its BPE has byte_fallback and marks in words, which minigpt does not do together")
        joined = [(a, b, a + b[len(prefix) :]) for a, b in merges]
        self._merges = Merges.named(vocab, joined)
        for a, b in merges:
            if {vocab[a], vocab[b]} & self._single:
                raise ValueError(f"its merge {a} {b!r} joins bytes or unknown characters, which minigpt does not do")
        self._lengths = self._byte_lengths()
        cuts = f"[^{_SPACE}]{_SPACE}"
        plain = not prefix and not options.end_of_word_suffix
        self._by_word = plain and _SPACE in vocab and not any(re.search(cuts, whole) for *_, whole in joined)
        self._remembered = Cache(self._merged)

    def _byte_lengths(self) -> dict[int, int]:
        """How many bytes of a word each token stands for."""
        prefix, suffix = self.options.continuing_subword_prefix, self.options.end_of_word_suffix
        return {
            i: len((s.removeprefix(prefix) if prefix else s).removesuffix(suffix).encode("utf-8", "replace"))
            for s, i in self.vocab.items()
        }

    def tokens(self, word: str) -> list[Token]:
        """The tokens of a word."""
        if self.options.ignore_merges and (i := self.vocab.get(word)) is not None:
            return [(i, 0, len(word.encode("utf-8")))]
        if not self._by_word or _SPACE not in word:
            return self._merged(word)
        found: list[Token] = []
        start = 0
        for part in _WORDS.findall(word):  # no merge reaches from one of these parts into the next
            found += [(i, start + a, start + b) for i, a, b in self._remembered[part]]
            start = found[-1][2] if found else 0
        return found

    def _merged(self, word: str) -> list[Token]:
        ids, sizes = self._symbols(word)
        found: list[Token] = []
        end = 0
        for i in merge_word(ids, self._merges):
            start, end = end, end + (next(sizes) if i in self._single else self._lengths[i])
            found.append((i, start, end))
        return found

    def _symbols(self, word: str) -> tuple[list[int], Iterator[int]]:
        """What the merging begins with: the ids of the characters, and how many bytes of the word each of them that is
        a byte or unknown stands for.
        """
        names = list(word)
        if self.options.continuing_subword_prefix:
            names[1:] = [self.options.continuing_subword_prefix + c for c in names[1:]]
        if names:
            names[-1] += self.options.end_of_word_suffix
        ids = list(map(self.vocab.get, names))
        if None not in ids and self._single.isdisjoint(ids):
            return ids, iter(())
        symbols = self._with_unknown(word, ids)
        return [i for i, _ in symbols], iter([size for i, size in symbols if i in self._single])

    def _with_unknown(self, word: str, ids: list[int | None]) -> list[tuple[int, int]]:
        """The (id, number of bytes) of each character, where some are not in the vocabulary."""
        symbols: list[tuple[int, int]] = []
        unknown = 0  # bytes of the unknown token that is not written yet
        for c, i in zip(word, ids, strict=True):
            if i is None and (codes := spelled(c, self._bytes)):
                symbols += [(code, 1) for code in codes]
                continue
            if unknown and (i is not None or not self.options.fuse_unk):
                symbols.append((self.unknown, unknown))
                unknown = 0
            length = len(c.encode("utf-8"))
            if i is not None:
                symbols.append((i, length))
            elif self.unknown is not None:
                unknown += length
        if unknown:
            symbols.append((self.unknown, unknown))
        return symbols


def byte_ids(vocab: Mapping[str, int]) -> list[int | None]:
    """The ids of the 256 bytes; None for one that the vocabulary lacks."""
    return [vocab.get(f"<0x{b:02X}>") for b in range(256)]


def spelled(text: str, byte_ids: Sequence[int | None]) -> list[int]:
    """The ids of the bytes of a text; none at all if one of them has none."""
    codes = [byte_ids[b] for b in text.encode("utf-8")] if byte_ids else []
    return [] if None in codes else codes
