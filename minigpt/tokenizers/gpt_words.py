"""Cut a text into the words that GPT's byte-pair encoding works on: standardised, lower case, punctuation apart.

The original standardised the text, cut it with spaCy's English tokenizer and lower-cased each word; "gpt" does that
with a small English tokenizer of our own in spaCy's place, which agrees on ordinary prose. "hf" is what Hugging Face's
version of the model does instead: BERT's basic tokenizer.
"""

from __future__ import annotations

import re
from functools import partial

import regex

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import last_match
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.json_parts import replace, split
from minigpt.tokenizers.pipeline import normalizers
from minigpt.tokenizers.pipeline.stretch import Stretch
from minigpt.tokenizers.white_space import WHITE

RULES = ("gpt", "hf")

# Text standardisation: some typographic characters, then the white space, which is Python's (the original is Python),
# spelt out because other readers of our files mean less by \s. A run is matched from its beginning only, in one go.
REPLACED = {"—": "-", "–": "-", "―": "-", "…": "...", "´": "'"}
_LINE_WHITE = WHITE.replace("\n", "") + "\x1c\x1d\x1e\x1f"
SPACE_AT_BREAK = f"(?<![\n{_LINE_WHITE}])[\n{_LINE_WHITE}]*\n[\n{_LINE_WHITE}]*"  # becomes " \n ": a break is a token
OTHER_SPACE = f"[{_LINE_WHITE}]+"  # becomes one space
# Runs of one of these marks are tokens; the original put spaces around them.
RUNS = r"-+|~+|!+|\"+|;+|\?+|\++|,+|\)+|\(+|\\+|/+|\*+|\[+|\]+|\}+|\{+|\|+|_+"
# What is left between spaces: contractions come apart, and marks leave the beginning and the end of a word.
CLITICS = r"n't|'(?:s|m|d|re|ve|ll)"
ABBREVIATION = r"(?:mr|mrs|ms|dr|st|jr|sr|prof|gen|gov|sen|rep|vs|etc|inc|ltd|co|corp)\.|(?:[a-z]\.){2,}"
WORD = (
    rf"\n|{RUNS}|\.{{2,}}"
    rf"|(?i:{ABBREVIATION})(?=\s|$)"
    rf"|(?i:{CLITICS})(?!\w)"
    r"|[$£€#](?=\d)"
    rf"|\w(?:(?!(?i:{CLITICS})(?!\w))(?:\w|[.'’:&@](?=\w)))*"
    r"|\S"
)

_BEFORE_SPACE = regex.compile(f"(?<=[^\n{_LINE_WHITE}])(?=[\n{_LINE_WHITE}])", regex.REVERSE)


class GPTWords:
    """The words of a text under one of the two rules.

    Args:
        rule: "gpt" or "hf".
        use_ftfy: first mend broken Unicode with ftfy, as the original did. It needs the package `ftfy`, and offsets
            cannot be given then, because ftfy does not say what it changed.

    Raises:
        UserError: ftfy is asked for and not installed.
    """

    def __init__(self, rule: str = "gpt", use_ftfy: bool = False):
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}: choose one of {', '.join(RULES)}")
        self.rule, self.use_ftfy = rule, use_ftfy
        self._fix = _ftfy() if use_ftfy else None
        self._bert = BertWords(lower=True, rule="hf") if rule == "hf" else None
        self._word = re.compile(WORD)
        self._break, self._space = re.compile(SPACE_AT_BREAK), re.compile(OTHER_SPACE)

    def words(self, text: str) -> list[str]:
        """The words of `text`, normalized."""
        if self._fix:
            text = self._fix(text)
        if self._bert:
            return self._bert.words(text)
        text = "".join(REPLACED.get(c, c) for c in text) if not text.isascii() else text
        text = self._space.sub(" ", self._break.sub(" \n ", text)).strip()
        return [word.lower() for word in self._word.findall(text)]

    def last_cut(self, text: str) -> int:
        """Where a text may be cut (see `streaming`): no word reaches over white space. ftfy may change anything."""
        if self._fix:
            return 0
        return self._bert.last_cut(text) if self._bert else last_match(_BEFORE_SPACE, text)

    def stretches(self, text: str) -> list[Stretch]:
        """The same words, whose characters know where in `text` they came from."""
        if self._fix:
            raise UserError("offsets cannot be given with ftfy, which does not say what it changed")
        if self._bert:
            return self._bert.stretches(text)
        stretch = _STANDARDISE(Stretch.of(text))
        words = (stretch.slice(*match.span()) for match in self._word.finditer(stretch.text))
        return [normalizers.LOWER_IN_CONTEXT(word) for word in words]

    def to_json(self) -> tuple[dict, dict]:
        """The normalizer and the pre-tokenizer of a tokenizer.json; ftfy has no counterpart there."""
        if self._bert:
            return self._bert.to_json()
        steps = [replace({"String": old}, new) for old, new in REPLACED.items()]
        steps += [replace({"Regex": SPACE_AT_BREAK}, " \n "), replace({"Regex": OTHER_SPACE}, " ")]
        steps += [{"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Lowercase"}]
        return {"type": "Sequence", "normalizers": steps}, split(WORD, "Removed", invert=True)


_STANDARDISE = partial(
    normalizers.one_by_one,
    [
        normalizers.PerCharacter(lambda c: REPLACED.get(c, c)),
        partial(normalizers.replace, regex.compile(SPACE_AT_BREAK), " \n ", None, whole=True),
        partial(normalizers.replace, regex.compile(OTHER_SPACE), " ", None, whole=True),
        partial(normalizers.strip, True, True),
    ],
)


def _ftfy():
    try:
        import ftfy
    except ImportError:
        raise UserError("ftfy is not installed: pip install ftfy, or leave it out") from None
    return ftfy.fix_text
