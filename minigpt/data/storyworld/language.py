"""A second language, invented: its words, its grammar, and translation both ways.

Where English says "The small dog saw an old kite in the park.", it says the place first and the verb last, adjectives
follow their nouns and take the same endings, and "the" is a word of its own behind them:

    place-el  subject noun-a adjective-a (ta)  object noun-an adjective-an (ta)  verb-ok

    -a one, -i many; -n what it is done to; -el in or at; -ok did, -ek does, -uk will do; ta the

Names stay as they are. Every English sentence has one translation, and every translation one English sentence.
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.core.errors import UserError
from minigpt.data.storyworld import engine
from minigpt.data.storyworld import lexicon as words
from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.english import a, at, capital, past, plural, third

FOLK = ("child", "woman", "man", "king", "farmer", "baker", "sailor", "doctor", "singer", "dancer")
NOUNS = (*words.FOODS, *FOLK)
TENSES = {"past": "ok", "present": "ek", "future": "uk"}
NAMES = frozenset(person.name for person in words.PEOPLE)


def _stem(i: int) -> str:
    """The i-th of 980 syllables of three letters, in an order that looks like none (37 and 980 are coprime)."""
    i = (37 * i + 11) % 980
    consonants, vowels = "bdfgklmnprstvz", "aeiou"
    return consonants[i // 70] + vowels[i // 14 % 5] + consonants[i % 14]


_ALL = (*NOUNS, *words.ADJECTIVES, *words.VERBS, *words.OUTDOORS)
STEMS = {word: _stem(i) for i, word in enumerate(_ALL)}
_MEANINGS = {stem: word for word, stem in STEMS.items()}


class Phrase(NamedTuple):
    """ "the small dogs": a noun, or a name with nothing else."""

    noun: str
    many: bool = False
    definite: bool = False
    adjective: str = ""


class Clause(NamedTuple):
    """Who does what to whom, when and where ("" if that is not said)."""

    subject: Phrase
    verb: str
    tense: str
    object: Phrase
    place: str = ""


# English.


def sentence(c: Chooser) -> Clause:
    """The program of an English sentence."""
    if c.pick((True, False)):
        subject = Phrase(c.any(words.PEOPLE, show=lambda p: p.name).name)
    else:
        subject = _phrase(c, first=True)
    c.emit(" ")
    forms = [(verb, tense) for verb in words.VERBS for tense in TENSES]
    verb, tense = c.any(forms, show=lambda form: verb_form(*form, many=subject.many))
    c.emit(" ")
    thing = _phrase(c)
    place = c.any(tuple(words.OUTDOORS), show=lambda p: f" {at(p)}") if c.pick((True, False), (0.3, 0.7)) else ""
    c.emit(".")
    return Clause(subject, verb, tense, thing, place)


def verb_form(verb: str, tense: str, *, many: bool) -> str:
    if tense == "past":
        return past(verb)
    return f"will {verb}" if tense == "future" else verb if many else third(verb)


def _phrase(c: Chooser, *, first: bool = False) -> Phrase:
    many, definite = c.pick(((False, True), (False, False), (True, True)))
    article = (lambda text: f"the {text}") if definite else a
    upper = capital if first else str
    if c.pick((True, False)):
        adjective = c.any(words.ADJECTIVES, show=lambda w: upper(article(w)) + " ")
        noun = c.any(NOUNS, show=plural if many else str)
        return Phrase(noun, many, definite, adjective)
    noun = c.any(NOUNS, show=lambda w: upper(article(plural(w) if many else w)))
    return Phrase(noun, many, definite)


# The other language.


def _endings(phrase: Phrase, case: str) -> str:
    if phrase.noun in NAMES:
        return phrase.noun
    ending = ("i" if phrase.many else "a") + case
    said = [STEMS[word] + ending for word in (phrase.noun, phrase.adjective) if word]
    return " ".join([*said, "ta"] if phrase.definite else said)


def invented(clause: Clause) -> str:
    """The clause in the invented language."""
    place = [STEMS[clause.place] + "el"] if clause.place else []
    said = [
        *place,
        _endings(clause.subject, ""),
        _endings(clause.object, "n"),
        STEMS[clause.verb] + TENSES[clause.tense],
    ]
    return capital(" ".join(said)) + "."


def english(clause: Clause) -> str:
    """The clause in English."""

    def phrase(p: Phrase) -> str:
        text = " ".join(filter(None, [p.adjective, plural(p.noun) if p.many else p.noun]))
        return text if p.noun in NAMES else f"the {text}" if p.definite else a(text)

    verb = verb_form(clause.verb, clause.tense, many=clause.subject.many)
    place = f" {at(clause.place)}" if clause.place else ""
    return capital(f"{phrase(clause.subject)} {verb} {phrase(clause.object)}{place}.")


def translate(text: str) -> str:
    """An English sentence of the story world's translations, in the invented language.

    Raises:
        UserError: it is none of them.
    """
    found = engine.parse(sentence, text)
    if not found:
        raise UserError(f"this English sentence has no translation: {text!r}")
    return invented(found[0].value)


def understand(text: str) -> Clause:
    """What a sentence of the invented language says.

    Raises:
        UserError: it is none.
    """
    said = text.removesuffix(".").split()
    if not text.endswith(".") or not said:
        raise UserError(f"this is no sentence of the invented language: {text!r}")
    said = [word if word in NAMES else word.lower() for word in said]
    try:
        place = _MEANINGS[said.pop(0).removesuffix("el")] if said[0].endswith("el") else ""
        verb, tense = _MEANINGS[said[-1][:-2]], {end: tense for tense, end in TENSES.items()}[said[-1][-2:]]
        objects = [i for i, word in enumerate(said[:-1]) if word.endswith("n") and word not in NAMES]
        clause = Clause(_read(said[: objects[0]], ""), verb, tense, _read(said[objects[0] : -1], "n"), place)
    except (KeyError, IndexError):
        raise UserError(f"this is no sentence of the invented language: {text!r}") from None
    if invented(clause) != text:
        raise UserError(f"this is no sentence of the invented language: {text!r}")
    return clause


def _read(said: list[str], case: str) -> Phrase:
    if said[0] in NAMES:
        return Phrase(said[0])
    definite = said[-1] == "ta"
    stems = [word.removesuffix(case) for word in (said[:-1] if definite else said)]
    adjective = _MEANINGS[stems[1][:-1]] if len(stems) > 1 else ""
    return Phrase(_MEANINGS[stems[0][:-1]], stems[0].endswith("i"), definite, adjective)
