"""gpt2: `GPT2LMHeadModel`. Its `Conv1D` matrices are (in, out), as ours are."""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.family import NOTHING
from minigpt.interop.hf.fields import choice
from minigpt.interop.hf.gpt import BLOCK, HARMLESS, OUTPUT, PREFIX, SHAPE, GPTFamily, lacking
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table, as_is, layers, norm

EMBEDDINGS: Table = {f"{PREFIX}wte.weight": ("tokens", as_is), f"{PREFIX}wpe.weight": ("positions", as_is)}


class GPT2Family(GPTFamily):
    """Like GPT, except for this."""

    model_type = "gpt2"
    config_class = "GPT2Config"
    architecture = "GPT2LMHeadModel"
    fields = (*SHAPE, choice("activation", "activation_function", ACTIVATIONS, "gelu_new"))
    fixed = {"scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,)}
    constants = NOTHING
    inner = "n_inner"  # the feed-forward layer's width; null is four times the model's
    tied = {"lm_head.weight": f"{PREFIX}wte.weight"}
    ignored = r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)"
    # Attention in float32 whatever the weights are in: we compute in one precision throughout.
    harmless = HARMLESS | {"reorder_and_upcast_attn"}

    def table(self, model: Any) -> Table:
        return (
            EMBEDDINGS | layers(BLOCK, f"{PREFIX}h", model.config.layers) | norm(f"{PREFIX}ln_f", "final_norm") | OUTPUT
        )

    def read(self, keys: Keys) -> dict[str, Any]:
        shape = super().read(keys)
        return shape | {"feed_forward": keys.integer(self.inner, 4 * shape["width"], null=True)}

    def write_config(self, config: Any) -> dict[str, Any]:
        inner = None if config.feed_forward == 4 * config.width else config.feed_forward
        return super().write_config(config) | {self.inner: inner}

    def fits(self, config: Any) -> bool:
        return config.norm == "pre" and config.scaled_scores

    def problems(self, config: Any) -> dict[str, Any]:
        return lacking(config)


FAMILY = GPT2Family()
