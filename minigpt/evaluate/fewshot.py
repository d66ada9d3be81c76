"""Learning from the context alone: K examples with their answers, then the one that is asked (GPT-3).

No weight changes. The examples are drawn from a part of the task that is not measured on, anew for each question, by
the seed; of `labels` they are lines of the question's own list. GPT-3 puts as many as fit its context. Options are
compared as in `zeroshot`; free answers are written greedily, where GPT-3 searches with four beams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.evaluate.last_word import WORD_TOKENS, best_word, last_words
from minigpt.evaluate.rules import RULE_NAMES
from minigpt.evaluate.scoring import OnRow, check_causal, first_ids, nobody, rate_options
from minigpt.evaluate.task_data import TaskData
from minigpt.evaluate.zeroshot import LINE_TOKENS, answer_of, default_rule, first_lines
from minigpt.interop.loaded import Loaded
from minigpt.tasks import Classification, LastWord, MultipleChoice, Pronoun, Span, Summary
from minigpt.tasks import prompts as ask
from minigpt.tasks.metrics import Score, evaluate, evaluate_task
from minigpt.tasks.world.labels import Labelled

_OF_OPTIONS = (Classification, MultipleChoice, Pronoun, Labelled)


class DoesNotFit(UserError):
    """So many examples come to more tokens than the model's context has."""


class Shots(NamedTuple):
    """What a model scores with `shots` examples before each question, by the task's headline metric."""

    shots: int
    score: Score
    how: str


def few_shot(
    loaded: Loaded,
    data: TaskData,
    shots: int,
    *,
    rule: str | None = None,
    gpt3: bool = False,
    seed: int = 0,
    on_row: OnRow = nobody,
) -> Shots:
    """Measure a causal model with `shots` examples before each question.

    Args:
        data: the questions, and in `others` what the examples are drawn from.
        rule: how options are compared; None takes the task's own.
        gpt3: GPT-3's layout of the prompts where that is another one.
    Raises:
        UserError: the task has not so many examples, or there is no way to ask for it.
        DoesNotFit: they do not fit the model's context; an example too long on its own is cut instead.
    """
    check_causal(loaded)
    task, examples = data.task, data.examples
    if task.kind is Summary or not (task.kind is Labelled or ask.can_ask(task)):
        raise UserError(f"the task {task.name} has no few-shot prompt; choose another, such as labels or rte")
    shown = [_demonstrations(data, number, shots, gpt3=gpt3, seed=seed) for number in range(len(examples))]
    if task.kind in _OF_OPTIONS:
        rule = rule or ("sum" if task.kind is Labelled else default_rule(task))
        asked = [ask.choices(task, e, gpt3=gpt3) for e in examples]
        questions = [[(ask.in_context(d, c), said) for c, said in own] for d, own in zip(shown, asked, strict=True)]
        _check_fit(loaded, [context + said for own in questions for context, said in own], data, shots, -1)
        chosen = [int(values.argmax()) for values in rate_options(loaded, questions, rule, on_row=on_row)]
        score = evaluate(task.metrics[0], chosen, [e.label for e in examples], options=list(map(len, questions)))
        return Shots(shots, score, f"most probable option ({RULE_NAMES[rule]})")
    heading = ask.heading(task, gpt3=gpt3)
    contexts = [ask.in_context(d, ask.prompt(e, gpt3=gpt3), heading) for d, e in zip(shown, examples, strict=True)]
    room = WORD_TOKENS if task.kind is LastWord else min(LINE_TOKENS, loaded.model.config.context // 2)
    _check_fit(loaded, contexts, data, shots, room)
    if task.kind is LastWord:
        predicted = [best_word(words) for words in last_words(loaded, contexts, on_row=on_row)]
    else:
        predicted = first_lines(loaded, contexts, on_row)
        predicted = [answer_of(text) for text in predicted] if task.kind is Span else predicted
    return Shots(shots, evaluate_task(task, predicted, examples)[0], "written greedily")


def _demonstrations(data: TaskData, number: int, shots: int, *, gpt3: bool, seed: int) -> list[str]:
    """The examples before question `number`: a draw of its own, so that more shots begin like fewer."""
    example = data.examples[number]
    own = isinstance(example, Labelled)
    pool: Sequence[Any] = example.lines if own else data.others
    if shots > len(pool):
        raise UserError(f"{data.task.name} has {len(pool)} examples to show, not {shots}")
    chosen = np.random.default_rng([seed, number]).permutation(len(pool))[:shots]
    if own:
        return [pool[i] for i in chosen]
    return [ask.demonstration(data.task, pool[i], gpt3=gpt3) for i in chosen]


def _check_fit(loaded: Loaded, texts: Sequence[str], data: TaskData, shots: int, room: int) -> None:
    """Refuse examples that would be cut off; without any, a question that is too long is cut on the left.

    Args:
        room: how many tokens are needed behind the texts; −1 where the last token is only predicted.
    """
    count = len(first_ids(loaded)) + max(len(loaded.text.encode(text)) for text in texts) + room
    if shots and count > loaded.model.config.context:
        raise DoesNotFit(
            f"with {shots} {'example' if shots == 1 else 'examples'} before it a question of {data.task.name} comes to "
            f"{count} tokens, but the model's context is {loaded.model.config.context}; take fewer --shots"
        )
