"""Tasks without a gradient step: GPT's four heuristics, and GPT-2's prompts.

| task | what the model is asked |
|---|---|
| acceptability (cola) | the mean log-probability of the sentence's tokens, against a threshold (GPT) |
| sentiment (sst2) | after the text and "very": is "positive" or "negative" the more probable? (GPT) |
| race, swag, copa, cbt | which option is the most probable after the context, per token? (GPT) |
| dprd, winograd | with which candidate in the pronoun's place is what follows the more probable, per token? (GPT) |
| story-cloze | which ending is the more probable? |
| rte, mnli, … | which of "True", "False" (and "Neither") is the more probable? (GPT-3) |
| lambada | which word is the most probable one? Among all words, and among those that are no stop words (GPT-2) |
| cnn-dm, xsum | what does it write after "TL;DR:"? (GPT-2) |
| translation | what does it write after "source = target" lines and "source ="? (GPT-2) |
| squad | what does it write after the text, "Q: …" and "A:"? (GPT-2) |

GPT thresholds acceptability without saying where; here the threshold is the one with the best Matthews' correlation on
a part of the task that is not measured on. A context that is longer than the model's is cut on the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.data.sentences import split_sentences
from minigpt.evaluate.last_word import STOP_WORDS, best_word, last_words
from minigpt.evaluate.rules import RULE_NAMES
from minigpt.evaluate.scoring import OnRow, nobody, rate_options, score
from minigpt.evaluate.writing import write
from minigpt.interop.loaded import Loaded
from minigpt.tasks import Classification, Example, LastWord, Pronoun, Span, Summary, Task, Translation
from minigpt.tasks import prompts as ask
from minigpt.tasks.metrics import Score, evaluate_task

SUMMARY_TOKENS, SUMMARY_SENTENCES, SUMMARY_TOP_K = 100, 3, 2
LINE_TOKENS = 60  # of an answer or a translation
PAIRS = 3  # translations that stand before the one that is asked for


class Settings(NamedTuple):
    """How to ask.

    Attributes:
        rule: one of `minigpt.evaluate.rules.RULES`; None takes the task's own.
        seed: of what is drawn: sampled summaries, random sentences, the pairs in a translation's context.
        beside: whether to measure other ways of asking too, which cost as much again.
    """

    rule: str | None = None
    seed: int = 0
    beside: bool = True


class Finding(NamedTuple):
    """What a model without training on a task scores there.

    Attributes:
        scores: all of the task's metrics, the headline first.
        chance: of the headline, for the skill: what choosing at random scores (0 where that is next to nothing).
        beside: what else was measured, by name.
        how: in a few words, how the model was asked.
    """

    task: str
    scores: list[Score]
    chance: float
    beside: dict[str, float]
    how: str

    @property
    def value(self) -> float:
        return self.scores[0].value

    @property
    def skill(self) -> float:
        """(score − chance)/(1 − chance), on the metric's own scale: 0 is no skill, 1 is no mistake.

        GPT's figure 2 divides by the best published score instead of 1 and prints neither constant.
        """
        best = 100.0 if self.scores[0].metric == "bleu" else 1.0
        return (self.value - self.chance) / (best - self.chance)


def zero_shot(
    loaded: Loaded,
    task: Task,
    examples: Sequence[Example],
    others: Sequence[Example] = (),
    settings: Settings | None = None,
    *,
    on_row: OnRow = nobody,
) -> Finding:
    """Measure a causal model on a task's examples.

    Args:
        others: examples that are not measured on, for a threshold and for the context (see `needs_others`).
    Raises:
        UserError: there is no way to ask for this task, or the model does not continue texts.
    """
    asked = _Asked(loaded, task, examples, others, settings or Settings(), on_row)
    if task.name == "cola":
        return _acceptability(asked)
    by_kind = {Summary: _summaries, LastWord: _last_words, Translation: _translations, Span: _answers}
    return by_kind.get(task.kind, _choices)(asked)


class _Asked(NamedTuple):
    """What `zero_shot` was given."""

    loaded: Loaded
    task: Task
    examples: Sequence[Any]
    others: Sequence[Any]
    settings: Settings
    on_row: OnRow

    def finding(self, predictions: Sequence[Any], beside: dict[str, float], how: str) -> Finding:
        return Finding(self.task.name, evaluate_task(self.task, predictions, self.examples), 0.0, beside, how)

    def rated(self, options: Sequence[ask.Options], rule: str) -> list[np.ndarray]:
        return rate_options(self.loaded, options, rule, on_row=self.on_row)

    def lines(self, prompts: Sequence[str]) -> list[str]:
        return first_lines(self.loaded, prompts, self.on_row)


def needs_others(task: Task) -> bool:
    """Whether examples are needed that are not measured on: for a threshold, or for the context."""
    return task.name == "cola" or task.kind is Translation


def default_rule(task: Task) -> str:
    """What options are compared by, where nobody says: GPT's mean over tokens; sums where options are single words or
    endings of one length."""
    return "sum" if task.kind is Classification or task.name in ("story-cloze", "copa") else "token"


def _choices(asked: _Asked) -> Finding:
    task, examples = asked.task, asked.examples
    rule = asked.settings.rule or default_rule(task)
    options = [ask.choices(task, e) for e in examples]
    chosen = [int(v.argmax()) for v in asked.rated(options, rule)]
    beside = {}
    if task.kind is Pronoun and asked.settings.beside:  # GPT-2 reports both ways
        whole = asked.rated([ask.whole_sentences(e) for e in examples], rule)
        beside["whole sentences"] = evaluate_task(task, [int(v.argmax()) for v in whole], examples)[0].value
    found = asked.finding(chosen, beside, f"most probable option ({RULE_NAMES[rule]})")
    # F1 of saying yes always is no skill either
    chance = {"accuracy": float(np.mean([1.0 / len(o) for o in options])), "f1": found.scores[0].baseline}
    return found._replace(chance=chance[found.scores[0].metric])


def _acceptability(asked: _Asked) -> Finding:
    if asked.settings.rule == "unconditional":
        raise UserError('the rule "unconditional" compares options; cola has none: take sum, token or character')
    rule = asked.settings.rule or "token"

    def values(some: Sequence[Classification]) -> np.ndarray:
        return np.concatenate(asked.rated([(("", e.text),) for e in some], rule))

    threshold = best_threshold(values(asked.others), [e.label for e in asked.others])
    predicted = (values(asked.examples) >= threshold).astype(int).tolist()
    how = f"{RULE_NAMES[rule]}, threshold {threshold:.3f} from {len(asked.others)} other sentences"
    return asked.finding(predicted, {"threshold": threshold}, how)


def best_threshold(values: np.ndarray, labels: Sequence[int]) -> float:
    """The threshold at or above which predicting 1 has the largest Matthews' correlation with the labels.

    With the values sorted from the largest, the first n are predicted 1: of P ones tp are among them. Then
        MCC = (tp · N − n · P) / √(n (N − n) P (N − P)).
    The threshold is halfway between the n-th value and the next.
    """
    order = np.argsort(-values, kind="stable")
    ordered, ones = values[order], np.asarray(labels, dtype=np.float64)[order]
    total, positive = len(ones), ones.sum()
    if not 0 < positive < total:
        raise UserError("the sentences that the threshold is chosen with are all of one class; more are needed")
    n, tp = np.arange(1, total), np.cumsum(ones)[:-1]  # at least one sentence on either side
    correlation = (tp * total - n * positive) / np.sqrt(n * (total - n) * positive * (total - positive))
    correlation[ordered[:-1] == ordered[1:]] = -np.inf  # no threshold separates equal values
    best = int(correlation.argmax())
    return float(ordered[best] + ordered[best + 1]) / 2


def _last_words(asked: _Asked) -> Finding:
    task, examples = asked.task, asked.examples
    words = last_words(asked.loaded, [e.context for e in examples], on_row=asked.on_row)
    right = score(asked.loaded, [(e.context, f" {e.word}") for e in examples], on_row=asked.on_row)
    log_p = [s.total for s in right]
    scores = evaluate_task(task, [best_word(w) for w in words], examples, log_probabilities=log_p)
    filtered = evaluate_task(task, [best_word(w, STOP_WORDS) for w in words], examples)[0]
    return Finding(task.name, scores, 0.0, {"without stop words": filtered.value}, "most probable word, by beam search")


def _summaries(asked: _Asked) -> Finding:
    """GPT-2's four rows: with and without the hint, the first three sentences, three sentences at random."""
    examples, settings = asked.examples, asked.settings

    def written(prompts: Sequence[str]) -> list[str]:
        how = {"top_k": SUMMARY_TOP_K, "seed": settings.seed, "on_row": asked.on_row}
        texts = write(asked.loaded, prompts, SUMMARY_TOKENS, _one_more_has_begun, **how)
        return ["\n".join(first_sentences(text)) for text in texts]

    articles = [split_sentences(" ".join(e.article.split())) for e in examples]
    rng = np.random.default_rng(settings.seed)
    random = ["\n".join(a[i] for i in sorted(rng.permutation(len(a))[:SUMMARY_SENTENCES])) for a in articles]
    others = {"without TL;DR": written([e.article for e in examples])} if settings.beside else {}
    others |= {"lead-3": ["\n".join(a[:SUMMARY_SENTENCES]) for a in articles], "random-3": random}
    summaries, beside = written([ask.prompt(e) for e in examples]), {}
    for name, texts in others.items():
        beside |= {f"{name}, {s.metric}": s.value for s in evaluate_task(asked.task, texts, examples)}
    how = f"TL;DR:, top-k {SUMMARY_TOP_K}, {SUMMARY_TOKENS} tokens, the first {SUMMARY_SENTENCES} sentences"
    return asked.finding(summaries, beside, how)


def _one_more_has_begun(text: str) -> bool:
    return len(split_sentences(text)) > SUMMARY_SENTENCES


def first_sentences(text: str) -> list[str]:
    return split_sentences(" ".join(text.split()))[:SUMMARY_SENTENCES]


def _translations(asked: _Asked) -> Finding:
    others, contexts = asked.others, []
    for number, e in enumerate(asked.examples):
        shown = np.random.default_rng([asked.settings.seed, number]).permutation(len(others))[:PAIRS]
        lines = [ask.demonstration(asked.task, others[i]) for i in shown]
        contexts.append(ask.in_context(lines, ask.prompt(e)))
    written = asked.lines(contexts)
    exact = float(np.mean([text == e.target for text, e in zip(written, asked.examples, strict=True)]))
    return asked.finding(written, {"word for word": exact}, f"after {min(PAIRS, len(others))} pairs, greedy")


def _answers(asked: _Asked) -> Finding:
    written = asked.lines([ask.prompt(e) for e in asked.examples])
    return asked.finding([answer_of(text) for text in written], {}, "Q: … A:, greedy, the first line")


def answer_of(text: str) -> str:
    """What a written line answers a question with: nothing where it says that there is no answer."""
    return "" if text == ask.NO_ANSWER else text


def first_lines(loaded: Loaded, prompts: Sequence[str], on_row: OnRow) -> list[str]:
    """What the model writes after each prompt, greedily, up to the end of the line."""
    texts = write(loaded, prompts, LINE_TOKENS, lambda text: "\n" in text.lstrip(), on_row=on_row)
    return [text.strip().partition("\n")[0].strip() for text in texts]
