"""The tasks by name: what kind of examples each has, its classes, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minigpt.tasks.examples import (
    ENTAILMENT,
    TWO_WAY,
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
from minigpt.tasks.files import reader
from minigpt.tasks.readers import glue, nli, pronouns, race, reading, stories, texts


class Task(NamedTuple):
    """A task.

    Attributes:
        name: as it is written on the command line.
        kind: the type of its examples, one of `minigpt.tasks.examples`.
        labels: the classes in words, in the order of their indices; () where there are none, or where they are options.
        metrics: names from `minigpt.tasks.metrics`; the first is the headline.
        symmetric: the two texts may change places without a change of the answer.
        about: what is asked, in one sentence.
        read: read(folder, split) gives the examples of a part (train, dev, test; of MNLI also dev-mismatched and
            test-mismatched) of the data set as it is downloaded. The folder is the data set's own or the one above it,
            or a single file, which then is the part. A malformed row raises UserError with file and line.
    """

    name: str
    kind: type[Example]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    symmetric: bool
    about: str
    read: Callable[[str | Path, str], list[Example]]


def _task(
    name: str,
    read: Callable[[Path, str], list],
    kind: type[Example],
    about: str,
    metrics: str = "accuracy",
    labels: tuple[str, ...] = (),
    symmetric: bool = False,
) -> Task:
    return Task(name, kind, labels, tuple(metrics.split()), symmetric, about, reader(read))


_C, _M = Classification, MultipleChoice
_SUMMARY = "rouge-1 rouge-2 rouge-lsum"
_BOOKS = "Which of ten words is missing from the twenty-first sentence?"

TASKS = {
    task.name: task
    for task in (
        _task("cola", glue.read_cola, _C, "Is it good English?", "matthews accuracy", ("unacceptable", "acceptable")),
        _task("sst2", glue.read_sst2, _C, "Does the text praise or blame?", labels=("negative", "positive")),
        _task(
            "mrpc",
            glue.read_mrpc,
            _C,
            "Do two sentences say the same?",
            "f1 accuracy",
            ("not_equivalent", "equivalent"),
            symmetric=True,
        ),
        _task(
            "qqp",
            glue.read_qqp,
            _C,
            "Do two questions ask the same?",
            "f1 accuracy",
            ("not_duplicate", "duplicate"),
            symmetric=True,
        ),
        _task(
            "stsb",
            glue.read_stsb,
            Similarity,
            "How similar are two sentences, from 0 to 5?",
            "pearson spearman",
            symmetric=True,
        ),
        _task("mnli", nli.read_mnli, _C, "Does the premise entail or contradict the hypothesis?", labels=ENTAILMENT),
        _task("qnli", glue.read_qnli, _C, "Does the sentence answer the question?", labels=TWO_WAY),
        _task("rte", glue.read_rte, _C, "Does the premise entail the hypothesis?", labels=TWO_WAY),
        _task("wnli", glue.read_wnli, _C, "Is the pronoun replaced rightly?", labels=("not_entailment", "entailment")),
        _task("ax", glue.read_ax, _C, "Does the first sentence entail or contradict the second?", labels=ENTAILMENT),
        _task("snli", nli.read_snli, _C, "Does the caption entail or contradict the hypothesis?", labels=ENTAILMENT),
        _task("story-cloze", stories.read_story_cloze, _M, "Which of two endings belongs to the story?"),
        _task("race", race.read_race, _M, "Which of four answers to a question about the article is right?"),
        _task("race-middle", race.read_race_middle, _M, "RACE, middle schools: which of four answers is right?"),
        _task("race-high", race.read_race_high, _M, "RACE, high schools: which of four answers is right?"),
        _task("swag", stories.read_swag, _M, "Which of four endings is what happens next?"),
        _task("copa", stories.read_copa, _M, "Which of two is the cause, or the effect, of the premise?"),
        _task("cbt-cn", stories.read_cbt_cn, _M, _BOOKS),
        _task("cbt-ne", stories.read_cbt_ne, _M, _BOOKS.replace("words", "names")),
        _task(
            "squad", reading.read_squad, Span, "Which words of the text answer the question?", "token-f1 exact-match"
        ),
        _task(
            "lambada", reading.read_lambada, LastWord, "What is the last word of the passage?", "accuracy perplexity"
        ),
        _task("dprd", pronouns.read_dprd, Pronoun, "Whom does the pronoun stand for?"),
        _task("winograd", pronouns.read_winograd, Pronoun, "Whom or what does the pronoun stand for?"),
        _task("cnn-dm", texts.read_cnn_dm, Summary, "What is the article about, in a few sentences?", _SUMMARY),
        _task("xsum", texts.read_xsum, Summary, "What is the article about, in one sentence?", _SUMMARY),
        _task("translation", texts.read_translation, Translation, "What is it in the other language?", "bleu"),
    )
}
