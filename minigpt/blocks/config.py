"""Which Transformer block it is: the settings that tell the architectures' blocks apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minigpt.ops import Rope


@dataclass(frozen=True)
class BlockConfig:
    """One kind of block. A model makes it from its own configuration, one for each stack of blocks that it has.

    Attributes:
        width, heads, feed_forward: C, H, F.
        kv_heads: G, each serving H/G consecutive query heads (Llama 2 70B, Llama 3); 0 means H.
        head_width: D; 0 means C/H.
        pre_norm: norms stand before each sub-layer (GPT-2, Llama), or else after each residual sum.
        rms_norm: norms are RMSNorms (Llama), or else LayerNorms.
        activation: a name in `ops.ACTIVATIONS`; "swiglu" has 2F features before it.
        bias: whether linear layers and LayerNorms have biases.
        qkv_bias, out_bias: whether attention's projections to queries, keys and values, and from heads to C, have
            biases; None is as `bias` says.
        scale: what attention's scores are multiplied by; None is 1/√D, and 1 is GPT-Neo's.
        dropout: the rate on every sub-layer's output; attention_dropout: on attention probabilities;
            activation_dropout: between the feed-forward layer's activation and its second matrix.
        rope: the rotation of queries and keys (Llama), or None where positions are added to the embedding.
        init_std, residual_std: of initial weights; of those of the projections that add to the residual stream.
    """

    width: int
    heads: int
    feed_forward: int
    kv_heads: int = 0
    head_width: int = 0
    pre_norm: bool = False
    rms_norm: bool = False
    norm_eps: float = 1e-5
    activation: str = "gelu_erf"
    bias: bool = True
    qkv_bias: bool | None = None
    out_bias: bool | None = None
    scale: float | None = None
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    rope: Rope | None = None
    init_std: float = 0.02
    residual_std: float = 0.02

    def __post_init__(self) -> None:
        object.__setattr__(self, "kv_heads", self.kv_heads or self.heads)
        object.__setattr__(self, "head_width", self.head_width or self.width // self.heads)
        for name in ("qkv_bias", "out_bias"):
            object.__setattr__(self, name, self.bias if getattr(self, name) is None else getattr(self, name))

    @classmethod
    def of(cls, config: object, **others: Any) -> BlockConfig:
        """The block of a model's configuration: settings of the same names are the same, unless `others` has them."""
        same = {name: value for name, value in vars(config).items() if name in cls.__dataclass_fields__}
        return cls(**same | others)
