"""What training keeps in memory: the training state, and activations from the forward pass to the backward pass.

Activations are counted twice. `kept_numbers` is what the blocks of this package really keep, array by array; a test
counts the bytes of real caches and finds the same number. `usual_bytes` is what the usual 16-bit implementations keep
(Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models"), generalised to any head
width, feed-forward width and number of key-value heads.
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.blocks import BlockConfig
from minigpt.blocks.recompute import LONG as LONG_ROWS
from minigpt.fast.attention import LONG
from minigpt.lab.plan.workload import Stack, Workload

PRECISIONS = ("bfloat16", "float16", "float32")
RECOMPUTE = ("none", "selective", "full")
ATTENTION = ("flash", "scores")


class StateBytes(NamedTuple):
    """Bytes for each parameter."""

    weights: float
    gradients: float
    master: float
    moments: float

    @property
    def total(self) -> float:
        return sum(self)


def state_bytes(precision: str) -> StateBytes:
    """The usual training state with Adam.

    In 16 bits (Micikevicius et al. 2018; Rajbhandari et al. 2020, section 3.1): weights and gradients of 2 bytes, and
    in float32 the master weights and two moments, 2 + 2 + 4 + 4 + 4 = 16. In float32 there is no second copy of the
    weights: 4 + 4 + 4 + 4 = 16 as well.
    """
    return StateBytes(4, 4, 0, 8) if precision == "float32" else StateBytes(2, 2, 4, 8)


def package_state_bytes(precision: str) -> StateBytes:
    """This package's: gradients are always float32 (see `minigpt.blocks.mixed`), so 18 bytes in 16 bits, 16 in float32.

    Each worker thread has gradients of its own; this is for one. Biases and gains, which are not copied to 16 bits,
    are counted as if they were.
    """
    return StateBytes(4, 4, 0, 8) if precision == "float32" else StateBytes(2, 4, 4, 8)


def sharded(state: StateBytes, stage: int, ways: int) -> float:
    """Bytes for each parameter on one of `ways` data-parallel devices (ZeRO, Rajbhandari et al. 2020, figure 1).

    Stage 0 keeps everything on each; stage 1 divides master weights and moments, stage 2 gradients too, stage 3 (FSDP)
    everything.
    """
    weights, gradients, master, moments = state
    divided = (master + moments) + (gradients if stage >= 2 else 0) + (weights if stage >= 3 else 0)
    return state.total if stage == 0 else state.total - divided + divided / ways


def usual_bytes(stack: Stack, *, precision: str = "bfloat16", attention: str = "flash", recompute: str = "none") -> int:
    """Bytes that one block keeps of one row, as usual implementations do.

    For each token, in 16 bits (2 bytes a number, 1 byte for each entry of a dropout mask):
        norms           2 C for each input                                      2 · 2 C
        attention       2 C input, q, k and v 2 (H + 2G) D, 2 H D before the output projection, C dropout mask
        scores          2 H S softmax, with attention dropout also H S mask and 2 H S behind it
        feed-forward    2 C input, 2 F before the activation (4 F for SwiGLU), 2 F behind it, C dropout mask
    For GPT's shape (H D = C, G = H, F = 4 C) with dropout that is the paper's 34 C + 5 H S. Flash attention keeps no
    scores, but 4 bytes a query and head. With "selective" recomputation the scores are not kept either; with "full"
    nothing but the block's input, 2 C. In float32 every number takes 4 bytes. Cross-attention keeps what attention
    does, its keys and values for the S tokens of the memory (whose input is kept once, by the encoder).
    """
    c, t, size = stack.block, stack.tokens, 4 if precision == "float32" else 2
    hidden = c.heads * c.head_width
    if recompute == "full":
        return t * size * c.width
    mask = 1 if c.dropout else 0
    up = 2 if c.activation == "swiglu" else 1
    keep_scores = attention == "scores" and recompute == "none"
    norms = size * c.width * (3 if stack.memory else 2)
    own = size * (c.width + (c.heads + 2 * c.kv_heads) * c.head_width + hidden) + mask * c.width
    feed_forward = size * (c.width + up * c.feed_forward + c.feed_forward) + mask * c.width
    total = t * (norms + own + feed_forward + _score_bytes(c, t, size, keep=keep_scores))
    if stack.memory:
        total += t * (size * (c.width + 2 * hidden) + mask * c.width)
        total += stack.memory * size * 2 * c.kv_heads * c.head_width
        total += t * _score_bytes(c, stack.memory, size, keep=keep_scores)
    return total


def _score_bytes(c: BlockConfig, keys: int, size: int, *, keep: bool) -> int:
    """For one query, all heads."""
    if not keep:
        return 4 * c.heads
    return c.heads * keys * (size + (1 + size if c.attention_dropout else 0))


def usual_output_bytes(w: Workload, *, precision: str = "bfloat16") -> int:
    """Behind the blocks, one row: the final norm's and the output layer's input, and the scores in float32, 4 V."""
    size = 4 if precision == "float32" else 2
    return sum(layer.places * (2 * size * w.width + 4 * layer.logits) for layer in w.outputs if layer.logits)


def kept_numbers(stack: Stack, table: str = "fast") -> int:
    """Numbers that one block of this package keeps of one row, in a pass with the fast or the plain operations.

    For each token:
        norms           x̂ (C) and 1/σ (1), each
        attention       its input (C); the buffer of q, k and v, (H + 2G) D, which k and v are views of; its output
                        (H D), which the output projection keeps too
        scores          plain: probabilities (H S). fast: exponentials (H S) and 1/l (H); from S = 512 on,
                        log-sum-exps (H) only. With attention dropout its multipliers (H S), which long
                        texts draw again
        feed-forward    its input (C) and the second matrix's (F); of the activation, plain: what its derivative is made
                        of (2 F for GELU, F for ReLU, 3 F for SwiGLU), fast: the derivative (F; 2 F for SwiGLU; ReLU has
                        only a plain version)
        dropout         its multipliers, C behind attention and behind the feed-forward layer, F inside it
        cross-attention a norm, its input (C), q (H D), scores and output as above; and for the S tokens of the memory k
                        and v (2 G D)
    The residual stream itself is kept by nothing. On rows of 1,024 tokens and more a block keeps instead its input (C)
    and what attention made (see `minigpt.blocks.recompute`): plain, all that is above but its input; fast, its output
    and log-sum-exps. Rotary tables, which all rows share, are left out.
    """
    c, t, s = stack.block, stack.tokens, stack.memory
    if t >= LONG_ROWS:
        attentions = _attention_numbers(c, t, t, table, again=True)
        return t * c.width + attentions + (_attention_numbers(c, t, s, table, again=True) if s else 0)
    norms = 3 if s else 2
    dropout = (norms * c.width if c.dropout else 0) + (c.feed_forward if c.activation_dropout else 0)
    feed_forward = c.feed_forward + _activation_numbers(c.activation, c.feed_forward, table)
    total = t * (norms * (c.width + 1 + c.width) + dropout + feed_forward)  # the input of each part, and its norm
    total += _attention_numbers(c, t, t, table)
    return total + (_attention_numbers(c, t, s, table) if s else 0)


def _attention_numbers(c: BlockConfig, t: int, s: int, table: str, *, again: bool = False) -> int:
    """q, k, v, scores and output of T queries and S keys; only what is not worked out again where `again` says so."""
    hidden, tiles = c.heads * c.head_width, table == "fast" and s >= LONG and t > 16
    output, scores = t * hidden, t * c.heads * s
    if tiles:
        scores = t * c.heads
    elif table == "fast":
        scores += t * c.heads
    if c.attention_dropout and not tiles:
        scores += t * c.heads * s
    qkv = t * hidden + s * 2 * c.kv_heads * c.head_width
    return output + scores + (0 if again and tiles else qkv)


def _activation_numbers(activation: str, width: int, table: str) -> int:
    if activation in ("relu", "tanh"):  # what comes in; what comes out
        return width
    return (1 if table == "fast" else 2) * width if activation != "swiglu" else (2 if table == "fast" else 3) * width


def kept_bytes(w: Workload, *, table: str = "fast", recompute: bool = False) -> int:
    """Bytes of float32 that this package keeps of one row from the forward pass to the backward pass.

    All blocks' caches, or with `train.recompute` their inputs (and, while it works on it, one block's cache); norms and
    dropout around the stacks; and behind them each layer's input, what its activation and norm keep, and for each
    predicted token V numbers, the probabilities or the gradient of the scores. Token ids are left out, and what scratch
    memory is rounded up by (less than an eighth).
    """
    numbers = 0
    for s in w.stacks:
        width = s.block.width
        numbers += s.layers * (s.tokens * width if recompute else kept_numbers(s, table))
        numbers += s.tokens * (s.norms * (width + 1) + (s.embedding_dropout + s.remembered) * width)
    for layer in w.outputs:
        numbers += layer.inputs + layer.places * layer.logits
        numbers += layer.places * (w.width + 1 if layer.norm else 0)
        numbers += layer.places * (_activation_numbers(layer.activation, w.width, table) if layer.activation else 0)
    return 4 * numbers
