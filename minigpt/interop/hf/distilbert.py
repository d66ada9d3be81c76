"""distilbert: `DistilBertForMaskedLM`, `DistilBertModel`, and classes with a task's head: BERT without segments.

The pooler is a part of the head for classes, with ReLU; the rates of dropout in the heads are BERT's here.
"""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.bert import BertLike
from minigpt.interop.hf.fields import choice, count, depth, number, rate
from minigpt.interop.keys import Keys, words
from minigpt.interop.tables import Table, as_is, fused, layers, linear, norm

PREFIX = "distilbert."
EPS = 1e-12  # of all norms


class DistilBertFamily(BertLike):
    """Like BERT, except for this."""

    model_type = "distilbert"
    config_class = "DistilBertConfig"
    architecture = "DistilBertForMaskedLM"
    fields = (
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
    fixed = BertLike.fixed | {"sinusoidal_pos_embds": (False,)}
    constants = BertLike.constants | {"token_types": 0, "norm_eps": EPS, "pooler_activation": "relu"}
    prefix = PREFIX
    heads = "vocab_"
    tied = {"vocab_projector.weight": f"{PREFIX}embeddings.word_embeddings.weight"}
    ignored = r"(distilbert\.)?embeddings\.position_ids"
    harmless = words("output_past qa_dropout seq_classif_dropout tie_weights_")
    aliases = {"dim": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"}

    def table(self, model: Any) -> Table:
        layer = fused({f"attention.{n}_lin": model.config.width for n in "qkv"}, "attention.qkv")
        layer |= linear("attention.out_lin", "attention.out") | norm("sa_layer_norm", "norm1")
        layer |= linear("ffn.lin1", "mlp.up") | linear("ffn.lin2", "mlp.down") | norm("output_layer_norm", "norm2")
        rows: Table = {
            f"{PREFIX}embeddings.word_embeddings.weight": ("tokens", as_is),
            f"{PREFIX}embeddings.position_embeddings.weight": ("positions", as_is),
            **norm(f"{PREFIX}embeddings.LayerNorm", "embedding_norm"),
            **layers(layer, f"{PREFIX}transformer.layer", model.config.layers),
            **linear("vocab_transform", "masked.dense"),
            **norm("vocab_layer_norm", "masked.norm"),
            "vocab_projector.bias": ("masked.bias", as_is),
        }
        return (
            rows
            | linear("pre_classifier", "pooler")
            | linear("classifier", "classifier")
            | linear("qa_outputs", "span")
        )

    def read(self, keys: Keys) -> dict[str, Any]:
        return super().read(keys) | {"pairs": False}

    def write_config(self, config: Any) -> dict[str, Any]:
        return super().write_config(config) | {"sinusoidal_pos_embds": False}

    def fits(self, config: Any) -> bool:
        return config.pad < 0 and not config.token_types

    def problems(self, config: Any) -> dict[str, Any]:
        return {
            "a pooler of its own": config.pairs,
            f"norms with ε = {config.norm_eps}, not {EPS}": config.norm_eps != EPS,
        }


FAMILY = DistilBertFamily()
