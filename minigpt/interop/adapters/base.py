"""What all families have in common when they are spoken to in Hugging Face's terms, and how ids are continued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array, backend_of
from minigpt.core.params import Parameters
from minigpt.data.batch import pad_rows
from minigpt.generate import beam
from minigpt.generate.processors import Process, process
from minigpt.generate.settings import Generation
from minigpt.interop.adapters.generation import greedy, padding, sampling


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
        mask = inputs.get("attention_mask")
        self.real = None if mask is None else mask.astype(bool)

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
