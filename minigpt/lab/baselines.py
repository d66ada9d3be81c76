"""How far counting words goes: logistic regression on bags of words, by which a task can be judged before any model is.

Three views of an example, each for a classifier of its own:

    words       how often each word stands in each text
    alone       the same of the option, ending, hypothesis or second sentence by itself
    overlap     which words two texts share, how many, and which share of them that is

Of multiple choice and pronouns, every option is judged by itself, right or wrong, and the one with the best odds taken.
Where there are neither classes nor options, `simplest` gives the answers that need no model at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError
from minigpt.tasks import TASKS
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
from minigpt.tasks.metrics import evaluate_task
from minigpt.tasks.world import MADE

# The features of a text and a second one ("" where there is none) as {name: number}.
Features = Callable[[str, str], dict[str, float]]


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def words(first: str, second: str) -> dict[str, float]:
    counts = Counter(f"first {word}" for word in tokens(first))
    counts.update(f"second {word}" for word in tokens(second))
    return dict(counts)


def alone(first: str, second: str) -> dict[str, float]:
    return dict(Counter(tokens(second or first)))


def overlap(first: str, second: str) -> dict[str, float]:
    one, two = tokens(first), tokens(second)
    shared = Counter(one) & Counter(two)
    sizes = {"# shared": shared.total(), "# first": len(one), "# second": len(two)}
    parts = {"% of first": shared.total() / max(len(one), 1), "% of second": shared.total() / max(len(two), 1)}
    present = {"# of second in first": sum(word in one for word in two)}
    return {**shared, **sizes, **parts, **present}


COUNTABLE = (Classification, MultipleChoice, Pronoun)
VIEWS: dict[str, Features] = {"words": words, "alone": alone, "overlap": overlap}


def sklearn_modules() -> list[Any]:
    """What counting words needs of scikit-learn; a UserError where it is not installed."""
    names = ("pipeline", "linear_model", "feature_extraction", "preprocessing")
    try:
        return [import_module(f"sklearn.{name}") for name in names]
    except ImportError:
        raise UserError('counting words needs scikit-learn; in the clone, pip install ".[tasks]" brings it') from None


def count_words(train: Sequence[Example], test: Sequence[Example], view: str) -> float:
    """The accuracy on `test` of a classifier that has learned from `train`.

    Raises:
        UserError: the kind of task is neither classification nor multiple choice nor pronouns; scikit-learn is missing;
            all training examples are of one class.
    """
    pipeline, linear, extraction, preprocessing = sklearn_modules()
    if not isinstance(train[0], COUNTABLE):
        raise UserError("counting words answers only where there are classes or options")
    classifier = pipeline.make_pipeline(
        extraction.DictVectorizer(),
        preprocessing.MaxAbsScaler(),
        linear.LogisticRegression(max_iter=300),
    )
    rows, labels, _ = _rows(train, VIEWS[view])
    if len(set(labels)) < 2:
        raise UserError(f"counting words needs training examples of two classes; all {len(train)} are of one")
    classifier.fit(rows, labels)
    rows, _, starts = _rows(test, VIEWS[view])
    if isinstance(test[0], Classification):
        answers = classifier.predict(rows)
    else:
        odds = classifier.decision_function(rows)
        answers = [odds[start:end].argmax() for start, end in pairwise(starts)]
    return sum(int(a) == example.label for a, example in zip(answers, test, strict=True)) / len(test)


def _rows(examples: Sequence[Any], features: Features) -> tuple[list[dict[str, float]], list[int], list[int]]:
    """Features and label of everything that is judged, and where the rows of each example start."""
    rows, labels, starts = [], [], [0]
    for example in examples:
        for pair, label in _cases(example):
            rows.append(features(*pair))
            labels.append(label)
        starts.append(len(rows))
    return rows, labels, starts


def _cases(example: Any) -> list[tuple[tuple[str, str], int]]:
    """The pairs of texts that are judged, and the label of each: of every option, whether it is right."""
    if isinstance(example, Classification):
        return [((example.text, example.pair or ""), example.label)]
    if isinstance(example, MultipleChoice):
        texts = [(f"{example.context} {example.question}", option) for option in example.options]
    else:
        texts = [(f"{example.before}{example.pronoun}{example.after}", option) for option in example.candidates]
    return [(pair, int(i == example.label)) for i, pair in enumerate(texts)]


def simplest(train: Sequence[Any], test: Sequence[Any]) -> tuple[str, list[Any]]:
    """The predictions that anybody would begin with, for tasks without classes and options, and what they are.

    Similarity: the share of words in common. Spans and last words: the answer that is most frequent in training.
    Summaries: the first three sentences (Lead-3). Translations: a copy of the source.
    """
    match test[0]:
        case Similarity():
            return "shared words", [overlap(e.text, e.pair)["% of first"] for e in test]
        case Span():
            most = Counter(text for e in train for text, _ in e.answers).most_common(1)[0][0]
            return "most frequent answer", [most] * len(test)
        case LastWord():
            return "most frequent word", [Counter(e.word for e in train).most_common(1)[0][0]] * len(test)
        case Summary():
            return "Lead-3", ["\n".join(re.split(r"(?<=[.!?])\s+", e.article)[:3]) for e in test]
        case Translation():
            return "copy", [e.source for e in test]
    raise UserError("this task has classes or options; count words instead")


def measured(name: str, folder: Path) -> dict[str, float]:
    """On the test part: chance and classifiers that count words, or the simplest answers, by the headline metric."""
    task, made = TASKS[name], MADE[name]
    test = task.read(folder, "test")
    chance = {"chance": 1 / (len(task.labels) or len(getattr(test[0], "options", getattr(test[0], "candidates", "?"))))}
    if "train" not in made.parts:
        return chance
    train = task.read(folder, "train")
    if task.kind in COUNTABLE:
        return chance | {view: count_words(train, test, view) for view in VIEWS}
    what, predictions = simplest(train, test)
    return {f"{what} ({score.metric})": score.value for score in evaluate_task(task, predictions, test)}
