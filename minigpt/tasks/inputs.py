"""Input transformations: how an example of a task becomes the sequences of tokens that a model reads.

Each family has its own way to say where texts begin, where the second one starts and where the answer is read from:

    GPT     <start> text <extract>    <start> text <delimiter> second <extract>    (Radford et al. 2018, figure 1)
    BERT    [CLS] text [SEP]          [CLS] text [SEP] second [SEP]                (the second text: token type 1)
    BART    <s> text </s>             <s> text </s> second </s>                    (as in the authors' code)

An example is told in one or two texts (`told`), several times where it has options. The second text is encoded as what
follows in running text would be, with a space before it where the tokenizer sees spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.data.bert_batch import special_ids
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


class Inputs:
    """Makes the sequences of one family for one tokenizer and context.

    A subclass has `specials`, how many special tokens a sequence of one text and one of two have, and `joined`.
    """

    specials: tuple[int, int]

    def __init__(self, tokenizer: Tokenizer, context: int, *, refuse: bool = False):
        """Args: with `refuse`, a text that does not fit the context is an error; otherwise it is cut."""
        self.tokenizer, self.context, self.refuse = tokenizer, context, refuse
        self.prefix = second_prefix(tokenizer)

    def sequence(self, text: str, second: str | None = None) -> Told:
        """Encode one text, or two.

        Raises:
            UserError: they do not fit the context, and are not to be cut.
        """
        parts = [self.tokenizer.encode(text)]
        if second is not None:
            parts.append(self.tokenizer.encode(self.prefix + second))
        room = self.context - self.specials[len(parts) - 1]
        length = sum(map(len, parts))
        if length <= room:
            return self.joined(parts, cut=False)
        if self.refuse or room < len(parts):
            raise UserError(
                f"the text {text[:40]!r}… has {length} tokens, but the model's context of {self.context} has room for "
                f'{max(room, 0)}; shorten it, or let it be cut (objective.overlong = "cut")'
            )
        return self.joined(self.shortened(parts, room), cut=True)

    def joined(self, parts: Sequence[list[int]], *, cut: bool) -> Told:
        raise NotImplementedError

    def shortened(self, parts: Sequence[list[int]], room: int) -> list[list[int]]:
        """Take tokens off the end of the longer text, one by one, as in BERT's code (ties: off the second)."""
        parts = [list(part) for part in parts]
        while sum(map(len, parts)) > room:
            longest = parts[0] if len(parts[0]) > len(parts[-1]) else parts[-1]
            longest.pop()
        return parts


class CausalInputs(Inputs):
    """GPT's sequences. Start, delimiter and extract are the last three ids of the vocabulary."""

    specials = (2, 3)

    def __init__(self, tokenizer: Tokenizer, context: int, vocab_size: int, *, refuse: bool = False):
        super().__init__(tokenizer, context, refuse=refuse)
        self.start, self.delimiter, self.extract = range(vocab_size - SPECIAL_ROWS, vocab_size)

    def joined(self, parts: Sequence[list[int]], *, cut: bool) -> Told:
        ids = [self.start, *parts[0]]
        for part in parts[1:]:
            ids += [self.delimiter, *part]
        return Told(np.array([*ids, self.extract]), None, cut)

    def shortened(self, parts: Sequence[list[int]], room: int) -> list[list[int]]:
        """As in GPT's code: each of two texts keeps its first context/2 − 2 tokens."""
        most = room if len(parts) == 1 else max(self.context // 2 - 2, 1)
        return [list(part[:most]) for part in parts]


class BertInputs(Inputs):
    """BERT's sequences, with their token types."""

    specials = (2, 3)

    def __init__(self, tokenizer: Tokenizer, context: int, *, refuse: bool = False):
        super().__init__(tokenizer, context, refuse=refuse)
        self.special = special_ids(tokenizer)

    def joined(self, parts: Sequence[list[int]], *, cut: bool) -> Told:
        ids, types = [self.special.cls], [0]
        for number, part in enumerate(parts):
            ids += [*part, self.special.sep]
            types += [number] * (len(part) + 1)
        return Told(np.array(ids), np.array(types), cut)


class BartInputs(Inputs):
    """BART's sequences: encoder and decoder read the same one."""

    specials = (2, 3)

    def __init__(self, tokenizer: Tokenizer, context: int, *, bos: int, eos: int, refuse: bool = False):
        super().__init__(tokenizer, context, refuse=refuse)
        self.bos, self.eos = bos, eos

    def joined(self, parts: Sequence[list[int]], *, cut: bool) -> Told:
        ids = [self.bos]
        for part in parts:
            ids += [*part, self.eos]
        return Told(np.array(ids), None, cut)


MakeInputs = Callable[[Any, Tokenizer, bool], Inputs]  # of a model's configuration, a tokenizer, whether to refuse


def causal_inputs(c: Any, tokenizer: Tokenizer, refuse: bool = False) -> Inputs:
    """Those of a decoder-only model."""
    return CausalInputs(tokenizer, c.context, c.vocab_size, refuse=refuse)


def bert_inputs(c: Any, tokenizer: Tokenizer, refuse: bool = False) -> Inputs:
    return BertInputs(tokenizer, c.context, refuse=refuse)


def bart_inputs(c: Any, tokenizer: Tokenizer, refuse: bool = False) -> Inputs:
    return BartInputs(tokenizer, c.context, bos=c.bos, eos=c.eos, refuse=refuse)
