"""The normalizer `Precompiled` of tokenizer.json: SentencePiece's map of characters, as Hugging Face applies it.

That differs from SentencePiece: the text is taken grapheme by grapheme, and a grapheme of less than six bytes becomes
what the *shortest* string that it begins with becomes, all of it; of others, each character is looked up alone.
"""

from __future__ import annotations

import regex

from minigpt.tokenizers.pipeline.charsmap import CharsMap
from minigpt.tokenizers.pipeline.stretch import Stretch

_GRAPHEME = regex.compile(r"\X")


class Precompiled:
    """The map that `data` holds.

    Raises:
        ValueError: the map is damaged.
    """

    def __init__(self, data: bytes):
        self._map = CharsMap(data)

    def __call__(self, stretch: Stretch) -> Stretch:
        parts = self._parts(stretch.text)
        if stretch.spans is None:
            return Stretch("".join([part if new is None else new for part, new in parts]), stretch.start)
        characters: list[tuple[str, int]] = []
        replaced = False
        for part, new in parts:
            if new is None:
                characters += [(c, 0) for c in part]
                continue
            replaced = True
            more = len(new) - len(part)
            characters += [(c, 0 if n < len(part) else 1) for n, c in enumerate(new)]
            if more < 0 and characters:
                characters[-1] = (characters[-1][0], characters[-1][1] + more)
        return stretch.changed(characters) if replaced else stretch

    def _parts(self, text: str) -> list[tuple[str, str | None]]:
        """The text in parts, each with what replaces it, or None."""
        parts: list[tuple[str, str | None]] = []
        for grapheme in _GRAPHEME.findall(text):
            if len(grapheme) < 6 and len(grapheme.encode("utf-8")) < 6:
                new = self._map.shortest(grapheme)
                if new is not None or len(grapheme) == 1:
                    parts.append((grapheme, new))
                    continue
            parts += [(c, self._map.shortest(c)) for c in grapheme]
        return parts
