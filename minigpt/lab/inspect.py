"""Looking into a model: where attention looks.

Training uses attention that never holds the probabilities in one piece. Here every attention of one forward pass is
computed by the reference (`minigpt.ops.attention`), which does, and they are collected on the way.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from minigpt import ops
from minigpt.blocks.run import Run
from minigpt.core.backend import Array, array_module, backend_of
from minigpt.core.params import Parameters
from minigpt.data.seq2seq import Seq2SeqBatch
from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.ops.attention import AttentionCache


def attention_names(model: Any) -> list[str]:
    """The names of a model's attentions, in the order in which its forward pass meets them.

    "blocks.0.attention", …; in an encoder–decoder "encoder.blocks.0.attention", …, then for each decoder block
    "decoder.blocks.0.attention" and "decoder.blocks.0.cross".
    """
    names = [spec.name.removesuffix(".out.weight") for spec in model.specs if spec.name.endswith(".out.weight")]
    return [name for name in names if "blocks." in name]


def attention_maps(
    model: Any, params: Parameters, ids: Any, *, target: Any = None, key_padding: Any = None, **inputs: Any
) -> dict[str, np.ndarray]:
    """What every head of every attention looks at: {name: probabilities (B, H, T, S)}, each row of S summing to 1.

    Args:
        ids: (B, T) token ids, or (T,) for a single text; for an encoder–decoder the source.
        target: what the decoder of an encoder–decoder reads, (B, T) or (T,), from its start token on.
        key_padding: (B, T), True at real tokens, which are the only ones that are looked at; None when all are.
        inputs: what else the model's `body_forward` takes, such as BERT's token_types.
    Raises:
        ValueError: an encoder–decoder is given no target, or another model one.
    """
    backend = backend_of(params.flat)
    ids, target, key_padding = (None if x is None else _row(backend.asarray(x)) for x in (ids, target, key_padding))
    found: list[Array] = []

    def attention_forward(*arguments: Any, **options: Any) -> tuple[Array, AttentionCache]:
        y, cache = ops.attention_forward(*arguments, **options)
        b, g, r, t, s = cache.probabilities.shape
        found.append(cache.probabilities.reshape(b, g * r, t, s))
        return y, cache

    run = Run(ops=SimpleNamespace(**ops.TABLE | {"attention_forward": attention_forward}))
    if isinstance(model, EncoderDecoder) != (target is not None):
        raise ValueError("an encoder–decoder needs a source and a target, every other model only ids")
    if target is not None:
        model.body_forward(params, Seq2SeqBatch(ids, target, source_padding=key_padding), run)
    else:
        model.body_forward(params, ids, run, key_padding=key_padding, **inputs)
    return dict(zip(attention_names(model), map(backend.to_host, found), strict=True))


def _row(x: Array) -> Array:
    return array_module(x).atleast_2d(x)
