"""SentencePiece: byte-pair encoding (the tokenizer of Llama and Llama 2) and unigram models, with byte fallback.

A text is not cut into words first: spaces become ▁, one is put in front, and pieces are found over the whole stretch.
With BPE, pairs of pieces merge, the highest score first; a unigram model takes the most probable pieces. A character
without a piece becomes its UTF-8 bytes.
"""

from __future__ import annotations

import codecs
import dataclasses
import re
from array import array
from collections.abc import Iterable
from functools import cached_property
from itertools import groupby

import regex

from minigpt.tokenizers import sentencepiece_vocabulary as kinds
from minigpt.tokenizers.base import Offsets, Tokenizer, check_ids, last_match, utf8
from minigpt.tokenizers.cache import Cache
from minigpt.tokenizers.json_parts import added_tokens, bpe_model, document, replace
from minigpt.tokenizers.pipeline.unigram import UNKNOWN, UNKNOWN_PENALTY, PieceFinder, best_ways, pieces_of
from minigpt.tokenizers.sentencepiece_merge import merge_by_score
from minigpt.tokenizers.sentencepiece_normalizer import SentencePieceNormalizer
from minigpt.tokenizers.sentencepiece_vocabulary import SPACE, UNIGRAM, SentencePieceVocabulary, check_vocabulary
from minigpt.tokenizers.special import AddedToken, SpecialTokens

_BEFORE_SPACE = regex.compile(
    "(?<=[!-~])(?= )", regex.REVERSE
)  # after ASCII: characters that no normalization makes a space


def from_vocabulary(vocabulary: SentencePieceVocabulary) -> SentencePiece:
    """The tokenizer of a vocabulary, of whichever kind it is.

    Raises:
        ValueError: a part of the vocabulary is damaged.
    """
    check_vocabulary(vocabulary)
    return SentencePieceUnigram(vocabulary) if vocabulary.model == UNIGRAM else SentencePieceBPE(vocabulary)


class SentencePiece(Tokenizer):
    """What both kinds of model have in common. The special tokens are the control pieces."""

    kind = "sentencepiece"

    def __init__(self, vocabulary: SentencePieceVocabulary):
        self.vocabulary = vocabulary
        pieces, types = vocabulary.pieces, vocabulary.types
        self.vocab_size = len(pieces)
        special = (kinds.CONTROL, kinds.UNKNOWN)
        self.special = SpecialTokens.of({p: i for i, p in enumerate(pieces) if types[i] in special})
        self.unknown = next((i for i, t in enumerate(types) if t == kinds.UNKNOWN), 0)
        ordinary = {i: p for i, p in enumerate(pieces) if types[i] in (kinds.NORMAL, kinds.USER_DEFINED, kinds.UNUSED)}
        self._ids = {p: i for i, p in reversed(ordinary.items())}  # of several with one text, the first
        self._spaced = {i for i, p in ordinary.items() if p.startswith(SPACE)}
        self._byte_ids = {int(p[3:5], 16): i for i, p in enumerate(pieces) if types[i] == kinds.BYTE}
        self.has_bytes = len(self._byte_ids) == 256
        self._bytes = {i: bytes([b]) for b, i in self._byte_ids.items()}
        self._normalizer = SentencePieceNormalizer(vocabulary)

    def _encode(self, text: str) -> list[int]:
        utf8(text)
        return [i for i, _ in self._pieces(self._normalizer.text(text))]

    def _encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
        utf8(text)
        prepared, spans = self._normalizer.aligned(text)
        ids: list[int] = []
        offsets: Offsets = []
        start = end = 0
        for i, length in self._pieces(prepared):
            if length:  # else it is a further byte of the character before
                start, end = end, end + length
            ids.append(i)
            offsets.append((spans[start][0], spans[end - 1][1]))
        return ids, offsets

    def _pieces(self, text: str) -> list[tuple[int, int]]:
        """The (id, number of characters) of each token; of a character's bytes only the first has its length.

        Unknown characters in a row are one unknown token, unless the vocabulary has bytes to spell them.
        """
        found: list[tuple[int, int]] = []
        for piece, i in self._found(text):
            if i is not None:
                found.append((i, len(piece)))
            elif self.has_bytes:
                first, *rest = piece.encode("utf-8")
                found.append((self._byte_ids[first], len(piece)))
                found += [(self._byte_ids[b], 0) for b in rest]
            elif found and found[-1][0] == self.unknown:
                found[-1] = (self.unknown, found[-1][1] + len(piece))
            else:
                found.append((self.unknown, len(piece)))
        return found

    def _found(self, text: str) -> Iterable[tuple[str, int | None]]:
        """The pieces of a prepared text, and their ids; None for a character that has none."""
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`: bytes joined (U+FFFD for each that is not UTF-8), control pieces left out, and the
        dummy prefix taken off.
        """
        vocabulary, at_start, parts = self.vocabulary, True, []
        strips = vocabulary.add_dummy_prefix or vocabulary.remove_extra_whitespaces
        for are_bytes, group in groupby(check_ids(ids, self.vocab_size), key=self._bytes.__contains__):
            if are_bytes:
                data = b"".join(map(self._bytes.__getitem__, group))
                parts.append(data.decode("utf-8", "replace_each"))
                at_start = False
                continue
            for i in group:
                text = self._shown[i]
                if at_start and strips and i in self._spaced:
                    text = text[1:]
                    at_start = vocabulary.remove_extra_whitespaces and not text
                else:
                    at_start = at_start and not text
                parts.append(text)
        return "".join(parts)

    def byte_count(self, ids: Iterable[int]) -> int:
        """How many bytes of text the ids stand for, in the middle of a text: the first one's space is counted."""
        return sum(map(self._lengths.__getitem__, check_ids(ids, self.vocab_size)))

    @cached_property
    def _shown(self) -> list[str]:
        """What the ids stand for where they are decoded."""
        surface = {kinds.CONTROL: "", kinds.UNKNOWN: self.vocabulary.unknown_surface}
        pieces = zip(self.vocabulary.pieces, self.vocabulary.types, strict=True)
        return [surface.get(kind, piece).replace(SPACE, " ") for piece, kind in pieces]

    @cached_property
    def _lengths(self) -> list[int]:
        return [1 if i in self._bytes else len(text.encode("utf-8")) for i, text in enumerate(self._shown)]

    def token(self, i: int) -> str:
        """The piece with id `i`."""
        return self.vocabulary.pieces[i]

    def to_json(self) -> dict:
        """A SentencePiece model; under "minigpt" stands all of it, since the format does not say it all."""
        vocabulary = self.vocabulary
        decoders: list[dict] = [replace({"String": SPACE}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
        if vocabulary.add_dummy_prefix:
            decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
        data = document(
            self,
            self._model() | {"minigpt": dataclasses.asdict(vocabulary)},
            normalizer={"type": "Sequence", "normalizers": _preparing(vocabulary)},
            decoder={"type": "Sequence", "decoders": decoders},
        )
        users = [i for i, kind in enumerate(vocabulary.types) if kind == kinds.USER_DEFINED]
        data["added_tokens"] += added_tokens(AddedToken(i, vocabulary.pieces[i], special=False) for i in users)
        return data

    def _model(self) -> dict:
        """The model part of the file."""
        raise NotImplementedError


class SentencePieceBPE(SentencePiece):
    """A SentencePiece BPE model."""

    def __init__(self, vocabulary: SentencePieceVocabulary):
        super().__init__(vocabulary)
        types = vocabulary.types
        self.scores = {p: vocabulary.scores[i] for p, i in self._ids.items()}
        self._unused = {p for p, i in self._ids.items() if types[i] == kinds.UNUSED}
        users = sorted((p for p, i in self._ids.items() if types[i] == kinds.USER_DEFINED), key=len, reverse=True)
        self._frozen = re.compile(f"({'|'.join(map(re.escape, users))})") if users else None
        self._across_words = any(re.search(f"[^{SPACE}]{SPACE}", p) for p in self._ids)
        self._words = re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
        self._cache = Cache(self._merge)
        plain = not vocabulary.charsmap and vocabulary.escape_whitespaces and not any(" " in p for p in users)
        self._cuts = plain and not self._across_words and (self.has_bytes or SPACE in self._ids)

    def last_cut(self, text: str) -> int:
        """Before a space that follows something else, where no piece reaches from one word into the next.

        Without bytes and without a piece ▁, an unknown space would be one token with an unknown character before it.
        Nothing is said of texts that a map changes first.
        """
        return last_match(_BEFORE_SPACE, text) if self._cuts else 0

    def _found(self, text: str) -> Iterable[tuple[str, int | None]]:
        return ((piece, self._ids.get(piece)) for piece in self._merged(text))

    def _merge(self, word: str) -> list[str]:
        return merge_by_score(word, self.scores, self._unused)

    def _merged(self, text: str) -> Iterable[str]:
        """The merged pieces of a prepared text. User-defined pieces are found first and merge with nothing."""
        for n, part in enumerate(self._frozen.split(text) if self._frozen else [text]):
            if n % 2:
                yield part
            else:
                yield from self._merged_between(part)

    def _merged_between(self, text: str) -> Iterable[str]:
        """Where no piece reaches from one word into the next, words merge one by one and are remembered."""
        for word in [text] if self._across_words else self._words.findall(text):
            yield from self._cache[word]

    def _model(self) -> dict:
        """Every way to spell a piece with two others becomes a merge, the highest score first."""
        pieces, scores = self.vocabulary.pieces, self.scores
        vocab = {p: i for i, p in reversed(list(enumerate(pieces)))}
        found = [
            (-score, vocab[piece[:k]], vocab[piece[k:]], piece[:k], piece[k:])
            for piece, score in scores.items()
            for k in range(1, len(piece))
            if piece[:k] in scores and piece[k:] in scores
        ]
        merges = [(a, b) for *_, a, b in sorted(found)]
        unknown = pieces[self.unknown]
        return bpe_model(vocab, merges, unk_token=unknown, fuse_unk=True, byte_fallback=self.has_bytes)


class SentencePieceUnigram(SentencePiece):
    """A SentencePiece unigram model: the most probable pieces of a text, with SentencePiece's own arithmetic.

    It adds log-probabilities in 32-bit numbers along the whole text, so that in a long text rounding decides between
    ways that are nearly as good. To give its ids, every sum is rounded as there. A symbol of the user's counts
    0.1 · (its bytes − 1), so that it wins. Sources: unigram_model.cc of SentencePiece; the bonus was measured on 0.2.3.
    """

    def __init__(self, vocabulary: SentencePieceVocabulary):
        super().__init__(vocabulary)
        scores, types = vocabulary.scores, vocabulary.types
        usable = {piece: i for piece, i in self._ids.items() if types[i] != kinds.UNUSED and piece}
        normal = [scores[i] for i, kind in enumerate(types) if kind == kinds.NORMAL]
        self._scores = {i: _rounded(scores[i]) for i in usable.values()}
        self._scores[UNKNOWN] = _rounded(min(normal, default=0.0) - UNKNOWN_PENALTY)
        for piece, i in usable.items():
            if types[i] == kinds.USER_DEFINED:
                self._scores[i] = _rounded(0.1 * len(piece.encode("utf-8")) - 0.1)
        self._finder = PieceFinder(usable)

    def _found(self, text: str) -> Iterable[tuple[str, int | None]]:
        found = pieces_of(text, *best_ways(text, self._finder, self._scores, "f"))
        return [(piece, None if i == UNKNOWN else i) for piece, i in found]

    def _model(self) -> dict:
        return {
            "type": "Unigram",
            "unk_id": self.unknown,
            "vocab": [list(entry) for entry in zip(self.vocabulary.pieces, self.vocabulary.scores, strict=True)],
            "byte_fallback": self.has_bytes,
        }


def _rounded(value: float) -> float:
    """The nearest 32-bit number."""
    return array("f", [value])[0]


def _preparing(vocabulary: SentencePieceVocabulary) -> list[dict]:
    """The steps that prepare a text as SentencePiece does."""
    steps: list[dict] = []
    if vocabulary.charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": vocabulary.charsmap})
    if vocabulary.remove_extra_whitespaces:
        steps.append(replace({"Regex": r"\A +| +\z"}, ""))
        steps.append(replace({"Regex": " +"}, " "))
    space = SPACE if vocabulary.escape_whitespaces else " "
    if vocabulary.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": space})
    return [*steps, replace({"String": " "}, space)]


def _replace_each(error: UnicodeError) -> tuple[str, int]:
    """One U+FFFD for every byte that is not UTF-8, as SentencePiece decodes."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("replace_each", _replace_each)
