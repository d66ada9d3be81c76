"""The same operations, written for speed on a CPU: NumPy only, same names, same signatures, same tests.

What is here is here because it pays; the rest is the plain version. `minigpt.ops` stays the place to read. In
`minigpt.fast.loops` some of them are loops that Numba compiles.
"""

from typing import Any

from minigpt.fast._common import add, empty
from minigpt.fast.activation import (
    gelu_erf_backward,
    gelu_erf_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    silu_backward,
    silu_forward,
    swiglu_backward,
    swiglu_forward,
)
from minigpt.fast.attention import attention_backward, attention_cache, attention_forward, attention_results
from minigpt.fast.embedding import embedding_forward, position_forward
from minigpt.fast.linear import linear_backward, linear_forward
from minigpt.fast.losses import cross_entropy_backward, cross_entropy_forward
from minigpt.fast.norm import layernorm_backward, layernorm_forward, rmsnorm_backward, rmsnorm_forward
from minigpt.fast.rope import rope_backward, rope_forward
from minigpt.ops import (
    Activation,
    dropout_backward,
    dropout_forward,
    embedding_backward,
    position_backward,
    relu_backward,
    relu_forward,
    softmax_backward,
    softmax_forward,
    squared_error_backward,
    squared_error_forward,
    tanh_backward,
    tanh_forward,
)

FUSED: dict[str, Any] = {}
ACTIVATIONS: dict[str, Activation] = {
    "relu": (relu_forward, relu_backward),
    "gelu_tanh": (gelu_tanh_forward, gelu_tanh_backward),
    "gelu_erf": (gelu_erf_forward, gelu_erf_backward),
    "silu": (silu_forward, silu_backward),
    "swiglu": (swiglu_forward, swiglu_backward),
    "tanh": (tanh_forward, tanh_backward),
}

__all__ = [
    "ACTIVATIONS",
    "FUSED",
    "add",
    "attention_backward",
    "attention_cache",
    "attention_forward",
    "attention_results",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_forward",
    "embedding_backward",
    "embedding_forward",
    "empty",
    "gelu_erf_backward",
    "gelu_erf_forward",
    "gelu_tanh_backward",
    "gelu_tanh_forward",
    "layernorm_backward",
    "layernorm_forward",
    "linear_backward",
    "linear_forward",
    "position_backward",
    "position_forward",
    "rmsnorm_backward",
    "rmsnorm_forward",
    "rope_backward",
    "rope_forward",
    "silu_backward",
    "silu_forward",
    "softmax_backward",
    "softmax_forward",
    "squared_error_backward",
    "squared_error_forward",
    "swiglu_backward",
    "swiglu_forward",
    "tanh_backward",
    "tanh_forward",
]
