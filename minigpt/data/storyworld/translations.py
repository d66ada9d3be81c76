"""Lines of an English sentence, " = ", and the same in the invented language."""

from __future__ import annotations

from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.facts import Translations
from minigpt.data.storyworld.language import invented, sentence

MOST, MORE = 3, 0.5  # how many lines there are at most; how often another follows


def translations(c: Chooser) -> Translations:
    c.call(_lines, 1)
    return Translations()


def _lines(c: Chooser, line: int) -> None:
    """Line number `line` and those after it."""
    c.emit(" = " + invented(sentence(c)))
    c.mark()
    if line < MOST and c.pick((True, False), (MORE, 1 - MORE)):
        c.emit("\n")
        c.call(_lines, line + 1)
