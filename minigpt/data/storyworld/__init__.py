"""The story world: a small language of English texts that we made ourselves, so that its entropy is known.

Nobody knows how well English can be predicted; how well these texts can be predicted is known exactly, because each is
drawn by a program whose choices have known probabilities (`engine.py`). A text has one derivation, so −log p of a text
can be computed, and its mean over all texts, the entropy, in closed form. A model that has learned everything about the
language has that loss; none can do better, and every curve can show how far it is from there.

The texts are made to be worth learning from. Everything random is in what is said: who, where, which thing, in which
words. What is said later follows from it: names come back after sentences, a ladder helps with a tree but not with a
river, and a story ends well if what came is what was needed. Counting words cannot find that out.

    engine.py                 programs that make choices: drawn, parsed, listed, summed over
    facts.py                  what is decided in a document of each kind
    lexicon.py, english.py    words and what is true of them; word forms
    stories.py, endings.py    stories of five sentences in five plots; how they end
    summaries.py              stories with "TL;DR:"
    questions.py              reports and stories with a question or a claim
    reviews.py                reviews whose last sentence says what they come to
    lists.py                  labelled examples with labels of the moment
    language.py, translations.py   an invented language; lines of English and the same in it
    documents.py              all kinds together: drawing by number, log p of a text, splits
    measure.py                the entropy of each kind
    rendering.py              texts from facts, also from changed ones: for tasks
"""

from minigpt.data.storyworld.documents import (
    PROGRAMS,
    SHARES,
    SPLITS,
    derivations,
    document,
    log_probability,
    parse,
    split_of,
    stream,
)
from minigpt.data.storyworld.facts import Document
from minigpt.data.storyworld.measure import Entropy, entropy

KINDS = tuple(SHARES)

__all__ = [
    "KINDS",
    "PROGRAMS",
    "SHARES",
    "SPLITS",
    "Document",
    "Entropy",
    "derivations",
    "document",
    "entropy",
    "log_probability",
    "parse",
    "split_of",
    "stream",
]
