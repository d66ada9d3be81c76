"""distilbert: `DistilBertForMaskedLM`, `DistilBertModel`, and classes with a task's head: BERT without segments.

The pooler is a part of the head for classes, with ReLU; the rates of dropout in the heads are BERT's here.
"""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf import fields
from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.bert import read_shape
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import choice, count, depth, number, rate
from minigpt.interop.keys import Keys, words
from minigpt.interop.tables import Table, as_is, fused, linear, norm
from minigpt.models import BertConfig

PREFIX = "distilbert."
EPS = 1e-12  # of all norms
FIELDS = (
    count("vocab_size", "vocab_size"),
    count("context", "max_position_embeddings", 512),
    depth("layers", "n_layers"),
    count("heads", "n_heads"),
    count("width", "dim"),
    count("feed_forward", "hidden_dim"),
    choice("activation", "activation", ACTIVATIONS, "gelu"),
    rate("dropout", "dropout", 0.1),
    rate("attention_dropout", "attention_dropout", 0.1),
    number("init_std", "initializer_range", 0.02),
)


def table(model: Any) -> Table:
    rows: Table = {
        f"{PREFIX}embeddings.word_embeddings.weight": ("tokens", as_is),
        f"{PREFIX}embeddings.position_embeddings.weight": ("positions", as_is),
        **norm(f"{PREFIX}embeddings.LayerNorm", "embedding_norm"),
    }
    for layer in range(model.config.layers):
        theirs, ours = f"{PREFIX}transformer.layer.{layer}", f"blocks.{layer}"
        rows |= fused({f"{theirs}.attention.{n}_lin": model.config.width for n in "qkv"}, f"{ours}.attention.qkv")
        rows |= linear(f"{theirs}.attention.out_lin", f"{ours}.attention.out")
        rows |= norm(f"{theirs}.sa_layer_norm", f"{ours}.norm1")
        rows |= linear(f"{theirs}.ffn.lin1", f"{ours}.mlp.up") | linear(f"{theirs}.ffn.lin2", f"{ours}.mlp.down")
        rows |= norm(f"{theirs}.output_layer_norm", f"{ours}.norm2")
    heads = linear("vocab_transform", "masked.dense") | norm("vocab_layer_norm", "masked.norm")
    heads["vocab_projector.bias"] = ("masked.bias", as_is)
    heads |= linear("pre_classifier", "pooler") | linear("classifier", "classifier") | linear("qa_outputs", "span")
    return rows | heads


def read_config(keys: Keys) -> BertConfig:
    keys.fixed("sinusoidal_pos_embds", False)
    shape = read_shape(keys, "vocab_", FIELDS) | {"pairs": False}
    return BertConfig(**shape, token_types=0, norm_eps=EPS, pooler_activation="relu")


def write_config(config: BertConfig) -> dict[str, Any]:
    return {**fields.written(config, FIELDS), "sinusoidal_pos_embds": False}


def problems(config: Any) -> dict[str, Any]:
    return {
        "a pooler of its own": config.pairs,
        f"norms with ε = {config.norm_eps}, not {EPS}": config.norm_eps != EPS,
    }


FAMILY = Family(
    model_type="distilbert",
    config_class="DistilBertConfig",
    architecture="DistilBertForMaskedLM",
    family="bert",
    read_config=read_config,
    write_config=write_config,
    table=table,
    fits=lambda config: config.pad < 0 and not config.token_types,
    problems=problems,
    prefix=PREFIX,
    tied={"vocab_projector.weight": f"{PREFIX}embeddings.word_embeddings.weight"},
    ignored=r"(distilbert\.)?embeddings\.position_ids",
    harmless=words("output_past qa_dropout seq_classif_dropout tie_weights_"),
    aliases={"dim": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"},
)
