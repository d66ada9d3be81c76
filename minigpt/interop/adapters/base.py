"""What all families have in common when they are spoken to in Hugging Face's terms, and how ids are continued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array, array_module, backend_of
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.batch import pad_rows
from minigpt.generate import beam
from minigpt.generate.processors import Process, process
from minigpt.generate.sampling import drawn
from minigpt.generate.settings import Generation

Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores (b, V) and the rows' numbers (b,) to ids (b,)
DEFAULT_NEW = 20  # tokens, where nobody says how many; transformers' default


class Adapter:
    """A model and what it is asked about, its `inputs`, under the names of Hugging Face's class.

    Attributes:
        names: of the arrays that the family takes.
        ids: what the ids that its configuration names are called by Hugging Face, and by us.
        real: (B, T) True at real tokens, as the attention_mask says it; None where there is none.
    """

    names: tuple[str, ...]
    ids: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, model: Any, inputs: Mapping[str, Array], params: Parameters | None = None, run: Run = EVALUATION
    ):
        """Ask a model.

        Args:
            params: None where only its batch is wanted.
        """
        self.model, self.inputs, self.params, self.run = model, inputs, params, run
        mask = self.like_ids("attention_mask")
        self.real = None if mask is None else mask.astype(bool)

    def repeated(self, times: int) -> Self:
        """The same with each row so often, one behind the other."""
        inputs = {name: array_module(x).repeat(x, times, axis=0) for name, x in self.inputs.items()}
        return type(self)(self.model, inputs, self.params, self.run)

    def like_ids(self, name: str) -> Array | None:
        """An input of one number for each id, where it was given.

        Raises:
            UserError: it has another shape.
        """
        x, ids = self.inputs.get(name), self.inputs["input_ids"]
        if x is not None and x.shape != ids.shape:
            raise UserError(f"{name} has shape {x.shape}, input_ids {ids.shape}")
        return x

    @property
    def depth(self) -> int:
        """How many layers `hidden_states` can stop behind."""
        return self.model.config.layers

    def logits(self) -> Any:
        """The scores."""
        raise NotImplementedError

    def hidden_states(self, layer: int) -> Array:
        """States (B, T, C): 0 what the first layer reads, n what the n-th gives."""
        raise NotImplementedError

    def batch(self) -> Any:
        """The batch for the model's `forward`, from the inputs and the labels.

        Raises:
            UserError: a shape does not fit.
        """
        raise NotImplementedError

    def generate_ids(self, g: Generation, seed: int) -> np.ndarray:
        """Continue every row, or write about it: ids, and padding after a row has ended."""
        raise NotImplementedError

    def continued(
        self, state: Any, text: np.ndarray, unread: int, g: Generation, steps: Sequence[Process], new: int, seed: int
    ) -> np.ndarray:
        """Continue every row: (B, P) to (B, P + new), or to where the last row ends; padding after a row's end.

        Args:
            text: what the settings see, padding included.
            unread: how many of its last columns the model reads first.
            steps: what happens to the scores (see `minigpt.generate.processors`).
        """
        if g.num_beams > 1:
            return self._searched(state, text, g, steps, new)
        backend, rows = backend_of(self.params.flat), np.arange(len(text))
        choose = sampling(seed, g) if g.do_sample else greedy
        alive, ids = np.ones(len(text), dtype=bool), text[:, text.shape[1] - unread :]
        for _ in range(new):
            scores, state = self.model.step(self.params, backend.asarray(ids), state)
            chosen = choose(process(backend.to_host(scores), text, steps), rows)
            ids = np.where(alive, chosen, padding(g))[:, None]
            text = np.concatenate([text, ids], axis=1)
            alive &= ~np.isin(ids[:, 0], g.eos_token_id)
            if not alive.any():
                break
        return text

    def _searched(self, state: Any, text: np.ndarray, g: Generation, steps: Sequence[Process], new: int) -> np.ndarray:
        """The best texts of every row; transformers' search takes a padding id of 0 for none."""
        longest, stopping = text.shape[1] + new, g.early_stopping
        search = beam.Search(g.num_beams, g.length_penalty, max_length=longest, early_stopping=stopping)
        count, eos = g.num_return_sequences, g.eos_token_id
        found = beam.generate(self.model, self.params, state, text, search, eos=eos, steps=steps, count=count)
        pad = eos[0] if eos and not g.pad_token_id else padding(g)
        return pad_rows([np.asarray(hypothesis.ids) for hypothesis in found], pad)


def count_new(g: Generation, prompt: int, context: int) -> int:
    """How many tokens may follow `prompt` of them: max_new_tokens, else up to max_length, else 20 if they fit.

    Raises:
        UserError: that is none.
    """
    if g.max_new_tokens is not None:
        return g.max_new_tokens
    longest = g.max_length if g.max_length is not None else min(prompt + DEFAULT_NEW, context)
    if longest <= prompt:
        raise UserError(f"the prompt has {prompt} tokens, which leaves no room below {longest}: give max_new_tokens")
    return longest - prompt


def padding(g: Generation) -> int:
    """What follows in a row that has ended."""
    return g.pad_token_id if g.pad_token_id is not None else g.eos_token_id[0] if g.eos_token_id else 0


def greedy(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The most probable token of each row."""
    return scores.argmax(axis=-1)


def sampling(seed: int, g: Generation) -> Choose:
    """Draw each row's token with a generator of its own, so that its neighbours do not matter."""
    generators: dict[int, np.random.Generator] = {}

    def choose(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
        chosen = np.empty(len(rows), dtype=np.int64)
        for n, row in enumerate(rows.tolist()):
            chosen[n] = drawn(scores[n], g, generators.setdefault(row, np.random.default_rng([seed, row])))
        return chosen

    return choose
