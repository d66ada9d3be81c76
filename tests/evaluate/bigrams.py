"""A model that knows nothing but which character follows which: what it says of a text can be added up by hand."""

import itertools
import math
from types import SimpleNamespace

import numpy as np

from minigpt.interop.loaded import Loaded
from minigpt.tokenizers import CharTokenizer
from minigpt.train.settings import RunConfig


class BigramModel:
    """log p(b | a) from a table; it stands where a GPT would."""

    family = "gpt"

    def __init__(self, table: np.ndarray, context: int):
        self.table = np.log(table)
        self.config = SimpleNamespace(context=context, vocab_size=len(table))

    def logits(self, params, ids, run=None, key_padding=None, positions=0, at=None):
        assert ids.shape[1] <= self.config.context
        scores = self.table[ids] + 3.0  # a constant changes no probability
        return scores if at is None else scores[at]


def bigrams(text: str, context: int = 16, extra: str = "") -> tuple[Loaded, dict[str, dict[str, float]]]:
    """A model that counted the pairs of characters in `text` (and one of every pair besides), and its p[a][b]."""
    tokenizer = CharTokenizer(text + extra)
    counts = np.ones((tokenizer.vocab_size,) * 2)
    ids = tokenizer.encode(text)
    for a, b in itertools.pairwise(ids):
        counts[a, b] += 1
    table = counts / counts.sum(axis=1, keepdims=True)
    names = tokenizer.characters
    p = {a: {b: table[i, j] for j, b in enumerate(names)} for i, a in enumerate(names)}
    model, params = BigramModel(table, context), SimpleNamespace(flat=np.zeros(1))
    return Loaded(model, params, tokenizer, RunConfig()), p


def sum_log_p(p: dict[str, dict[str, float]], text: str) -> float:
    """log p of the characters after the first, added up."""
    return sum(math.log(p[a][b]) for a, b in itertools.pairwise(text))
