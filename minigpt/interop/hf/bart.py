"""bart: `BartForConditionalGeneration`, and the classes for sequence classification and question answering.

Its linear layers are torch's, (out, in), with k, v and q apart where ours are fused. One matrix embeds both sides and
gives the scores; it is saved once, as `model.shared.weight`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigpt.core.backend import Array
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import activation, count, depth, number, rate
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table, as_is, fused, layers, linear, norm

# What the decoder may have otherwise than the encoder: what it is called there and here, and, here, of both. 0 is the
# same.
DECODER = {
    "decoder_attention_heads": ("decoder_heads", "heads", 16),
    "decoder_ffn_dim": ("decoder_feed_forward", "feed_forward", 4096),
}


class BARTFamily(Family):
    """A family alone: no other is like it."""

    model_type = "bart"
    architecture = "BartForConditionalGeneration"
    family = "bart"
    fields = (
        count("vocab_size", "vocab_size"),
        count("context", "max_position_embeddings", 1024),
        count("width", "d_model", 1024),
        depth("encoder_layers", "encoder_layers", 12),
        depth("decoder_layers", "decoder_layers", 12),
        count("heads", "encoder_attention_heads", 16),
        count("feed_forward", "encoder_ffn_dim", 4096),
        activation("activation_function", "gelu"),
        number("init_std", "init_std", 0.02, null=True),
        rate("dropout", "dropout", 0.1),
        rate("attention_dropout", "attention_dropout", 0.0),
        rate("activation_dropout", "activation_dropout", 0.0),
        rate("head_dropout", "classifier_dropout", 0.0),
        count("bos", "bos_token_id", 0, least=0),
        count("pad", "pad_token_id", 1, least=0),
        count("eos", "eos_token_id", 2, least=0),
        count("start", "decoder_start_token_id", 2, least=0),
    )
    # Old files also name the options of the code that BART was trained with; these are what BART is.
    fixed = {
        **dict.fromkeys(("add_bias_logits", "add_final_layer_norm", "normalize_before"), (False,)),
        **dict.fromkeys(("normalize_embedding", "is_encoder_decoder", "tie_word_embeddings"), (True,)),
        **dict.fromkeys(("encoder_layerdrop", "decoder_layerdrop"), (0, 0.0)),
        "static_position_embeddings": (False,),
        "extra_pos_embeddings": (2,),
        "scale_embedding": (False, None),
    }
    prefix = "model."
    tied = dict.fromkeys(
        ("lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"),
        "model.shared.weight",
    )
    optional = frozenset({"final_logits_bias"})
    harmless = frozenset({"classif_dropout"})
    aliases = {
        "encoder_attention_heads": "num_attention_heads",
        "d_model": "hidden_size",
        "encoder_layers": "num_hidden_layers",
    }

    def table(self, model: Any) -> Table:
        c = model.config
        layer = _attention("self_attn", {"attention.qkv": "qkv"}, "attention", "norm1", c.width)
        layer |= linear("fc1", "mlp.up") | linear("fc2", "mlp.down") | norm("final_layer_norm", "norm2")
        cross = _attention("encoder_attn", {"cross.q": "q", "cross.kv": "kv"}, "cross", "norm_cross", c.width)
        rows: Table = {"model.shared.weight": ("tokens", as_is)}
        for side, one, many in (("encoder", layer, c.encoder_layers), ("decoder", layer | cross, c.decoder_layers)):
            rows[f"model.{side}.embed_positions.weight"] = (f"{side}.positions", as_is)
            rows |= norm(f"model.{side}.layernorm_embedding", f"{side}.norm")
            rows |= layers(one, f"model.{side}.layers", many, f"{side}.blocks")
        return rows | HEADS

    def read(self, keys: Keys) -> dict[str, Any]:
        shape = super().read(keys)
        for theirs, (ours, both, default) in DECODER.items():
            value = keys.integer(theirs, default)
            shape[ours] = 0 if value == shape[both] else value
        return shape

    def write_config(self, config: Any) -> dict[str, Any]:
        decoder = {
            theirs: getattr(config, ours) or getattr(config, both) for theirs, (ours, both, _) in DECODER.items()
        }
        return super().write_config(config) | decoder | {"is_encoder_decoder": True}

    def problems(self, config: Any) -> dict[str, Any]:
        return {f"norms with ε = {config.norm_eps}, not 1e-5": config.norm_eps != 1e-5}


def _attention(theirs: str, projections: Mapping[str, str], ours: str, its_norm: str, width: int) -> Table:
    """An attention's rows: which of q, k and v each of our projections into it holds, its output, its norm."""
    rows: Table = {}
    for name, parts in projections.items():
        rows |= fused({f"{theirs}.{part}_proj": width for part in parts}, name)
    return rows | linear(f"{theirs}.out_proj", f"{ours}.out") | norm(f"{theirs}_layer_norm", its_norm)


def _as_row(x: Array) -> Array:
    """Theirs is (1, V), ours (V,)."""
    return x[None]


HEADS: Table = {
    "final_logits_bias": ("final_logits_bias", _as_row),
    **linear("classification_head.dense", "head.dense"),
    **linear("classification_head.out_proj", "head.out"),
    **linear("qa_outputs", "head.spans"),
}
