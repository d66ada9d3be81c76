"""How a task is put to a model that only continues texts: as contexts, and completions that it may find probable.

`choices` writes an example as options, (context, completion) pairs of which the most probable one is the answer.
`prompt` and `answer` write one whose answer is free text. Both are used as they are (zero-shot: GPT's heuristics and
GPT-2's prompts) and with examples before them (few-shot: GPT-3).

A completion begins with the space before its first word, and no context ends with a space: the space belongs to the
word's token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from minigpt.core.errors import UserError
from minigpt.tasks import examples as kinds
from minigpt.tasks.examples import Classification, Example, MultipleChoice, Pronoun
from minigpt.tasks.registry import TASKS, Task
from minigpt.tasks.world.labels import LABELS, LABELS8, Labelled

Option = tuple[str, str]
Options = tuple[Option, ...]

TLDR = "\nTL;DR:"
NO_ANSWER = "none"  # of a question that its text does not answer (SQuAD 2.0)
_BLANK = re.compile(r"_+|XXXXX")  # RACE's and CBT's
_POSSESSIVE = ("his", "their", "its")  # "her" may be either, and is left as it is


# Options, of which one is right.


_WORDS = {  # for each class, where its own name is not the word
    "entailment": "True",
    "not_entailment": "False",
    "contradiction": "False",
    "neutral": "Neither",
    "unacceptable": "no",
    "acceptable": "yes",
    "not_equivalent": "no",
    "equivalent": "yes",
    "not_duplicate": "no",
    "duplicate": "yes",
}


_RTE = "{text}\nquestion: {statement} True or False?\nanswer:"  # GPT-3's
_ANLI = "{text}\nquestion: {statement} True, False, or Neither?\nanswer:"  # GPT-3's, with the heads of its RTE
_SAME = "{text}\n{pair}\nquestion: Do both say the same?\nanswer:"
CLASSIFICATION = {  # {statement} is the pair with a mark at its end
    "sst2": "{text} very",  # GPT's heuristic: a word that "positive" or "negative" is likely after
    "rte": _RTE,
    "wnli": _RTE,
    "mnli": _ANLI,
    "snli": _ANLI,
    "ax": _ANLI,
    # In the manner of GPT-3's BoolQ: the text is the question, and the pair may hold the answer
    "qnli": "{pair}\nquestion: {text} True if this says it, else False.\nanswer:",
    "cola": "{text}\nquestion: Is this good English?\nanswer:",
    "mrpc": _SAME,
    "qqp": _SAME,
}


def classification(task: Task, e: Classification) -> Options:
    """A question about the text or the pair, and a word for each class."""
    pair = e.pair or ""
    statement = pair if pair.endswith((".", "!", "?")) else f"{pair}."
    context = CLASSIFICATION[task.name].format(text=e.text, pair=pair, statement=statement)
    return tuple((context, f" {_WORDS.get(label, label)}") for label in task.labels)


def multiple_choice(e: MultipleChoice, *, gpt3: bool = False) -> Options:
    """Endings that go on with the context, answers to a question about it, or what fills the question's blank.

    COPA's question is "cause" or "effect": "because" or "so" leads over to the option. A blank is filled with each
    option, and the rest of the sentence is scored with it (GPT-2's CBT).
    """
    if e.question in ("cause", "effect"):
        stem = f"{e.context.rstrip('.')} {'because' if e.question == 'cause' else 'so'}"
        return tuple((stem, f" {option[:1].lower()}{option[1:]}") for option in e.options)
    if not e.question:
        return tuple((e.context, f" {option}") for option in e.options)
    if blank := _BLANK.search(e.question):
        stem = f"{e.context} {e.question[: blank.start()]}".rstrip()
        rest = e.question[blank.end() :]
        return tuple((stem, f" {option}{rest}") for option in e.options)
    context = f"Article:\n{e.context}\n\nQ: {e.question}\n\nA:" if gpt3 else f"{e.context}\nQ: {e.question}\nA:"
    return tuple((context, f" {option}") for option in e.options)


def referents(e: Pronoun) -> Options:
    """Partial evaluation: each candidate stands in the pronoun's place, and what follows is scored."""
    return tuple((f"{e.before}{_referent(e, name)}", e.after) for name in e.candidates)


def whole_sentences(e: Pronoun) -> Options:
    """Full evaluation: the whole sentence with each candidate in the pronoun's place is scored."""
    return tuple(("", f"{e.before}{_referent(e, name)}{e.after}") for name in e.candidates)


def _referent(e: Pronoun, name: str) -> str:
    """A candidate in the form that the pronoun has: capital letter, possessive."""
    if e.pronoun[:1].isupper():
        name = name[:1].upper() + name[1:]
    if e.pronoun.lower() in _POSSESSIVE:
        return f"{name}'" if name.endswith("s") else f"{name}'s"
    return name


def choices(task: Task, e: Example | Labelled, *, gpt3: bool = False) -> Options:
    """The options of an example, in the order of its labels.

    Args:
        gpt3: in GPT-3's layout where that is another one.
    Raises:
        UserError: the task is none of options.
    """
    if isinstance(e, Classification) and task.name in CLASSIFICATION:
        return classification(task, e)
    if isinstance(e, MultipleChoice):
        return multiple_choice(e, gpt3=gpt3)
    if isinstance(e, Labelled):
        return tuple((e.context, f" {option}") for option in e.options)
    if isinstance(e, Pronoun):
        return referents(e)
    raise UserError(f"the task {task.name} has no prompt whose options can be compared")


# Free answers.


def prompt(e: Example, *, gpt3: bool = False) -> str:
    """What the model goes on from: an article before "TL;DR:", a text with a question, a sentence before "=".

    Args:
        gpt3: in GPT-3's layout where that is another one.
    """
    return _asked(e, gpt3=gpt3)[0]


def answer(e: Example, *, gpt3: bool = False) -> str:
    """What should follow the prompt."""
    return _asked(e, gpt3=gpt3)[1]


def _asked(e: Example, *, gpt3: bool) -> Option:
    match e:
        case kinds.Summary():
            return f"{e.article}{TLDR}", f" {e.summary}"
        case kinds.Span():
            return f"{e.context}\nQ: {e.question}\nA:", f" {e.answers[0][0] if e.answers else NO_ANSWER}"
        case kinds.Translation():
            return (f"{e.source} =\n", e.target) if gpt3 else (f"{e.source} =", f" {e.target}")
        case kinds.LastWord():
            return f"{e.context} ____. ->" if gpt3 else e.context, f" {e.word}"
    raise UserError(f"there is no prompt for an example of the kind {type(e).__name__}")


# Examples in the context.


def demonstration(task: Task, e: Any, *, gpt3: bool = False) -> str:
    """An example with its right answer, as it stands before the question that is asked."""
    if isinstance(e, Classification | MultipleChoice | Pronoun):
        context, completion = choices(task, e, gpt3=gpt3)[e.label]
        return context + completion
    return prompt(e, gpt3=gpt3) + answer(e, gpt3=gpt3)


def separator(demonstrations: Sequence[str]) -> str:
    """What stands between examples: a line break where each is one line, else two (GPT-3 has one or two)."""
    return "\n\n" if any("\n" in text for text in demonstrations) else "\n"


def in_context(demonstrations: Sequence[str], context: str, heading: str = "") -> str:
    """An instruction, if there is one, the examples, and then what is asked."""
    return heading + separator([*demonstrations, context]).join([*demonstrations, context])


def heading(task: Task, *, gpt3: bool = False) -> str:
    """The instruction that GPT-3 puts before the examples of LAMBADA: without it nothing says that a word is wanted."""
    return "Fill in blank:\n\n" if gpt3 and task.kind is kinds.LastWord else ""


# Which tasks can be asked for.

_KINDS = (MultipleChoice, Pronoun, kinds.Span, kinds.LastWord, kinds.Summary, kinds.Translation)


def can_ask(task: Task) -> bool:
    """Whether there is a prompt for this task (there is none for degrees of similarity)."""
    return task.kind in _KINDS or task.name in CLASSIFICATION


ASKED = {name: task for name, task in TASKS.items() if can_ask(task)}
SHOWN = {task.name: task for task in (LABELS, LABELS8)} | {  # those that examples may stand before
    name: task for name, task in ASKED.items() if task.kind is not kinds.Summary
}
