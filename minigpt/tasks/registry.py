"""The tasks by name: what kind of examples each has, its classes, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from minigpt.tasks import examples as kinds
from minigpt.tasks.examples import ENTAILMENT, TWO_WAY
from minigpt.tasks.files import checked
from minigpt.tasks.readers import glue, nli, pronouns, race, reading, stories, texts


class Task(NamedTuple):
    """A task.

    Attributes:
        name: as it is written on the command line.
        kind: the type of its examples, one of `minigpt.tasks.examples`.
        read: read(folder, split) gives the examples of a part (train, dev, test; of MNLI also dev-mismatched and
            test-mismatched) of the data set as it is downloaded. The folder is the data set's own or the one above it,
            or a single file, which then is the part. A malformed row raises UserError with file and line.
        about: what is asked, in one sentence.
        labels: the classes in words, in the order of their indices; () where there are none, or where they are options.
        metrics: names from `minigpt.tasks.metrics`; the first is the headline.
        symmetric: the two texts may change places without a change of the answer.
    """

    name: str
    kind: type[kinds.Example]
    read: Callable[[Any, str], list[Any]]
    about: str
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    symmetric: bool = False


_C, _M = kinds.Classification, kinds.MultipleChoice
_F1, _ROUGE = ("f1", "accuracy"), ("rouge-1", "rouge-2", "rouge-lsum")
_BOOKS = "Which of ten words is missing from the twenty-first sentence?"
_CORRELATIONS, _ANSWERS = ("pearson", "spearman"), ("token-f1", "exact-match")
_PERPLEXITY = ("accuracy", "perplexity")
_COLA = ("unacceptable", "acceptable")

_TASKS = (
    Task("cola", _C, glue.read_cola, "Is it good English?", _COLA, ("matthews", "accuracy")),
    Task("sst2", _C, glue.read_sst2, "Does the text praise or blame?", ("negative", "positive")),
    Task("mrpc", _C, glue.read_mrpc, "Do two sentences say the same?", ("not_equivalent", "equivalent"), _F1, True),
    Task("qqp", _C, glue.read_qqp, "Do two questions ask the same?", ("not_duplicate", "duplicate"), _F1, True),
    Task(
        "stsb", kinds.Similarity, glue.read_stsb, "How similar are two sentences, from 0 to 5?", (), _CORRELATIONS, True
    ),
    Task("mnli", _C, nli.read_mnli, "Does the premise entail or contradict the hypothesis?", ENTAILMENT),
    Task("qnli", _C, glue.read_qnli, "Does the sentence answer the question?", TWO_WAY),
    Task("rte", _C, glue.read_rte, "Does the premise entail the hypothesis?", TWO_WAY),
    Task("wnli", _C, glue.read_wnli, "Is the pronoun replaced rightly?", ("not_entailment", "entailment")),
    Task("ax", _C, glue.read_ax, "Does the first sentence entail or contradict the second?", ENTAILMENT),
    Task("snli", _C, nli.read_snli, "Does the caption entail or contradict the hypothesis?", ENTAILMENT),
    Task("story-cloze", _M, stories.read_story_cloze, "Which of two endings belongs to the story?"),
    Task("race", _M, race.read_race, "Which of four answers to a question about the article is right?"),
    Task("race-middle", _M, race.read_race_middle, "RACE, middle schools: which of four answers is right?"),
    Task("race-high", _M, race.read_race_high, "RACE, high schools: which of four answers is right?"),
    Task("swag", _M, stories.read_swag, "Which of four endings is what happens next?"),
    Task("copa", _M, stories.read_copa, "Which of two is the cause, or the effect, of the premise?"),
    Task("cbt-cn", _M, stories.read_cbt_cn, _BOOKS),
    Task("cbt-ne", _M, stories.read_cbt_ne, _BOOKS.replace("words", "names")),
    Task("squad", kinds.Span, reading.read_squad, "Which words of the text answer the question?", (), _ANSWERS),
    Task("lambada", kinds.LastWord, reading.read_lambada, "What is the last word of the passage?", (), _PERPLEXITY),
    Task("dprd", kinds.Pronoun, pronouns.read_dprd, "Whom does the pronoun stand for?"),
    Task("winograd", kinds.Pronoun, pronouns.read_winograd, "Whom or what does the pronoun stand for?"),
    Task("cnn-dm", kinds.Summary, texts.read_cnn_dm, "What is the article about, in a few sentences?", (), _ROUGE),
    Task("xsum", kinds.Summary, texts.read_xsum, "What is the article about, in one sentence?", (), _ROUGE),
    Task("translation", kinds.Translation, texts.read_translation, "What is it in the other language?", (), ("bleu",)),
)
TASKS = {task.name: task._replace(read=partial(checked, task.read)) for task in _TASKS}
