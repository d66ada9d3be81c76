"""Input transformations: how an example of a task becomes the sequences of tokens that a model reads.

Each family has its own way to say where texts begin, where the second one starts and where the answer is read from:

    GPT     <start> text <extract>    <start> text <delimiter> second <extract>    (Radford et al. 2018, figure 1)
    BERT    [CLS] text [SEP]          [CLS] text [SEP] second [SEP]                (the second text: token type 1)
    RoBERTa <s> text </s>             <s> text </s></s> second </s>
    BART    <s> text </s>             <s> text </s> second </s>                    (as in the authors' code)

An example is told in one or two texts (`told`), several times where it has options. The second text is encoded as what
follows in running text would be, with a space before it where the tokenizer sees spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.data.bert_batch import separates_twice, special_ids
from minigpt.tasks.examples import Classification, MultipleChoice, Similarity
from minigpt.tokenizers import Tokenizer

SPECIAL_ROWS = 3  # start, delimiter and extract: the last rows of a decoder-only model's embedding
_SPACED = ("byte", "char", "bpe")  # the kinds of tokenizers to which " word" and "word" are different things


class Told(NamedTuple):
    """What the model reads.

    Attributes:
        ids: (n,) the tokens.
        types: (n,) BERT's token types; None elsewhere.
        cut: whether tokens were left out because the context is too short.
    """

    ids: np.ndarray
    types: np.ndarray | None
    cut: bool


def told(example: Any, *, both_orders: bool = False) -> list[tuple[str, str | None]]:
    """The texts of each of an example's sequences: one text, or a first and a second.

    A choice has a sequence for each option; document and question are one text, with no delimiter between them.

    Args:
        both_orders: tell a pair twice, the second time the other way round (GPT's similarity tasks).
    """
    match example:
        case Classification(text, pair, _) | Similarity(text, pair, _):
            return [(text, pair), (pair, text)] if both_orders and pair is not None else [(text, pair)]
        case MultipleChoice(context, question, options, _):
            return [(" ".join(filter(None, (context, question))), option) for option in options]
    raise TypeError(f"a {type(example).__name__} is not told in such sequences")


def second_prefix(tokenizer: Tokenizer) -> str:
    """What stands before the second text."""
    return " " if tokenizer.kind in _SPACED else ""


class Marks(NamedTuple):
    """The special tokens before the first text, between two texts, at the end, and behind that in a batch."""

    begin: int
    between: int
    end: int
    pad: int


@dataclass(frozen=True)
class Inputs:
    """Makes the sequences of one family for one tokenizer and context.

    Attributes:
        refuse: a text that does not fit the context is an error; otherwise it is cut.
        typed: tokens have types, 1 those of a second text and of the mark behind it.
        halves: of two texts that do not fit, each is cut to half of the context, instead of the longer one.
        twice: two marks stand between two texts.
    """

    tokenizer: Tokenizer
    context: int
    marks: Marks
    _: KW_ONLY
    refuse: bool
    typed: bool = False
    halves: bool = False
    twice: bool = False

    @property
    def prefix(self) -> str:
        return second_prefix(self.tokenizer)

    def room(self, texts: int) -> int:
        """How many tokens of so many texts fit the context, besides the marks."""
        return self.context - 1 - texts - self.twice * (texts - 1)

    def sequence(self, text: str, second: str | None = None) -> Told:
        """Encode one text, or two.

        Raises:
            UserError: they do not fit the context, and are not to be cut.
        """
        parts = [self.tokenizer.encode(text)]
        if second is not None:
            parts.append(self.tokenizer.encode(self.prefix + second))
        room, length = self.room(len(parts)), sum(map(len, parts))
        if length <= room:
            return self.joined(parts, cut=False)
        if self.refuse or room < len(parts):
            raise UserError(
                f"the text {text[:40]!r}… has {length} tokens, but the model's context of {self.context} has room for "
                f'{max(room, 0)}; shorten it, or let it be cut (objective.overlong = "cut")'
            )
        return self.joined(self.shortened(parts, room), cut=True)

    def joined(self, parts: Sequence[list[int]], *, cut: bool) -> Told:
        """Put the marks around encoded texts."""
        ids, types = [self.marks.begin], [0]
        for number, part in enumerate(parts):
            ids += [self.marks.between] * (self.twice and number > 0)
            ids += [*part, self.marks.between]
            types += [number] * (len(ids) - len(types))
        ids[-1] = self.marks.end
        return Told(np.array(ids), np.array(types) if self.typed else None, cut)

    def shortened(self, parts: Sequence[list[int]], room: int) -> list[list[int]]:
        """Take tokens off the end of the longer text, one by one, as in BERT's code (ties: off the second).

        With `halves`, as in GPT's code, each of two texts keeps its first context/2 − 2 tokens.
        """
        if self.halves:
            most = room if len(parts) == 1 else max(self.context // 2 - 2, 1)
            return [list(part[:most]) for part in parts]
        parts = [list(part) for part in parts]
        while sum(map(len, parts)) > room:
            longest = parts[0] if len(parts[0]) > len(parts[-1]) else parts[-1]
            longest.pop()
        return parts


MakeInputs = Callable[[Any, Tokenizer, bool], Inputs]  # of a model's configuration, a tokenizer, whether to refuse


def causal_inputs(c: Any, tokenizer: Tokenizer, refuse: bool = False) -> Inputs:
    """A decoder-only model's. Start, delimiter and extract are the last three ids of the vocabulary."""
    start, delimiter, extract = range(c.vocab_size - SPECIAL_ROWS, c.vocab_size)
    return Inputs(tokenizer, c.context, Marks(start, delimiter, extract, pad=extract), refuse=refuse, halves=True)


def bert_inputs(c: Any, tokenizer: Tokenizer, refuse: bool = False) -> Inputs:
    special = special_ids(tokenizer)
    marks = Marks(special.cls, special.sep, special.sep, special.pad)
    twice = separates_twice(tokenizer)
    return Inputs(tokenizer, c.context, marks, refuse=refuse, typed=c.token_types > 1, twice=twice)


def bart_inputs(c: Any, tokenizer: Tokenizer, refuse: bool = False) -> Inputs:
    """BART's: encoder and decoder read the same sequence."""
    return Inputs(tokenizer, c.context, Marks(c.bos, c.eos, c.eos, c.pad), refuse=refuse)
