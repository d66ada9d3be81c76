"""How large a page will be, before anything is computed: which layers it has room for.

For a text of T tokens a layer of width C has about 22 T C + 10 T F + 2 T (C + 2 G D) numbers of activations and their
gradients, 12 H T D of heads, 16 w² of weights' gradients, and for each head of each attention 3 T² scores whole and 4
under the mask; of all other layers one T² a head. A number takes 16/3 bytes in base64. Under a causal mask half of T²
is left out. The numbers of arrays were counted (tests hold the sum to real pages); columns beyond the limit do not
count.
"""

from __future__ import annotations

from typing import Any

from minigpt.lab.explain.arrays import Limits
from minigpt.models.bert import Bert
from minigpt.models.encoder_decoder import Seq2Seq

PAGE, CHOSEN = 5_000_000, 20_000_000  # bytes that a page may have: by itself, and with layers chosen by the reader
FRAME = 560_000  # scripts, the still picture, and the code of operations
_NUMBER = 16 / 3  # bytes in base64
CALL = 1_500  # bytes that a call and its steps take as text
_CALLS = 24  # of a layer, both ways


def layer_bytes(model: Any, tokens: int, limits: Limits) -> int:
    """What a layer of which everything is kept adds to a page, about."""
    b, most = model.block, limits.features
    attentions, heads = 2 if isinstance(model, Seq2Seq) else 1, _heads(model, limits)
    c, f = min(b.width, most), min(b.feed_forward, most)
    fused = min(b.width + 2 * (b.kv_heads or b.heads) * b.head_width, most)
    rows = tokens * ((12 + 10 * attentions) * c + 10 * f + 2 * attentions * fused)
    rows += attentions * 12 * heads * tokens * min(b.head_width, most)
    squares = attentions * heads * tokens**2 * (3 + 4 * _share(model))
    weights = (8 + 8 * attentions) * min(limits.weights, b.width) ** 2
    return round(_NUMBER * (rows + squares + weights)) + attentions * _CALLS * CALL


def other_bytes(model: Any, tokens: int, layers: int, limits: Limits) -> int:
    """What there is without layers of which everything is kept: where all of their heads look, the lens, the text."""
    heads = _heads(model, limits)
    attentions = 2 if isinstance(model, Seq2Seq) else 1
    squares = layers * tokens**2 * (heads * attentions * _share(model) + 1)  # and the reach of the loss
    ends = tokens * (12 * min(model.config.width, limits.features) + 8 * len(limits.tokens))
    return FRAME + round(_NUMBER * (squares + ends)) + layers * tokens * 170


def _heads(model: Any, limits: Limits) -> int:
    return len(limits.heads.shown) if limits.heads else model.block.heads


def _share(model: Any) -> float:
    """Of T² scores, those that the mask lets through."""
    return 1.0 if isinstance(model, Bert | Seq2Seq) else 0.5
