"""What Transformers are built of: attention, feed-forward layers and norms, joined by residual connections.

Every forward function stands beside its mirror image. `p` and `g` are a block's parameters and gradients under their
local names; sites number the places where dropout draws, so that no two of them share a draw. `BlockConfig` says which
block it is: with it, the same few functions are those of GPT, BERT, BART, Llama and the first Transformer.
"""

from minigpt.blocks.attention import (
    Memory,
    memory_kv_forward,
    self_attention_backward,
    self_attention_forward,
    self_attention_specs,
)
from minigpt.blocks.block import (
    SITES_PER_BLOCK,
    SITES_PER_DECODER_BLOCK,
    StackCache,
    block_backward,
    block_forward,
    block_specs,
    stack_backward,
    stack_forward,
)
from minigpt.blocks.config import BlockConfig
from minigpt.blocks.layers import (
    linear_backward,
    linear_forward,
    linear_specs,
    norm_backward,
    norm_forward,
    norm_specs,
)
from minigpt.blocks.step import block_step
