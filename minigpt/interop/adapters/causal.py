"""Decoder-only models: `input_ids` and `attention_mask` in, the scores of the next token out."""

from __future__ import annotations

import numpy as np

from minigpt.core.backend import Array, array_module, backend_of
from minigpt.core.errors import UserError
from minigpt.data.batch import Batch
from minigpt.generate.processors import processors
from minigpt.generate.settings import Generation
from minigpt.interop.adapters.base import Adapter, count_new
from minigpt.models import CausalHead
from minigpt.ops import IGNORE


class CausalAdapter(Adapter):
    """GPT, Llama, and heads on them."""

    names = ("input_ids", "attention_mask", "labels")

    def logits(self) -> Array:
        """Scores (B, T, V) of the next token at every position."""
        return self.model.logits(self.params, self.inputs["input_ids"], self.run, self.real)

    def hidden_states(self, layer: int) -> Array:
        """The last layer's after the final norm."""
        body = self.model.body if isinstance(self.model, CausalHead) else self.model
        layers = None if layer == self.depth else layer
        return body.body_forward(self.params, self.inputs["input_ids"], self.run, self.real, layers=layers)[0]

    def batch(self) -> Batch:
        """Labels (by default the input itself) are shifted: labels[:, t] is what should be said after t tokens."""
        ids, labels = self.inputs["input_ids"], self.like_ids("labels")
        targets = array_module(ids).full(ids.shape, IGNORE, dtype=np.int64)
        targets[:, :-1] = (ids if labels is None else labels)[:, 1:]
        return Batch(ids, targets, self.real)

    def generate_ids(self, g: Generation, seed: int) -> np.ndarray:
        """Continue every row, left-padded to one length: (B, T) to (B, T + new), padding after a row has ended."""
        backend, c = backend_of(self.params.flat), self.model.config
        text = backend.to_host(self.inputs["input_ids"])
        lengths = self._real_lengths(text)
        prompt, deepest = text.shape[1], int(lengths.max())
        new = count_new(g, prompt, c.context)
        if (longest := deepest + new) > c.context:
            raise UserError(f"prompt and new tokens come to {longest}, but the model's context is {c.context}")
        real = np.arange(prompt) >= prompt - lengths[:, None]
        real = None if real.all() else real
        steps = processors(g, prompt=prompt, longest=prompt + new, source=text, real=real, vocab_size=c.vocab_size)
        # Columns of nothing but padding take no room; but the settings' lengths count them, and a search reads them
        width = prompt if g.num_beams > 1 else deepest
        seen = None if real is None else real[:, prompt - width :]
        shared = backend.asarray(text[:, prompt - width :])
        batch = Batch(shared, shared, None if seen is None or seen.all() else backend.asarray(seen))
        state = self.model.start(self.params, batch, width + new, self.run)
        return self.continued(state, text, width, g, steps, new, seed)

    def _real_lengths(self, text: np.ndarray) -> np.ndarray:
        """How many real tokens each row ends in."""
        if self.real is None:
            return np.full(*text.shape)
        mask = backend_of(self.params.flat).to_host(self.real)
        if not mask[:, -1].all() or (np.diff(mask.astype(np.int8), axis=1) < 0).any():
            raise UserError(
                "generation needs rows that are padded on the left: attention_mask 0 … 0 1 … 1, the last one 1"
            )
        return mask.sum(axis=1)
