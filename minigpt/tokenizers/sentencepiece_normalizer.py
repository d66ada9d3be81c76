"""How SentencePiece prepares a text: its map of characters, white space, the space in front, and ▁ for spaces.

Done in two ways that tests hold to each other: `text`, fast, and `aligned`, where each character knows its origin.
Source: normalizer.cc of SentencePiece.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache

from minigpt.tokenizers.pipeline.charsmap import CharsMap
from minigpt.tokenizers.sentencepiece_vocabulary import SPACE, USER_DEFINED, SentencePieceVocabulary

Span = tuple[int, int]
_NEAR_OTHERS = re.compile("[\0-\x7f]?[^\0-\x7f]+|[\0-\x7f]+(?![^\0-\x7f])")


class SentencePieceNormalizer:
    """The normalization that a vocabulary asks for. User-defined pieces are never changed by the map.

    Raises:
        ValueError: the map is damaged.
    """

    def __init__(self, vocabulary: SentencePieceVocabulary):
        self.prefix, self.tidy = vocabulary.add_dummy_prefix, vocabulary.remove_extra_whitespaces
        self.space = SPACE if vocabulary.escape_whitespaces else " "
        self._map = CharsMap(base64.b64decode(vocabulary.charsmap, validate=True))
        self._one = lru_cache(maxsize=1 << 14)(self._alone)
        users = [p for p, t in zip(vocabulary.pieces, vocabulary.types, strict=True) if t == USER_DEFINED and p]
        longest_first = "|".join(map(re.escape, sorted(users, key=len, reverse=True)))
        self._users = re.compile(longest_first) if users else None
        # Where a part that is taken as a whole has two spaces in a row, they stay; then only the slow way is right.
        doubles = self._map.doubles_spaces or any("  " in part for part in users)
        self._slow = (self.tidy and doubles) or any(" " in p for p in users) or bool(users and not self._map.empty)

    def text(self, text: str) -> str:
        """The text as the model sees it."""
        return self.aligned(text)[0] if self._slow else self._fast(text)

    def _fast(self, text: str) -> str:
        whole = bool(text)
        if not self._map.empty:
            text = self._mapped(text)
        if self.tidy:
            text = re.sub(" +", " ", text).strip(" ")
        text = text.replace(" ", self.space)
        if whole and self.prefix:
            text = self.space + text
        return text.rstrip(self.space) if self.tidy else text

    def _mapped(self, text: str) -> str:
        """The text after the map. Where ASCII only begins strings of the map, only what is near others is walked."""
        if self._map.ascii_stands_first_only:
            return "".join(map(self._mapped_part, _NEAR_OTHERS.findall(text)))
        return "".join([part for part, _, _ in self._parts(text)])

    def _mapped_part(self, text: str) -> str:
        if text.isascii():
            return "".join(map(self._one, text))
        return "".join([part for part, _, _ in self._parts(text)])

    def _alone(self, c: str) -> str:
        new, _ = self._map.longest(c, 0) or (c, 1)
        return new

    def aligned(self, text: str) -> tuple[str, list[Span]]:
        """The same, with the original characters behind each character. What is removed belongs to the one before."""
        parts = self._parts(text)
        first = 0
        while self.tidy and first < len(parts) and parts[first][0] == " ":
            first += 1
        if first == len(parts):
            return "", []
        characters: list[str] = []
        spans: list[Span] = []
        if self.prefix:
            characters.append(self.space)
            spans.append((parts[first][1], parts[first][1]))
        after_space = self.tidy
        for part, start, end in parts[first:]:
            kept = part.lstrip(" ") if after_space else part
            if not kept:
                spans[-1:] = [(a, end) for a, _ in spans[-1:]]
                continue
            characters += kept.replace(" ", self.space)
            spans += [(start, end)] * len(kept)
            after_space = self.tidy and kept.endswith(" ")
        while self.tidy and characters and characters[-1] == self.space:
            characters.pop()
            spans.pop()
        return "".join(characters), spans

    def _parts(self, text: str) -> list[tuple[str, int, int]]:
        """The text cut into (replacement, start, end): the longest key of the map at each place, or one character."""
        parts: list[tuple[str, int, int]] = []
        position = 0
        user = self._users.search(text) if self._users else None
        while position < len(text):
            while user and user.start() < position:
                user = self._users.search(text, position)
            if user and user.start() == position:
                parts.append((user[0], position, user.end()))
                position = user.end()
                continue
            new, end = self._map.longest(text, position) or (text[position], position + 1)
            parts.append((new, position, end))
            position = end
        return parts
