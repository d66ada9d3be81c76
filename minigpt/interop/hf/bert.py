"""bert: `BertForPreTraining`, `BertForMaskedLM` without sentence pairs, `BertModel`, and classes with a task's head.

Their matrices are (out, in), and queries, keys and values have one each. The output layer of the masked tokens is tied
to the token embedding, weights and all, so only its bias is saved.
"""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf import fields
from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import choice, count, depth, number, rate
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
    rows: Table = {
        "bert.embeddings.word_embeddings.weight": ("tokens", as_is),
        "bert.embeddings.position_embeddings.weight": ("positions", as_is),
        "bert.embeddings.token_type_embeddings.weight": ("token_types", as_is),
        **norm("bert.embeddings.LayerNorm", "embedding_norm"),
    }
    for layer in range(model.config.layers):
        theirs, ours = f"bert.encoder.layer.{layer}", f"blocks.{layer}"
        qkv = {f"{theirs}.attention.self.{name}": model.config.width for name in ("query", "key", "value")}
        rows |= fused(qkv, f"{ours}.attention.qkv")
        rows |= linear(f"{theirs}.attention.output.dense", f"{ours}.attention.out")
        rows |= norm(f"{theirs}.attention.output.LayerNorm", f"{ours}.norm1")
        rows |= linear(f"{theirs}.intermediate.dense", f"{ours}.mlp.up")
        rows |= linear(f"{theirs}.output.dense", f"{ours}.mlp.down")
        rows |= norm(f"{theirs}.output.LayerNorm", f"{ours}.norm2")
    rows |= _heads({spec.name for spec in model.specs})
    if model.config.headless:  # the bare class has no prefix
        rows = {name.removeprefix(PREFIX): row for name, row in rows.items()}
    return rows


def _heads(ours: set[str]) -> Table:
    """The pooler and the heads, as far as the model has them."""
    rows = linear("bert.pooler.dense", "pooler")
    rows["cls.predictions.bias"] = ("masked.bias", as_is)
    rows |= linear("cls.predictions.transform.dense", "masked.dense")
    rows |= norm("cls.predictions.transform.LayerNorm", "masked.norm")
    rows |= linear("cls.seq_relationship", "pairs")
    rows |= linear("classifier", "classifier")
    rows |= linear("qa_outputs", "span")
    return {theirs: row for theirs, row in rows.items() if row[0] in ours}


def read_config(keys: Keys) -> BertConfig:
    """Which heads there are the files' tensors say: `BertForMaskedLM` has no pooler for sentence pairs, `BertModel` no
    heads at all, and the class that config.json names is not always the one that was saved.
    """
    headless = not keys.stores(beginning="cls")
    keys.fixed("tie_word_embeddings", *([True, False] if headless else [True]))
    keys.fixed("position_embedding_type", "absolute")
    shape = fields.read(keys, FIELDS)
    return BertConfig(**shape, pairs=keys.stores("pooler.dense.weight"), truncated_init=False, headless=headless)


def write_config(config: BertConfig) -> dict[str, Any]:
    saved = "BertForPreTraining" if config.pairs else "BertForMaskedLM"
    return {"architectures": ["BertModel" if config.headless else saved], **fields.written(config, FIELDS)}


FAMILY = Family(
    model_type="bert",
    config_class="BertConfig",
    architecture="BertForPreTraining",
    family="bert",
    read_config=read_config,
    write_config=write_config,
    table=table,
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
