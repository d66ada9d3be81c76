"""CoLA: sentences of the story world as they are, and with a fault in word order or agreement.

Every fault makes a sentence that no English grammar allows: an article or possessive behind its noun, a verb of the
wrong number, a past tense after "did", "a" before a vowel. Most change the order of the words or one ending, so that
which words there are does not say which sentences are faulty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from minigpt.data.storyworld import language, lexicon
from minigpt.data.storyworld.engine import Drawing
from minigpt.data.storyworld.english import capital, past
from minigpt.data.storyworld.facts import Pair, Translations
from minigpt.tasks.examples import Classification
from minigpt.tasks.world.drawing import choices, documents

KINDS = ("story", "review", "question", "translation")
_ARTICLE = r"\b(a|an|the|his|my|this|their) (\w+)"
_PLAIN = "|".join(sorted({*lexicon.VERBS, "get", "take", "find", "trust", "stroke", "eat", "like"}))


def cola(seed: int, split: str) -> Iterator[Classification]:
    c = choices(seed, split, "cola")
    sources = [documents(seed, split, kind, "cola") for kind in KINDS]
    while True:
        facts = next(c.pick(sources)).facts
        if isinstance(facts, Translations):
            yield _clause(c, c.pick(facts.pairs))
        else:
            yield _sentence(c, c.pick(facts.sentences))


def _clause(c: Drawing, pair: Pair) -> Classification:
    """A sentence about the present, with its verb in the right number or the wrong one."""
    clause = language.understand(pair.invented)._replace(tense="present")
    right = language.english(clause)
    if c.pick((True, False)):
        return Classification(right, None, 1)
    many = clause.subject.many
    one, other = (f" {language.verb_form(clause.verb, 'present', many=m)} " for m in (many, not many))
    return Classification(right.replace(one, other, 1), None, 0)


def _sentence(c: Drawing, sentence: str) -> Classification:
    faulty = [text for fault in FAULTS if (text := fault(c, sentence)) != sentence]
    if not faulty or c.pick((True, False)):
        return Classification(sentence, None, 1)
    return Classification(c.pick(faulty), None, 0)


def _article_behind(c: Drawing, sentence: str) -> str:
    """ "took the kite home" → "took kite the home"."""
    places = list(re.finditer(_ARTICLE, sentence))
    return _replaced(sentence, c.pick(places), lambda m: f"{m[2]} {m[1]}") if places else sentence


def _preposition_behind(c: Drawing, sentence: str) -> str:
    """ "in the garden" → "the in garden"."""
    places = list(re.finditer(r"\b(in|at|on|to|with|for) (a|an|the|his|her)\b", sentence))
    return _replaced(sentence, c.pick(places), lambda m: f"{m[2]} {m[1]}") if places else sentence


def _not_behind(c: Drawing, sentence: str) -> str:
    """ "did not get" → "not did get"; "could not" likewise."""
    return re.sub(r"\b(did|could|was) (not)\b", r"\2 \1", sentence, count=1)


def _wrong_number(c: Drawing, sentence: str) -> str:
    """ "was" → "were", "had" → "have", unless "they" or a staff does it."""
    numbers = {"was": "were", "had": "have"}
    return re.sub(r"(?<!they )(?<!staff )\b(was|had)\b", lambda m: numbers[m[1]], sentence, count=1)


def _tense_twice(c: Drawing, sentence: str) -> str:
    """ "did not take" → "did not took"."""
    return re.sub(rf"\b(did not|could not|could) ({_PLAIN})\b", lambda m: f"{m[1]} {_past(m[2])}", sentence, count=1)


def _past(verb: str) -> str:
    return {"get": "got"}.get(verb) or past(verb)


def _wrong_article(c: Drawing, sentence: str) -> str:
    """ "a kite" → "an kite"."""
    places = list(re.finditer(r"\b(an?) (\w+)", sentence))
    return (
        _replaced(sentence, c.pick(places), lambda m: f"{'a' if m[1] == 'an' else 'an'} {m[2]}") if places else sentence
    )


def _replaced(sentence: str, match: re.Match, by: Callable[[re.Match], str]) -> str:
    return capital(sentence[: match.start()] + by(match) + sentence[match.end() :])


FAULTS = (_article_behind, _preposition_behind, _not_behind, _wrong_number, _tense_twice, _wrong_article)
