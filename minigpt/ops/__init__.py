"""The operations of a Transformer, each a forward and a backward function: plain, generic over NumPy and CuPy.

These are the reference. `y, cache = name_forward(…)` returns the result and exactly what the backward pass needs;
`name_backward(dy, cache, …)` returns activation gradients and adds into parameter gradients.
"""

import inspect

from minigpt.ops._common import add, empty
from minigpt.ops.activation import (
    gelu_erf_backward,
    gelu_erf_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    relu_backward,
    relu_forward,
    silu_backward,
    silu_forward,
    swiglu_backward,
    swiglu_forward,
    tanh_backward,
    tanh_forward,
)
from minigpt.ops.attention import (
    NO_MASK,
    Mask,
    attention_backward,
    attention_cache,
    attention_forward,
    attention_results,
)
from minigpt.ops.dropout import DropoutKey, dropout_backward, dropout_forward, dropout_multiplier
from minigpt.ops.embedding import embedding_backward, embedding_forward, position_backward, position_forward
from minigpt.ops.erf import erf
from minigpt.ops.linear import linear_backward, linear_forward
from minigpt.ops.losses import (
    IGNORE,
    count_targets,
    cross_entropy_backward,
    cross_entropy_forward,
    squared_error_backward,
    squared_error_forward,
)
from minigpt.ops.norm import layernorm_backward, layernorm_forward, rmsnorm_backward, rmsnorm_forward
from minigpt.ops.operations import Activation, Cache, Fused, Operations
from minigpt.ops.rope import Rope, RopeScaling, rope_backward, rope_forward
from minigpt.ops.sinusoid import sinusoid_table
from minigpt.ops.softmax import softmax_backward, softmax_forward

FUSED: Fused = {}  # operations in a row that are one; here each is by itself (see `minigpt.kernels`)
ACTIVATIONS: dict[str, Activation] = {
    "relu": (relu_forward, relu_backward),
    "gelu_tanh": (gelu_tanh_forward, gelu_tanh_backward),
    "gelu_erf": (gelu_erf_forward, gelu_erf_backward),
    "silu": (silu_forward, silu_backward),
    "swiglu": (swiglu_forward, swiglu_backward),  # takes [gate | up]: twice as many features as it gives
    "tanh": (tanh_forward, tanh_backward),
}
ELEMENTWISE = tuple(name for name in ACTIVATIONS if name != "swiglu")  # as many features out as in

# All of these by name: what somebody has to offer who takes the place of this module.
TABLE = {name: it for name, it in vars().items() if not (name.startswith("_") or inspect.ismodule(it))}
