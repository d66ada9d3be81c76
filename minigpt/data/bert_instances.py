"""BERT's training examples (Devlin et al. 2019): which sentences stand together, in which order, cut where.

An example is a few numbers: the slice of the token ids that is segment A, the one that is segment B, and whether B
really follows A. A pass goes over every document once with fresh randomness; the first `dupe_factor` passes differ,
then they come again, as in BERT's released preprocessing, which writes every document out so many times. Which example
stands where is a pure function of (seed, place in the stream), so a run that resumes sees what it would have seen.

Unlike there, examples are shuffled within a pass and not over all of them: each pass is over before the next begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import numpy as np

from minigpt.core.settings import at_least, one_of, require
from minigpt.data.document_shards import Documents
from minigpt.data.sentences import FORMS

IS_NEXT, NOT_NEXT = 0, 1  # BERT's labels: 0 means that B follows A

_TRIES = 10  # to find another document for a random next segment


@dataclass(frozen=True)
class BertData:
    """How a text becomes examples; the defaults are those of BERT's released preprocessing for rows of 128 tokens.

    Attributes:
        documents: how the text's documents and sentences are told apart: "paragraphs", "sentences" or "stories" (see
            `minigpt.data.sentences`).
        short_probability: how often a document is cut into examples of a random, smaller length.
        dupe_factor: after how many passes over the documents the same examples, masks included, come again.
        mask_probability: the part of the tokens that is to be predicted.
        max_predictions: the largest number of them in one row.
        whole_words: whether the pieces of a word are hidden together.
    """

    documents: str = "paragraphs"
    short_probability: float = 0.1
    dupe_factor: int = 10
    mask_probability: float = 0.15
    max_predictions: int = 20
    whole_words: bool = False

    def __post_init__(self) -> None:
        one_of("objective.documents", self.documents, FORMS)
        short, mask = self.short_probability, self.mask_probability
        require(0 <= short <= 1, f"objective.short_probability is {short}; it must be from 0 to 1")
        require(0 < mask < 1, f"objective.mask_probability is {mask}; it must be between 0 and 1")
        at_least(1, "objective", self, "dupe_factor", "max_predictions")


class Pair(NamedTuple):
    """Segments A and B as half-open slices of `Documents.ids`, before they are cut to length."""

    a_start: int
    a_stop: int
    b_start: int
    b_stop: int
    label: int


def pass_pairs(
    documents: Documents, document: int, target: int, draw: np.random.Generator
) -> Iterator[tuple[Pair, int, int]]:
    """The pairs that one document gives, each with the sentences [first, last) of the document that it uses up.

    Sentences are gathered until they hold `target` tokens or the document ends. A takes a random number of them, but
    not all if there are two or more. With probability ½, or if A took the only one, B comes from a random place of
    another document and the sentences that A left are put back; otherwise B is those sentences.
    """
    sentences, first, end = documents.sentences, *documents.documents[document : document + 2].tolist()
    while first < end:
        stop = int(np.searchsorted(sentences, sentences[first] + target))  # first place with target tokens before it
        stop = min(max(stop, first + 1), end)
        a_end = first + (int(draw.integers(1, stop - first)) if stop - first > 1 else 1)
        a = int(sentences[first]), int(sentences[a_end])
        if stop - first == 1 or draw.random() < 0.5:
            yield Pair(*a, *_random_segment(documents, document, target - (a[1] - a[0]), draw), NOT_NEXT), first, a_end
            first = a_end
        else:
            yield Pair(*a, a[1], int(sentences[stop]), IS_NEXT), first, stop
            first = stop


def _random_segment(documents: Documents, document: int, target: int, draw: np.random.Generator) -> tuple[int, int]:
    """Sentences from a random one on, in another document if ten tries find one, until they hold `target` tokens."""
    for _ in range(_TRIES):
        other = int(draw.integers(documents.count))
        if other != document:
            break
    start, end = documents.documents[other : other + 2].tolist()
    first = int(draw.integers(start, end))
    begin = int(documents.sentences[first])
    stop = int(np.searchsorted(documents.sentences, begin + target))
    return begin, int(documents.sentences[min(max(stop, first + 1), end)])


def truncate_pair(pair: Pair, most: int, draw: np.random.Generator) -> Pair:
    """Take tokens off the longer segment (off B if they are equal) until both hold `most`, each off a random end."""
    a, b = pair.a_stop - pair.a_start, pair.b_stop - pair.b_start
    if a + b <= most:
        return pair
    # taking them off one at a time ends where the segments are equal, or where the longer alone has given enough
    excess = a + b - most
    if a - b >= excess:
        a_cut = excess
    elif b - a >= excess:
        a_cut = 0
    else:  # they are equal at min(a, b); from there B, A, B, …
        a_cut = max(a - b, 0) + (excess - abs(a - b)) // 2
    b_cut = excess - a_cut
    a_front, b_front = (int(draw.binomial(cut, 0.5)) for cut in (a_cut, b_cut))  # each off the front or off the back
    return Pair(
        pair.a_start + a_front,
        pair.a_stop - (a_cut - a_front),
        pair.b_start + b_front,
        pair.b_stop - (b_cut - b_front),
        pair.label,
    )


def target_length(most: int, short_probability: float, draw: np.random.Generator) -> int:
    """`most`, or now and then less: so the model also learns positions in short texts."""
    if draw.random() < short_probability:
        return int(draw.integers(2, most + 1))
    return most


def pair_examples(
    documents: Documents, context: int, short_probability: float, draw: np.random.Generator
) -> np.ndarray:
    """One pass over all documents: (N, 5) pairs that fit `context` with [CLS], [SEP] and [SEP], in random order."""
    most = context - 3
    examples = []
    for document in draw.permutation(documents.count).tolist():
        target = target_length(most, short_probability, draw)  # once for each document
        examples += [truncate_pair(pair, most, draw) for pair, _, _ in pass_pairs(documents, document, target, draw)]
    return draw.permutation(np.array(examples, dtype=np.int64))


def single_examples(
    documents: Documents, context: int, short_probability: float, draw: np.random.Generator
) -> np.ndarray:
    """One pass without sentence pairs: (N, 5), where B is empty and the label says nothing.

    As RoBERTa's "full sentences" (Liu et al. 2019): whole sentences in the order of the text, as many as fit, going on
    into the next document with a [SEP] between the two. The first sentence of the pass is a random one, so that every
    pass cuts elsewhere; a sentence too long for an example is continued in the next. Every token comes exactly once.
    """
    first, last = int(documents.documents[0]), int(documents.documents[-1])
    begin = int(draw.integers(first, last))
    examples = [
        (a, b, b, b, IS_NEXT)
        for start, stop in ((begin, last), (first, begin))
        for a, b in _packed(documents, start, stop, context - 2, short_probability, draw)
    ]
    return draw.permutation(np.array(examples, dtype=np.int64))


def _packed(
    documents: Documents, first: int, last: int, most: int, short_probability: float, draw: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Slices of the ids of sentences first … last − 1, whole sentences where they fit."""
    sentences = documents.sentences
    ends = sentences[documents.documents]  # where documents end, each of which costs a [SEP]
    start, stop = int(sentences[first]), int(sentences[last])
    while start < stop:
        target = target_length(most, short_probability, draw)
        s = int(np.searchsorted(sentences, start, side="right"))  # sentences[s] is the end of the first one
        end = min(int(sentences[s]), start + most)  # at least one sentence, or as much of it as fits
        while s < last:
            s += 1
            inner = np.searchsorted(ends, sentences[s]) - np.searchsorted(ends, start, side="right")
            if sentences[s] - start + inner > target:
                break
            end = int(sentences[s])
        yield start, end
        start = end


@dataclass(eq=False)
class Stream:
    """Examples without end: pass after pass, the first `dupe_factor` passes again and again.

    Only the lengths of the passes and the pass in use are kept; a jump elsewhere makes what it needs.
    """

    documents: Documents
    settings: BertData
    _: KW_ONLY
    context: int
    pairs: bool
    seed: int

    def __post_init__(self) -> None:
        self._lengths: list[int] = []
        self._number, self._examples = -1, np.empty((0, 5), dtype=np.int64)

    def examples_of_pass(self, number: int) -> np.ndarray:
        """The (N, 5) examples of pass `number` < dupe_factor."""
        if number != self._number:
            make = pair_examples if self.pairs else single_examples
            draw = np.random.default_rng([self.seed, number])
            self._examples = make(self.documents, self.context, self.settings.short_probability, draw)
            self._number = number
        return self._examples

    def _length(self, number: int) -> int:
        while len(self._lengths) <= number:
            self._lengths.append(len(self.examples_of_pass(len(self._lengths))))
        return self._lengths[number]

    def place(self, position: int) -> tuple[int, int]:
        """The (pass, index in it) of an example of the stream."""
        number = 0
        while position >= self._length(number):
            position -= self._length(number)
            number += 1
            if number == self.settings.dupe_factor:  # all passes once: from here on they come again
                number, position = 0, position % sum(self._lengths)
        return number, position

    def take(self, position: int, count: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """The (pass, index, example) of `count` examples from `position` on."""
        number, index = self.place(position)
        for _ in range(count):
            if index == self._length(number):
                number, index = (number + 1) % self.settings.dupe_factor, 0
            yield number, index, self.examples_of_pass(number)[index]
            index += 1
