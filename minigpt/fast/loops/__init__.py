"""The operations of `minigpt.fast` with loops in the place of passes over arrays: compiled by Numba, an optional extra.

Same names, same signatures, same tests. A loop computes all of an equation for one number after the other, where NumPy
makes a pass over a block of numbers for every sign in it. Matrix products stay BLAS's; what is not here is the fast
operation itself.
"""

import sys
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from minigpt import fast
from minigpt.core.interrupts import held_back
from minigpt.fast.loops import activation, dropout, fused, hands, linear, losses, norm, softmax
from minigpt.fast.loops.adamw import adamw
from minigpt.fast.loops.compiled import FOLDER, is_kept
from minigpt.ops import DropoutKey, Mask

_PAIRS = activation.FORWARD | dropout.PAIR | linear.FORWARD | losses.FORWARD | norm.PAIRS | softmax.PAIR
_ACTIVATIONS = {name: (_PAIRS.get(f"{name}_forward", pair[0]), pair[1]) for name, pair in fast.ACTIVATIONS.items()}
OPERATIONS: Any = SimpleNamespace(
    **{name: getattr(fast, name) for name in fast.__all__}
    | _PAIRS
    | {"ACTIVATIONS": _ACTIVATIONS, "FUSED": fused.FUSED}
)


@cache
def prepare() -> None:
    """Compile the loops for float32 or fetch them from disk, once in a process, and before it forks.

    Ctrl-C waits for the loop at hand: LLVM calls back into Python, where the interrupt would be lost.
    """
    left = _one_by_one()
    more = True
    while more:
        with held_back():
            more = next(left, False) is None


def _one_by_one() -> Iterator[None]:
    if not is_kept():
        kept = f"they are kept in {FOLDER}" if FOLDER else "no folder can be written to keep them in"
        print(f"compiling loops for this processor, a few seconds; {kept}", file=sys.stderr, flush=True)
    x, ones, key = np.ones((1, 2, 4), np.float32), np.ones(4, np.float32), DropoutKey(0, 0, 0, 0)
    for name in ("gelu_tanh", "gelu_erf", "silu", "swiglu"):
        OPERATIONS.ACTIVATIONS[name][0](x)
        yield
    for bias in (None, ones):
        _, cache = OPERATIONS.layernorm_forward(x, ones, bias)
        OPERATIONS.FUSED["sum"](x.copy(), bias, x, 0.5, None)
        OPERATIONS.FUSED["sum"](x.copy(), bias, x, 0.5, key)
        yield
    OPERATIONS.layernorm_backward(x, cache, ones.copy())
    OPERATIONS.FUSED["norm_backward_add"](x, cache, ones.copy(), None, x)
    yield
    for name in ("bias_gelu_tanh", "bias_gelu_erf"):
        _, kept = OPERATIONS.FUSED[name][0](x, ones)
        yield
    OPERATIONS.FUSED[name][1](x, kept, ones.copy())
    OPERATIONS.dropout_forward(x, 0.5, key)
    yield
    hands.prepare()
    yield
    q = x[:, :, None]
    y, kept = OPERATIONS.attention_forward(q, q, q, mask=Mask(causal=True), dropout=0.5, key=key)
    OPERATIONS.attention_backward(y, kept)
    OPERATIONS.attention_forward(q[:, :1], q, q)
    yield
    OPERATIONS.cross_entropy_forward(x, np.zeros((1, 2), np.int64))
    p, g, m, v = np.ones((4, 4), np.float32)
    adamw(p, g, m, v, 4, 0.9, 0.99, 0.1, 1e-8, 1.0, 1.0)
