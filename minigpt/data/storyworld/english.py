"""English word forms: articles, plurals, past tenses, sentences that begin with a capital letter."""

from __future__ import annotations

from minigpt.data.storyworld.lexicon import PLACES

_PLURALS = {"child": "children", "mouse": "mice", "man": "men", "woman": "women", "fish": "fish", "sheep": "sheep"}
_PASTS = {
    "see": "saw",
    "find": "found",
    "have": "had",
    "take": "took",
    "give": "gave",
    "bring": "brought",
    "buy": "bought",
    "hold": "held",
    "draw": "drew",
    "eat": "ate",
    "hide": "hid",
    "sell": "sold",
    "carry": "carried",
    "wash": "washed",
}


def article(word: str) -> str:
    """The indefinite article before a word: by its sound, which in this world's words is its first letter."""
    return "an" if word[0] in "aeiou" else "a"


def a(words: str) -> str:
    """ "kite" → "a kite", "old kite" → "an old kite"."""
    return f"{article(words)} {words}"


def plural(noun: str) -> str:
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith(("s", "sh", "ch", "x")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def past(verb: str) -> str:
    if verb in _PASTS:
        return _PASTS[verb]
    if verb.endswith("e"):
        return verb + "d"
    return verb + "ed"


def third(verb: str) -> str:
    """The present tense for one person: he sees, she washes."""
    if verb == "have":
        return "has"
    return plural(verb)


def at(place: str) -> str:
    """ "garden" → "in the garden", "market" → "at the market"."""
    return f"{PLACES[place]} the {place}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
