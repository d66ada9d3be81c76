"""bart: `BartForConditionalGeneration`, and the classes for sequence classification and question answering.

Its linear layers are torch's, (out, in), with k, v and q apart where ours are fused. One matrix embeds both sides and
gives the scores; it is saved once, as `model.shared.weight`.
"""

from __future__ import annotations

from typing import Any

from minigpt.core.backend import Array
from minigpt.interop.hf import fields
from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import choice, count, depth, number, rate
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table, as_is, fused, linear, norm
from minigpt.models.bart import BARTConfig

FIELDS = (
    count("vocab_size", "vocab_size"),
    count("context", "max_position_embeddings", 1024),
    count("width", "d_model", 1024),
    depth("encoder_layers", "encoder_layers", 12),
    depth("decoder_layers", "decoder_layers", 12),
    count("heads", "encoder_attention_heads", 16),
    count("feed_forward", "encoder_ffn_dim", 4096),
    choice("activation", "activation_function", ACTIVATIONS, "gelu"),
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
FIXED = {
    **dict.fromkeys(("add_bias_logits", "add_final_layer_norm", "normalize_before"), (False,)),
    **dict.fromkeys(("normalize_embedding", "is_encoder_decoder", "tie_word_embeddings"), (True,)),
    **dict.fromkeys(("encoder_layerdrop", "decoder_layerdrop"), (0, 0.0)),
    "static_position_embeddings": (False,),
    "extra_pos_embeddings": (2,),
    "scale_embedding": (False, None),
}


def table(model: Any) -> Table:
    c = model.config
    rows: Table = {"model.shared.weight": ("tokens", as_is)}
    for side, layers in (("encoder", c.encoder_layers), ("decoder", c.decoder_layers)):
        rows[f"model.{side}.embed_positions.weight"] = (f"{side}.positions", as_is)
        rows |= norm(f"model.{side}.layernorm_embedding", f"{side}.norm")
        for layer in range(layers):
            rows |= _layer(f"model.{side}.layers.{layer}", f"{side}.blocks.{layer}", c.width)
            if side == "decoder":
                rows |= _cross(f"model.{side}.layers.{layer}", f"{side}.blocks.{layer}", c.width)
    return rows | HEADS


def _layer(theirs: str, ours: str, width: int) -> Table:
    rows = fused({f"{theirs}.self_attn.{part}_proj": width for part in "qkv"}, f"{ours}.attention.qkv")
    rows |= linear(f"{theirs}.self_attn.out_proj", f"{ours}.attention.out")
    rows |= norm(f"{theirs}.self_attn_layer_norm", f"{ours}.norm1")
    rows |= linear(f"{theirs}.fc1", f"{ours}.mlp.up") | linear(f"{theirs}.fc2", f"{ours}.mlp.down")
    return rows | norm(f"{theirs}.final_layer_norm", f"{ours}.norm2")


def _cross(theirs: str, ours: str, width: int) -> Table:
    rows = linear(f"{theirs}.encoder_attn.q_proj", f"{ours}.cross.q")
    rows |= fused({f"{theirs}.encoder_attn.{part}_proj": width for part in "kv"}, f"{ours}.cross.kv")
    rows |= linear(f"{theirs}.encoder_attn.out_proj", f"{ours}.cross.out")
    return rows | norm(f"{theirs}.encoder_attn_layer_norm", f"{ours}.norm_cross")


def _as_row(x: Array) -> Array:
    """Theirs is (1, V), ours (V,)."""
    return x[None]


HEADS: Table = {
    "final_logits_bias": ("final_logits_bias", _as_row),
    **linear("classification_head.dense", "head.dense"),
    **linear("classification_head.out_proj", "head.out"),
    **linear("qa_outputs", "head.spans"),
}


def read_config(keys: Keys) -> BARTConfig:
    for name, values in FIXED.items():
        keys.fixed(name, *values)
    shape = fields.read(keys, FIELDS)
    heads, inner = keys.integer("decoder_attention_heads", 16), keys.integer("decoder_ffn_dim", 4096)
    return BARTConfig(
        **shape,
        decoder_heads=0 if heads == shape["heads"] else heads,
        decoder_feed_forward=0 if inner == shape["feed_forward"] else inner,
    )


def write_config(config: BARTConfig) -> dict[str, Any]:
    return {
        **fields.written(config, FIELDS),
        "decoder_attention_heads": config.decoder_heads or config.heads,
        "decoder_ffn_dim": config.decoder_feed_forward or config.feed_forward,
        "is_encoder_decoder": True,
    }


def problems(config: Any) -> dict[str, Any]:
    return {f"norms with ε = {config.norm_eps}, not 1e-5": config.norm_eps != 1e-5}


FAMILY = Family(
    model_type="bart",
    config_class="BartConfig",
    architecture="BartForConditionalGeneration",
    family="bart",
    read_config=read_config,
    write_config=write_config,
    table=table,
    problems=problems,
    prefix="model.",
    tied=dict.fromkeys(
        ("lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"),
        "model.shared.weight",
    ),
    optional=frozenset({"final_logits_bias"}),
    harmless=frozenset({"classif_dropout"}),
    aliases={
        "encoder_attention_heads": "num_attention_heads",
        "d_model": "hidden_size",
        "encoder_layers": "num_hidden_layers",
    },
)
