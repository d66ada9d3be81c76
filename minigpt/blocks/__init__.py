"""What Transformers are built of: attention, feed-forward layers and norms, joined by residual connections.

Every forward function stands beside its mirror image. `p` and `g` are a block's parameters and gradients under their
local names; sites number the places where dropout draws, so that no two of them share a draw. `BlockConfig` says which
block it is: with it, the same few functions are those of GPT, BERT, BART, Llama and the first Transformer.
"""

from minigpt.blocks.attention import (
    cross_attention_backward,
    cross_attention_forward,
    cross_attention_specs,
    memory_kv_backward,
    memory_kv_forward,
    qkv_backward,
    qkv_forward,
    self_attention_backward,
    self_attention_forward,
    self_attention_specs,
)
from minigpt.blocks.block import (
    SITES_PER_BLOCK,
    SITES_PER_DECODER_BLOCK,
    block_backward,
    block_forward,
    block_specs,
    decoder_block_backward,
    decoder_block_forward,
    decoder_block_specs,
)
from minigpt.blocks.config import BlockConfig
from minigpt.blocks.layers import (
    linear_backward,
    linear_forward,
    linear_specs,
    mlp_backward,
    mlp_forward,
    mlp_specs,
    norm_backward,
    norm_forward,
    norm_specs,
)
from minigpt.blocks.stack import (
    DecoderStackCache,
    StackCache,
    decoder_stack_backward,
    decoder_stack_forward,
    stack_backward,
    stack_forward,
)
from minigpt.blocks.step import block_step, decoder_block_step

__all__ = [
    "SITES_PER_BLOCK",
    "SITES_PER_DECODER_BLOCK",
    "BlockConfig",
    "DecoderStackCache",
    "StackCache",
    "block_backward",
    "block_forward",
    "block_specs",
    "block_step",
    "cross_attention_backward",
    "cross_attention_forward",
    "cross_attention_specs",
    "decoder_block_backward",
    "decoder_block_forward",
    "decoder_block_specs",
    "decoder_block_step",
    "decoder_stack_backward",
    "decoder_stack_forward",
    "linear_backward",
    "linear_forward",
    "linear_specs",
    "memory_kv_backward",
    "memory_kv_forward",
    "mlp_backward",
    "mlp_forward",
    "mlp_specs",
    "norm_backward",
    "norm_forward",
    "norm_specs",
    "qkv_backward",
    "qkv_forward",
    "self_attention_backward",
    "self_attention_forward",
    "self_attention_specs",
    "stack_backward",
    "stack_forward",
]
