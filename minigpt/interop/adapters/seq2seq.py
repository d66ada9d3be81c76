"""Encoder–decoders: `input_ids` for the encoder, `decoder_input_ids` for the decoder, or `labels` to be shifted.

Where neither is given, both stacks read the same text, as in BART's classification: the decoder's is shifted.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from minigpt.core.backend import Array, backend_of
from minigpt.core.errors import UserError
from minigpt.data.seq2seq import Seq2SeqBatch, shift_tokens_right
from minigpt.generate.processors import processors
from minigpt.generate.settings import Generation
from minigpt.interop.adapters.base import Adapter, count_new


class Seq2SeqAdapter(Adapter):
    """The first Transformer and BART."""

    names = ("input_ids", "attention_mask", "decoder_input_ids", "labels")
    ids = MappingProxyType({"eos_token_id": "eos", "pad_token_id": "pad", "decoder_start_token_id": "start"})

    @property
    def depth(self) -> int:
        return self.model.config.encoder_layers

    def batch(self) -> Seq2SeqBatch:
        """Labels (by default the input itself) are what the decoder should say; it reads them shifted by one."""
        c, source = self.model.config, self.inputs["input_ids"]
        labels = self.inputs.get("labels", source)
        decoder = self.inputs.get("decoder_input_ids")
        if decoder is None:
            decoder = shift_tokens_right(labels, pad=c.pad, start=c.start)
        for name, x in (("labels", labels), ("decoder_input_ids", decoder)):
            if x.ndim != 2 or len(x) != len(source):
                raise UserError(f"{name} has shape {x.shape}, but input_ids has {len(source)} rows")
        if "labels" in self.inputs and decoder.shape != labels.shape:
            raise UserError(f"decoder_input_ids has shape {decoder.shape}, labels {labels.shape}")
        return Seq2SeqBatch(source, decoder, labels, self.real)

    def hidden_states(self, layer: int) -> Array:
        """The encoder's."""
        return self.model.encode_forward(self.params, self.inputs["input_ids"], self.real, self.run, layers=layer)[0]

    def logits(self) -> Array:
        """Scores (B, T, V) of the next target token at every position of the decoder."""
        return self.model.logits(self.params, self.batch(), self.run)

    def generate_ids(self, g: Generation, seed: int) -> np.ndarray:
        """Write about every row, from the decoder's start token on: (B, S) to (B, 1 + new), then padding."""
        c = self.model.config
        new = count_new(g, 1, c.context)
        if new >= c.context:
            raise UserError(f"{new} new tokens and the decoder's start do not fit a context of {c.context}")
        source = backend_of(self.params.flat).to_host(self.inputs["input_ids"])
        steps = processors(g, prompt=1, longest=1 + new, source=source, real=None, vocab_size=c.vocab_size)
        state = self.model.start(self.params, self.batch(), new + 1, self.run)
        # What the decoder begins with; transformers takes the beginning of a text where no file names it
        named = [i for i in (g.decoder_start_token_id, g.bos_token_id, c.start) if i is not None]
        text = np.full((len(source), 1), named[0])
        return self.continued(state, text, 1, g, steps, new, seed)
