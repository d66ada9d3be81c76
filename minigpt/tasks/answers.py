"""How SQuAD compares an answer with its references: exact match and token F1 after normalisation.

Rajpurkar et al. 2016 and 2018, as in their evaluation scripts. An answer that says "no answer" is the empty text.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(answer: str) -> str:
    """Lower case, without punctuation, then without articles, with single spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 if the answer is one of the references, all normalised. No references: the question has no answer."""
    return _best(answer, references, lambda a, b: float(a == b))


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The largest F1 of the answer's words with a reference's: 2 · shared / (words here + words there).

    Where one of the two is empty, 1 if both are.
    """
    return _best(answer, references, _f1)


def _f1(answer: str, reference: str) -> float:
    here, there = answer.split(), reference.split()
    if not here or not there:
        return float(here == there)
    return 2.0 * (Counter(here) & Counter(there)).total() / (len(here) + len(there))


def _best(answer: str, references: Sequence[str], compare: Callable[[str, str], float]) -> float:
    # As in SQuAD 2.0's script, references of which normalisation leaves nothing do not count.
    texts = [text for text in map(normalised, references) if text] or [""]
    return max(compare(normalised(answer), text) for text in texts)
