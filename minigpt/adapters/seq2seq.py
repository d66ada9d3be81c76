"""Encoder–decoders: `input_ids` for the encoder, `decoder_input_ids` for the decoder, or `labels` to be shifted.

Where neither is given, both stacks read the same text, as in BART's classification: the decoder's is shifted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigpt.adapters.generation import Choose, GenerationSettings, search_ids
from minigpt.backend import Array, backend_of
from minigpt.data.seq2seq import Seq2SeqBatch, shift_tokens_right
from minigpt.errors import UserError
from minigpt.params import Parameters
from minigpt.run import Run

INPUTS = ("input_ids", "attention_mask", "decoder_input_ids", "labels")


def batch(model: Any, inputs: Mapping[str, Array]) -> Seq2SeqBatch:
    """Labels (by default the input itself) are what the decoder should say; it reads them shifted by one."""
    c, source, mask = model.config, inputs["input_ids"], inputs.get("attention_mask")
    labels = inputs.get("labels", source)
    decoder = inputs.get("decoder_input_ids")
    if decoder is None:
        decoder = shift_tokens_right(labels, pad=c.pad, start=c.start)
    for name, x in (("labels", labels), ("decoder_input_ids", decoder)):
        if x.ndim != 2 or len(x) != len(source):
            raise UserError(f"{name} has shape {x.shape}, but input_ids has {len(source)} rows")
    if "labels" in inputs and decoder.shape != labels.shape:
        raise UserError(f"decoder_input_ids has shape {decoder.shape}, labels {labels.shape}")
    return Seq2SeqBatch(source, decoder, labels, None if mask is None else mask.astype(bool))


def logits(model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run) -> Array:
    """Scores (B, T, V) of the next target token at every position of the decoder."""
    return model.logits(params, batch(model, inputs), run)


def generate_ids(
    model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run, choose: Choose, settings: GenerationSettings
) -> np.ndarray:
    """Write about every row, from the decoder's start token on: (B, S) to (B, 1 + new), padding after a row's end."""
    c, backend = model.config, backend_of(params.flat)
    if settings.max_new_tokens >= c.context:
        raise UserError(
            f"{settings.max_new_tokens} new tokens and the decoder's start do not fit a context of {c.context}"
        )
    ends, rows = settings.eos or (c.eos,), np.arange(len(inputs["input_ids"]))
    pad = c.pad if settings.pad is None else settings.pad
    state = model.start(params, batch(model, inputs), settings.max_new_tokens + 1, run)
    text, alive = np.full((len(rows), 1), c.start), np.ones(len(rows), dtype=bool)
    if settings.search:
        return search_ids(model, params, state, text, settings, eos=ends[0], pad=pad)
    for _ in range(settings.max_new_tokens):
        scores, state = model.step(params, backend.asarray(text[:, -1:]), state)
        chosen = np.where(alive, choose(backend.to_host(scores), rows), pad)
        text = np.concatenate([text, chosen[:, None]], axis=1)
        alive &= ~np.isin(chosen, ends)
        if not alive.any():
            break
    return text
