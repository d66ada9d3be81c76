"""What an example of a task is, one type for each kind of task: plain tuples of texts, whatever file they came from.

Everything that uses a task (fine-tuning, scoring, prompts, metrics) knows these types and nothing of file formats. A
label that a file does not give, as in the test parts of GLUE, is None.
"""

from __future__ import annotations

from typing import NamedTuple

ENTAILMENT = ("entailment", "neutral", "contradiction")  # MNLI, SNLI, AX
TWO_WAY = ("entailment", "not_entailment")  # RTE, QNLI


class Classification(NamedTuple):
    """A text, or a pair of texts, to be sorted into one of a few classes (CoLA, SST-2, MRPC, QQP, MNLI, QNLI, RTE).

    Attributes:
        text: the sentence; of a pair, the first (the premise, the question).
        pair: the second text (the hypothesis, the sentence that may hold the answer), or None.
        label: an index into the task's `labels`.
    """

    text: str
    pair: str | None
    label: int | None


class Similarity(NamedTuple):
    """Two sentences and how similar they are, from 0 (nothing in common) to 5 (the same meaning) (STS-B)."""

    text: str
    pair: str
    score: float | None


class MultipleChoice(NamedTuple):
    """A context, perhaps a question about it, and options of which one is right (Story Cloze, RACE, SWAG, COPA).

    Attributes:
        context: the story, the article, the premise.
        question: "" where the options simply continue the context; in COPA the word "cause" or "effect"; in CBT the
            sentence with XXXXX where a word is missing.
        options: the endings, the answers.
        label: which option is right, from 0.
    """

    context: str
    question: str
    options: tuple[str, ...]
    label: int | None


class Span(NamedTuple):
    """A question whose answer is a piece of a context, or that the context does not answer (SQuAD).

    Attributes:
        id: the question's name in the file, under which predictions are submitted.
        answers: (text, character of the context where it starts) for every reference; none if `impossible` or unknown.
        impossible: the context does not answer the question (SQuAD 2.0).
    """

    id: str
    question: str
    context: str
    answers: tuple[tuple[str, int], ...]
    impossible: bool


class LastWord(NamedTuple):
    """A passage without its last word, and the word (LAMBADA). The space between them belongs to neither."""

    context: str
    word: str


class Pronoun(NamedTuple):
    """A pronoun and those it may stand for (DPRD, Winograd); before + pronoun + after is the text.

    Attributes:
        label: which candidate it stands for, from 0.
    """

    before: str
    pronoun: str
    after: str
    candidates: tuple[str, ...]
    label: int | None


class Summary(NamedTuple):
    """An article and its summary, whose sentences are separated by newlines (CNN/DM)."""

    article: str
    summary: str


class Translation(NamedTuple):
    """A text and what it is in the other language."""

    source: str
    target: str


class Story(NamedTuple):
    """A story of five sentences (ROCStories): what Story Cloze's stories are like, to learn from without choices."""

    title: str
    sentences: tuple[str, ...]


Example = Classification | Similarity | MultipleChoice | Span | LastWord | Pronoun | Summary | Translation
