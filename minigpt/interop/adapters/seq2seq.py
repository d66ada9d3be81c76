"""Encoder–decoders: `input_ids` for the encoder, `decoder_input_ids` for the decoder, or `labels` to be shifted.

Where neither is given, both stacks read the same text, as in BART's classification: the decoder's is shifted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.backend import Array, backend_of
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.seq2seq import Seq2SeqBatch, shift_tokens_right
from minigpt.generate.processors import processors
from minigpt.generate.settings import Generation
from minigpt.interop.adapters.generation import count_new, generate_rows, key_padding

INPUTS = ("input_ids", "attention_mask", "decoder_input_ids", "labels")
IDS = {"eos_token_id": "eos", "pad_token_id": "pad", "decoder_start_token_id": "start"}


def batch(model: Any, inputs: Mapping[str, Array]) -> Seq2SeqBatch:
    """Labels (by default the input itself) are what the decoder should say; it reads them shifted by one."""
    c, source = model.config, inputs["input_ids"]
    labels = inputs.get("labels", source)
    decoder = inputs.get("decoder_input_ids")
    if decoder is None:
        decoder = shift_tokens_right(labels, pad=c.pad, start=c.start)
    for name, x in (("labels", labels), ("decoder_input_ids", decoder)):
        if x.ndim != 2 or len(x) != len(source):
            raise UserError(f"{name} has shape {x.shape}, but input_ids has {len(source)} rows")
    if "labels" in inputs and decoder.shape != labels.shape:
        raise UserError(f"decoder_input_ids has shape {decoder.shape}, labels {labels.shape}")
    return Seq2SeqBatch(source, decoder, labels, key_padding(inputs))


def depth(model: Any) -> int:
    return model.config.encoder_layers


def hidden_states(model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run, layer: int) -> Array:
    """The encoder's states (B, S, C): 0 what the first layer reads, n what the n-th gives."""
    return model.encode_forward(params, inputs["input_ids"], key_padding(inputs), run, layers=layer)[0]


def logits(model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run) -> Array:
    """Scores (B, T, V) of the next target token at every position of the decoder."""
    return model.logits(params, batch(model, inputs), run)


def generate_ids(
    model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run, g: Generation, seed: int
) -> np.ndarray:
    """Write about every row, from the decoder's start token on: (B, S) to (B, 1 + new), padding after a row's end."""
    c, backend = model.config, backend_of(params.flat)
    new = count_new(g, 1, c.context)
    if new >= c.context:
        raise UserError(f"{new} new tokens and the decoder's start do not fit a context of {c.context}")
    source = backend.to_host(inputs["input_ids"])
    steps = processors(g, prompt=1, longest=1 + new, source=source, real=None, vocab_size=c.vocab_size)
    state = model.start(params, batch(model, inputs), new + 1, run)
    text = np.full((len(source), 1), decoder_start(g, c.start))
    return generate_rows(model, params, state, text, text, g, steps, new=new, seed=seed)


def decoder_start(g: Generation, otherwise: int) -> int:
    """What the decoder begins with; transformers takes the beginning of a text where no file names it."""
    named = (i for i in (g.decoder_start_token_id, g.bos_token_id) if i is not None)
    return next(named, otherwise)
