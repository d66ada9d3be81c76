"""The tasks by name: what kind of examples each has, its classes, and how it is scored."""

from __future__ import annotations

from typing import NamedTuple

from minigpt.tasks.examples import (
    Classification,
    Example,
    LastWord,
    MultipleChoice,
    Pronoun,
    Similarity,
    Span,
    Summary,
    Translation,
)

ENTAILMENT = ("entailment", "neutral", "contradiction")


class Task(NamedTuple):
    """A task.

    Attributes:
        name: as it is written on the command line.
        kind: the type of its examples, one of `minigpt.tasks.examples`.
        labels: the classes in words, in the order of their indices; () where there are none, or where they are options.
        metrics: names from `minigpt.tasks.metrics`; the first is the headline.
        symmetric: the two texts may change places without a change of the answer.
        about: what is asked, in one sentence.
    """

    name: str
    kind: type[Example]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    symmetric: bool
    about: str


def _task(
    name: str, kind: type[Example], about: str, metrics: str, labels: tuple[str, ...] = (), symmetric: bool = False
) -> Task:
    return Task(name, kind, labels, tuple(metrics.split()), symmetric, about)


_C, _M = Classification, MultipleChoice
_SUMMARY = "rouge-1 rouge-2 rouge-lsum"

TASKS = {
    task.name: task
    for task in (
        _task("cola", _C, "Is the sentence good English?", "matthews accuracy", ("unacceptable", "acceptable")),
        _task("sst2", _C, "Does the text praise or blame?", "accuracy", ("negative", "positive")),
        _task("mrpc", _C, "Do they say the same?", "f1 accuracy", ("not_equivalent", "equivalent"), symmetric=True),
        _task("qqp", _C, "Do they ask the same?", "f1 accuracy", ("not_duplicate", "duplicate"), symmetric=True),
        _task("stsb", Similarity, "How similar are two sentences, from 0 to 5?", "pearson spearman", symmetric=True),
        _task("mnli", _C, "Does the premise entail the hypothesis or contradict it?", "accuracy", ENTAILMENT),
        _task("qnli", _C, "Does the sentence answer the question?", "accuracy", ("entailment", "not_entailment")),
        _task("rte", _C, "Does the premise entail the hypothesis?", "accuracy", ("entailment", "not_entailment")),
        _task("snli", _C, "Does the caption entail the hypothesis or contradict it?", "accuracy", ENTAILMENT),
        _task("story-cloze", _M, "Which of two endings belongs to the story?", "accuracy"),
        _task("race", _M, "Which of four answers to a question about the article is right?", "accuracy"),
        _task("swag", _M, "Which of four endings is what happens next?", "accuracy"),
        _task("copa", _M, "Which of two is the cause, or the effect, of the premise?", "accuracy"),
        _task("squad", Span, "Which words of the context answer the question, if any?", "token-f1 exact-match"),
        _task("lambada", LastWord, "What is the last word of the passage?", "accuracy perplexity"),
        _task("dprd", Pronoun, "Whom does the pronoun stand for?", "accuracy"),
        _task("cnn-dm", Summary, "What is the article about?", _SUMMARY),
        _task("translation", Translation, "What is it in the other language?", "bleu"),
    )
}
