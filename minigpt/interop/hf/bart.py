"""bart: `BartForConditionalGeneration`, and the classes for sequence classification and question answering.

Its linear layers are torch's, (out, in), with k, v and q apart where ours are fused. One matrix embeds both sides and
gives the scores; it is saved once, as `model.shared.weight`.
"""

from __future__ import annotations

from typing import Any

from minigpt.core.backend import Array
from minigpt.interop.hf.activations import ACTIVATIONS, WRITTEN
from minigpt.interop.hf.family import Family
from minigpt.interop.keys import MOST_LAYERS, Keys
from minigpt.interop.tables import Table, as_is, fused, linear, norm
from minigpt.models.bart import BART, BARTClassifier, BARTConfig, BARTQuestionAnswering

SPECIAL = {
    "bos": ("bos_token_id", 0),
    "pad": ("pad_token_id", 1),
    "eos": ("eos_token_id", 2),
    "start": ("decoder_start_token_id", 2),
}
RATES = {
    "dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.0),
    "activation_dropout": ("activation_dropout", 0.0),
    "head_dropout": ("classifier_dropout", 0.0),
}
# Old files also name the options of the code that BART was trained with; these are what BART is.
FIXED = {
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "normalize_before": False,
    "normalize_embedding": True,
    "static_position_embeddings": False,
    "extra_pos_embeddings": 2,
    "is_encoder_decoder": True,
    "tie_word_embeddings": True,
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
    return rows | _HEADS[type(model)]


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


_HEADS: dict[type, Table] = {
    BART: {"final_logits_bias": ("final_logits_bias", _as_row)},
    BARTClassifier: linear("classification_head.dense", "head.dense")
    | linear("classification_head.out_proj", "head.out"),
    BARTQuestionAnswering: linear("qa_outputs", "head.spans"),
}


def read_config(keys: Keys) -> BARTConfig:
    for name, value in FIXED.items():
        keys.fixed(name, value)
    keys.fixed("scale_embedding", False, None)
    for name in ("encoder_layerdrop", "decoder_layerdrop"):
        keys.fixed(name, 0, 0.0)
    heads, inner = keys.integer("encoder_attention_heads", 16), keys.integer("encoder_ffn_dim", 4096)
    decoder_heads, decoder_inner = keys.integer("decoder_attention_heads", 16), keys.integer("decoder_ffn_dim", 4096)
    return BARTConfig(
        vocab_size=keys.integer("vocab_size"),
        context=keys.integer("max_position_embeddings", 1024),
        encoder_layers=keys.integer("encoder_layers", 12, most=MOST_LAYERS),
        decoder_layers=keys.integer("decoder_layers", 12, most=MOST_LAYERS),
        heads=heads,
        width=keys.integer("d_model", 1024),
        feed_forward=inner,
        decoder_heads=0 if decoder_heads == heads else decoder_heads,
        decoder_feed_forward=0 if decoder_inner == inner else decoder_inner,
        activation=keys.choice("activation_function", ACTIVATIONS, "gelu"),
        init_std=keys.number("init_std", 0.02, null=True),
        **{ours: keys.number(theirs, default, below=1) for ours, (theirs, default) in RATES.items()},
        **{ours: keys.integer(theirs, default, least=0) for ours, (theirs, default) in SPECIAL.items()},
    )


def write_config(config: BARTConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "d_model": config.width,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "encoder_attention_heads": config.heads,
        "decoder_attention_heads": config.decoder_heads or config.heads,
        "encoder_ffn_dim": config.feed_forward,
        "decoder_ffn_dim": config.decoder_feed_forward or config.feed_forward,
        "activation_function": WRITTEN[config.activation],
        "init_std": config.init_std,
        "is_encoder_decoder": True,
        **{theirs: getattr(config, ours) for ours, (theirs, _) in (RATES | SPECIAL).items()},
    }


def problems(config: Any) -> list[str]:
    """What of the configuration their classes cannot express, as ends of the sentence "the model has …"."""
    return [] if config.norm_eps == 1e-5 else [f"norms with ε = {config.norm_eps}, not 1e-5"]


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
