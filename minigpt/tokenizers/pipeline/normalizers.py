"""What a tokenizer may do to a text before it cuts it: the normalizers of tokenizer.json.

Where characters know which original ones they stand for, they keep track of them; where they do not, which is much
faster, most steps take a shorter way, and tests hold the two to each other. Source: Hugging Face's tokenizers 0.23,
whose results they give.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

import regex

from minigpt.core.errors import UserError
from minigpt.core.limits import GROWN_CHARACTERS, GROWTH
from minigpt.tokenizers.byte_alphabet import to_mapped
from minigpt.tokenizers.oniguruma import pieces
from minigpt.tokenizers.pipeline.stretch import Span, Stretch
from minigpt.tokenizers.pipeline.unicode_forms import composed, decomposed
from minigpt.tokenizers.white_space import WHITE

# A step that changes a text: its settings come first, then the stretch, whose characters keep their origins, if they
# know them.
Normalizer = Callable[[Stretch], Stretch]


class PerCharacter:
    """A step that replaces each character by any number of others, whatever stands around it.

    Args:
        change: what a character becomes.
        ascii: what a text that is ASCII becomes, as long as it was, where there is a faster way to say it.
    """

    def __init__(self, change: Callable[[str], str], ascii: Callable[[str], str] | None = None):
        self.change = lru_cache(maxsize=1 << 16)(change)
        self.ascii = ascii

    def __call__(self, stretch: Stretch) -> Stretch:
        if self.ascii and stretch.text.isascii():
            text = self.ascii(stretch.text)
            return stretch if text is stretch.text else Stretch(text, stretch.start, stretch.spans)
        parts = list(map(self.change, stretch.text))
        spans = stretch.spans and [span for span, part in zip(stretch.spans, parts, strict=True) for _ in part]
        return Stretch("".join(parts), stretch.start, spans)


class LowerInContext(PerCharacter):
    """Python's lower case, which knows one context rule (a final Σ is ς) that keeps the length."""

    def __call__(self, stretch: Stretch) -> Stretch:
        return Stretch(stretch.text.lower(), stretch.start, stretch.spans and super().__call__(stretch).spans)


LOWER_IN_CONTEXT = LowerInContext(str.lower, str.lower)
LOWERCASE = PerCharacter(str.lower, str.lower)  # character by character: Σ is σ at the end of a word too


def without(categories: str) -> PerCharacter:
    """Leaves out the characters whose category begins so, marks in practice, which ASCII does not have."""
    return PerCharacter(lambda c: "" if unicodedata.category(c).startswith(categories) else c, str)


_NMT_GONE = frozenset(map(chr, (*range(1, 9), 11, *range(14, 32), 0x7F, 0x8F, 0x9F)))
_NMT_SPACE = frozenset("\t\n\f\r\u1680\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd")


def for_translation(c: str) -> str:
    """Some control characters vanish and some become spaces: the normalizer Nmt."""
    return "" if c in _NMT_GONE else " " if c in _NMT_SPACE else c


def mapped_bytes(c: str) -> str:
    """A character's UTF-8 bytes, written as GPT-2's visible characters."""
    return to_mapped(c.encode("utf-8"))


def unicode_form(form: str, stretch: Stretch) -> Stretch:
    """One of Unicode's normal forms: NFC, NFD, NFKC, NFKD."""
    if stretch.text.isascii() or (stretch.spans and unicodedata.is_normalized(form, stretch.text)):
        return stretch
    if stretch.spans is None:
        return Stretch(unicodedata.normalize(form, stretch.text), stretch.start)
    characters = decomposed(stretch.text, "NFKD" if "K" in form else "NFD")
    return stretch.changed(composed(characters) if form.endswith("C") else characters)


def strip(left: bool, right: bool, stretch: Stretch) -> Stretch:
    """Without white space at the ends."""
    text = stretch.text
    start = len(text) - len(text.lstrip(WHITE)) if left else 0
    end = max(start, len(text.rstrip(WHITE))) if right else len(text)
    return Stretch(text[start:end], stretch.start, stretch.spans and stretch.spans[start:end])


def prepend(prefix: str, stretch: Stretch) -> Stretch:
    """A prefix in front of every text that is not empty."""
    return stretch.prepend(prefix)


def replace(
    pattern: regex.Pattern[str], content: str, literal: str | None, stretch: Stretch, *, whole: bool = False
) -> Stretch:
    """Every match of a pattern becomes `content`.

    Args:
        literal: the text that the pattern is, if it is one.
        whole: the content stands for all of the match, not for its last character alone.
    """
    text, old = stretch.text, stretch.spans
    if literal and old is None:
        _check_growth(text, text.count(literal), content)
        return Stretch(text.replace(literal, content), stretch.start)
    found = pieces(pattern, text)
    _check_growth(text, sum(match for *_, match in found), content)
    new = "".join([content if match else text[start:end] for start, end, match in found])
    if old is None:
        return Stretch(new, stretch.start)
    spans: list[Span] = []
    for start, end, match in found:
        if match:
            span = old[end - 1] if end else (stretch.start, stretch.start)
            spans += [stretch.span(start, end) if whole else span] * len(content)
        else:
            spans += old[start:end]
    return Stretch(new, stretch.start, spans)


def _check_growth(text: str, count: int, content: str) -> None:
    """Before memory is taken: several such steps, each of which makes a text longer, fill any."""
    if count * len(content) > GROWTH * len(text) + GROWN_CHARACTERS:
        raise UserError(f"the tokenizer replaces {count} parts of a text by {len(content)} characters each")


def one_by_one(steps: Iterable[Normalizer], stretch: Stretch) -> Stretch:
    """One step after the other."""
    most = GROWTH * len(stretch.text) + GROWN_CHARACTERS
    for step in steps:
        stretch = step(stretch)
        if len(stretch.text) > most:
            raise UserError(f"the tokenizer's normalizer makes a text of more than {most} characters")
    return stretch
