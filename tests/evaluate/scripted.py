"""A model that says what a test wants it to say: it stands where a GPT would, with characters for tokens."""

import string
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from minigpt.interop.loaded import Loaded
from minigpt.tokenizers import CharTokenizer
from minigpt.train.settings import RunConfig

CHARACTERS = string.printable + "…’"
SURE = 40.0  # how much larger the score of the next character is than all others'


class State(NamedTuple):
    texts: tuple[str, ...]
    padding: np.ndarray | None

    def reorder(self, rows):
        return State(tuple(self.texts[i] for i in rows), None)


class ScriptedModel:
    """`rule` maps the text so far to the texts that may come next, each with its score."""

    family = "gpt"

    def __init__(self, rule: Callable[[str], dict[str, float]], context: int):
        self.rule, self.tokenizer = rule, CharTokenizer(CHARACTERS)
        self.config = SimpleNamespace(context=context, vocab_size=self.tokenizer.vocab_size)

    def scores(self, text: str) -> np.ndarray:
        scores = np.zeros(self.config.vocab_size)
        for character, score in self.rule(text).items():
            scores[self.tokenizer.encode(character)[0]] = score
        return scores

    def logits(self, params, ids, run=None, key_padding=None, positions=0, at=None):
        assert ids.shape[1] <= self.config.context
        texts = [self.tokenizer.decode(ids[row, : column + 1]) for row, column in zip(*at, strict=True)]
        return np.stack([self.scores(text) for text in texts])

    def start(self, params, batch, max_len, run):
        assert max_len <= self.config.context
        return State(("",) * len(batch.inputs), batch.key_padding)

    def step(self, params, ids, state):
        texts = []
        for i, (text, row) in enumerate(zip(state.texts, ids, strict=True)):
            real = row if state.padding is None else row[state.padding[i]]
            texts.append(text + self.tokenizer.decode(real))
        return np.stack([self.scores(text) for text in texts]), State(tuple(texts), None)


def scripted(rule: Callable[[str], str | dict[str, float]], context: int = 400) -> Loaded:
    """A model with that rule; a rule may also give just the text that surely follows."""

    def scored(text: str) -> dict[str, float]:
        found = rule(text)
        return found if isinstance(found, dict) else {found[0]: SURE} if found else {}

    model = ScriptedModel(scored, context)
    return Loaded(model, SimpleNamespace(flat=np.zeros(1)), model.tokenizer, RunConfig())


def continued(texts: dict[str, str]) -> Callable[[str], str]:
    """A rule: after text that ends with a key comes the value, character by character."""

    def rule(text: str) -> str:
        for end, follows in texts.items():
            at = text.rfind(end)
            written = text[at + len(end) :]
            if at >= 0 and follows.startswith(written):
                return follows[len(written) :]
        return ""

    return rule
