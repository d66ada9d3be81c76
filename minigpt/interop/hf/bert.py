"""bert: `BertForPreTraining`, `BertForMaskedLM` without sentence pairs, `BertModel`, and classes with a task's head.

Their matrices are (out, in), and queries, keys and values have one each. The output layer of the masked tokens is tied
to the token embedding, weights and all, so only its bias is saved.
"""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import choice, count, depth, number, rate
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table, as_is, fused, layers, linear, norm
from minigpt.models import BertConfig


class BertLike(Family):
    """What BERT and its kin share; `heads` is what the names of the tensors of the pretrained heads begin with.

    Which heads there are the files' tensors say: `BertForMaskedLM` has no pooler for sentence pairs, `BertModel` no
    heads at all, and the class that config.json names is not always the one that was saved.
    """

    family = "bert"
    config = BertConfig
    heads: str
    fields = (
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
    fixed = {"position_embedding_type": ("absolute",)}
    constants = {"truncated_init": False}

    def read(self, keys: Keys) -> dict[str, Any]:
        headless = not keys.stores(beginning=self.heads)
        keys.fixed("tie_word_embeddings", *([True, False] if headless else [True]))
        return super().read(keys) | {"headless": headless, "pairs": keys.stores("pooler.dense.weight")}

    def encoder(self, c: Any) -> Table:
        """The tensors of the embedding and the layers."""
        embeddings = f"{self.prefix}embeddings"
        layer = fused({f"attention.self.{name}": c.width for name in ("query", "key", "value")}, "attention.qkv")
        layer |= linear("attention.output.dense", "attention.out") | norm("attention.output.LayerNorm", "norm1")
        layer |= linear("intermediate.dense", "mlp.up") | linear("output.dense", "mlp.down")
        layer |= norm("output.LayerNorm", "norm2")
        return {
            f"{embeddings}.word_embeddings.weight": ("tokens", as_is),
            f"{embeddings}.position_embeddings.weight": ("positions", as_is),
            f"{embeddings}.token_type_embeddings.weight": ("token_types", as_is),
            **norm(f"{embeddings}.LayerNorm", "embedding_norm"),
            **layers(layer, f"{self.prefix}encoder.layer", c.layers),
        }


class BertFamily(BertLike):
    """BERT itself."""

    model_type = "bert"
    config_class = "BertConfig"
    architecture = "BertForPreTraining"
    prefix = "bert."
    heads = "cls"
    signature = "bert.embeddings.word_embeddings.weight"
    tied = {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    ignored = r"(bert\.)?embeddings\.(position_ids|token_type_ids)"
    renamed = {r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias"}
    harmless = frozenset({"classifier_dropout"})

    def table(self, model: Any) -> Table:
        rows = self.encoder(model.config) | linear("bert.pooler.dense", "pooler")
        rows["cls.predictions.bias"] = ("masked.bias", as_is)
        rows |= linear("cls.predictions.transform.dense", "masked.dense")
        rows |= norm("cls.predictions.transform.LayerNorm", "masked.norm")
        rows |= linear("cls.seq_relationship", "pairs")
        return rows | linear("classifier", "classifier") | linear("qa_outputs", "span")

    def write_config(self, config: Any) -> dict[str, Any]:
        other = {} if config.pairs or config.headless else {"architectures": ["BertForMaskedLM"]}
        return {**other, **super().write_config(config)}

    def fits(self, config: Any) -> bool:
        return config.pad < 0 and config.token_types > 0


FAMILY = BertFamily()
