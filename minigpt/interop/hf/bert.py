"""bert: `BertForPreTraining`, `BertForMaskedLM` without sentence pairs, `BertModel`, and classes with a task's head.

Their matrices are (out, in), and queries, keys and values have one each. The output layer of the masked tokens is tied
to the token embedding, weights and all, so only its bias is saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigpt.interop.hf import fields
from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import Field, choice, count, depth, number, rate
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table, as_is, fused, linear, norm
from minigpt.models import BertConfig

PREFIX = "bert."
FIELDS = (
    count("vocab_size", "vocab_size"),
    count("context", "max_position_embeddings", 512),
    depth("layers", "num_hidden_layers"),
    count("heads", "num_attention_heads"),
    count("width", "hidden_size"),
    count("feed_forward", "intermediate_size"),
    count("token_types", "type_vocab_size", 2),
    choice("activation", "hidden_act", ACTIVATIONS, "gelu"),
    rate("dropout", "hidden_dropout_prob", 0.1),
    rate("attention_dropout", "attention_probs_dropout_prob", 0.1),
    number("norm_eps", "layer_norm_eps", 1e-12),
    number("init_std", "initializer_range", 0.02),
)


def table(model: Any) -> Table:
    rows = encoder(model.config, PREFIX)
    heads = linear("bert.pooler.dense", "pooler")
    heads["cls.predictions.bias"] = ("masked.bias", as_is)
    heads |= linear("cls.predictions.transform.dense", "masked.dense")
    heads |= norm("cls.predictions.transform.LayerNorm", "masked.norm")
    heads |= linear("cls.seq_relationship", "pairs")
    return rows | heads | linear("classifier", "classifier") | linear("qa_outputs", "span")


def encoder(c: Any, prefix: str) -> Table:
    """What BERT and RoBERTa name alike."""
    rows: Table = {
        f"{prefix}embeddings.word_embeddings.weight": ("tokens", as_is),
        f"{prefix}embeddings.position_embeddings.weight": ("positions", as_is),
        f"{prefix}embeddings.token_type_embeddings.weight": ("token_types", as_is),
        **norm(f"{prefix}embeddings.LayerNorm", "embedding_norm"),
    }
    for layer in range(c.layers):
        theirs, ours = f"{prefix}encoder.layer.{layer}", f"blocks.{layer}"
        qkv = {f"{theirs}.attention.self.{name}": c.width for name in ("query", "key", "value")}
        rows |= fused(qkv, f"{ours}.attention.qkv")
        rows |= linear(f"{theirs}.attention.output.dense", f"{ours}.attention.out")
        rows |= norm(f"{theirs}.attention.output.LayerNorm", f"{ours}.norm1")
        rows |= linear(f"{theirs}.intermediate.dense", f"{ours}.mlp.up")
        rows |= linear(f"{theirs}.output.dense", f"{ours}.mlp.down")
        rows |= norm(f"{theirs}.output.LayerNorm", f"{ours}.norm2")
    return rows


def read_config(keys: Keys) -> BertConfig:
    """Which heads there are the files' tensors say: `BertForMaskedLM` has no pooler for sentence pairs, `BertModel` no
    heads at all, and the class that config.json names is not always the one that was saved.
    """
    return BertConfig(**read_shape(keys, "cls", FIELDS))


def read_shape(keys: Keys, heads: str, known: Iterable[Field]) -> dict[str, Any]:
    """These settings, and what the files' tensors say. Args: `heads`: what names of the pretrained heads begin with."""
    headless = not keys.stores(beginning=heads)
    keys.fixed("tie_word_embeddings", *([True, False] if headless else [True]))
    keys.fixed("position_embedding_type", "absolute")
    found = {"truncated_init": False, "headless": headless, "pairs": keys.stores("pooler.dense.weight")}
    return fields.read(keys, known) | found


def write_config(config: BertConfig) -> dict[str, Any]:
    other = {} if config.pairs or config.headless else {"architectures": ["BertForMaskedLM"]}
    return {**other, **fields.written(config, FIELDS)}


FAMILY = Family(
    model_type="bert",
    config_class="BertConfig",
    architecture="BertForPreTraining",
    family="bert",
    read_config=read_config,
    write_config=write_config,
    table=table,
    fits=lambda config: config.pad < 0 and config.token_types > 0,
    prefix=PREFIX,
    signature="bert.embeddings.word_embeddings.weight",
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    ignored=r"(bert\.)?embeddings\.(position_ids|token_type_ids)",
    renamed={r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias"},
    harmless=frozenset({"classifier_dropout"}),
)
