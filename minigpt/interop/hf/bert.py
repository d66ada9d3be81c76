"""bert, roberta and distilbert: `BertForPreTraining`, `BertForMaskedLM` without sentence pairs, `BertModel`,
classes with a task's head, and those of the two that are BERT under other names.

Their matrices are (out, in), and queries, keys and values have one each. The output layer of the masked tokens is tied
to the token embedding, weights and all, so only its bias is saved.
"""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import activation, count, depth, number, rate
from minigpt.interop.keys import Keys, words
from minigpt.interop.tables import Table, as_is, fused, layers, linear, norm
from minigpt.models.bert import Bert
from minigpt.models.bert_heads import BertMultipleChoice

POSITIONS = "max_position_embeddings"
EPS = 1e-12  # of all norms of DistilBERT


class BertLike(Family):
    """What BERT and its kin share; `heads` is what the names of the pretrained heads begin with, `stack` the layers'.

    Which heads there are the files' tensors say: `BertForMaskedLM` has no pooler for sentence pairs, `BertModel` no
    heads at all, and the class that config.json names is not always the one that was saved.
    """

    family = "bert"
    heads: str
    stack = "encoder.layer"
    fields = (
        count("vocab_size", "vocab_size"),
        count("context", "max_position_embeddings", 512),
        depth("layers", "num_hidden_layers"),
        count("heads", "num_attention_heads"),
        count("width", "hidden_size"),
        count("feed_forward", "intermediate_size"),
        count("token_types", "type_vocab_size", 2),
        activation("hidden_act", "gelu"),
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
        return {
            f"{embeddings}.word_embeddings.weight": ("tokens", as_is),
            f"{embeddings}.position_embeddings.weight": ("positions", as_is),
            f"{embeddings}.token_type_embeddings.weight": ("token_types", as_is),
            **norm(f"{embeddings}.LayerNorm", "embedding_norm"),
            **layers(self.layer(c), f"{self.prefix}{self.stack}", c.layers),
        }

    def layer(self, c: Any) -> Table:
        """The tensors of one layer."""
        rows = fused({f"attention.self.{name}": c.width for name in ("query", "key", "value")}, "attention.qkv")
        rows |= linear("attention.output.dense", "attention.out") | norm("attention.output.LayerNorm", "norm1")
        rows |= linear("intermediate.dense", "mlp.up") | linear("output.dense", "mlp.down")
        return rows | norm("output.LayerNorm", "norm2")


class BertFamily(BertLike):
    """BERT itself."""

    model_type = "bert"
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


class RobertaFamily(BertLike):
    """Like BERT, except for this: positions begin behind the id of its padding, and it knows no sentence pairs."""

    model_type = "roberta"
    architecture = "RobertaForMaskedLM"
    prefix = "roberta."
    heads = "lm_head"
    tied = {
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    }
    ignored = r"(roberta\.)?(embeddings\.(position_ids|token_type_ids)|pooler\.dense\.(weight|bias))"
    harmless = frozenset({"classifier_dropout"})

    def table(self, model: Any) -> Table:
        heads = linear("lm_head.dense", "masked.dense") | norm("lm_head.layer_norm", "masked.norm")
        heads["lm_head.bias"] = ("masked.bias", as_is)
        if isinstance(model, Bert | BertMultipleChoice):
            heads |= linear("roberta.pooler.dense", "pooler") | linear("classifier", "classifier")
        else:
            heads |= linear("classifier.dense", "pooler") | linear("classifier.out_proj", "classifier")
        return self.encoder(model.config) | heads | linear("qa_outputs", "span")

    def read(self, keys: Keys) -> dict[str, Any]:
        """A pooler counts only where there is no other head: theirs leaves it out beside one."""
        shape, pad = super().read(keys), keys.integer("pad_token_id", 1, least=0)
        if shape["context"] <= pad + 1:
            raise keys.refusal(POSITIONS, f"positions begin at {pad + 1}, behind pad_token_id")
        if not shape["headless"] and shape["activation"] != "gelu_erf":
            raise keys.refusal("hidden_act", "the head for masked tokens has gelu, and minigpt one activation for both")
        pairs = shape["headless"] and shape["pairs"]
        return shape | {"context": shape["context"] - pad - 1, "pad": pad, "pairs": pairs}

    def write_config(self, config: Any) -> dict[str, Any]:
        positions = {POSITIONS: config.context + config.pad + 1, "pad_token_id": config.pad}
        return super().write_config(config) | positions

    def fits(self, config: Any) -> bool:
        return config.pad >= 0

    def problems(self, config: Any) -> dict[str, Any]:
        return {
            "a head for sentence pairs": config.pairs and not config.headless,
            "no token types": not config.token_types,
            f"the activation {config.activation}": config.activation != "gelu_erf" and not config.headless,
        }


class DistilBertFamily(BertLike):
    """BERT without segments: the pooler is a part of the head for classes, with ReLU; the rates of dropout in the heads
    are BERT's here.
    """

    model_type = "distilbert"
    architecture = "DistilBertForMaskedLM"
    fields = (
        count("vocab_size", "vocab_size"),
        count("context", "max_position_embeddings", 512),
        depth("layers", "n_layers"),
        count("heads", "n_heads"),
        count("width", "dim"),
        count("feed_forward", "hidden_dim"),
        activation("activation", "gelu"),
        rate("dropout", "dropout", 0.1),
        rate("attention_dropout", "attention_dropout", 0.1),
        number("init_std", "initializer_range", 0.02),
    )
    fixed = BertLike.fixed | {"sinusoidal_pos_embds": (False,)}
    constants = BertLike.constants | {"token_types": 0, "norm_eps": EPS, "pooler_activation": "relu"}
    prefix = "distilbert."
    stack = "transformer.layer"
    heads = "vocab_"
    tied = {"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"}
    ignored = r"(distilbert\.)?embeddings\.position_ids"
    harmless = words("output_past qa_dropout seq_classif_dropout tie_weights_")
    aliases = {"dim": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"}

    def table(self, model: Any) -> Table:
        heads = linear("vocab_transform", "masked.dense") | norm("vocab_layer_norm", "masked.norm")
        heads["vocab_projector.bias"] = ("masked.bias", as_is)
        heads |= linear("pre_classifier", "pooler") | linear("classifier", "classifier")
        return self.encoder(model.config) | heads | linear("qa_outputs", "span")

    def layer(self, c: Any) -> Table:
        rows = fused({f"attention.{name}_lin": c.width for name in "qkv"}, "attention.qkv")
        rows |= linear("attention.out_lin", "attention.out") | norm("sa_layer_norm", "norm1")
        return rows | linear("ffn.lin1", "mlp.up") | linear("ffn.lin2", "mlp.down") | norm("output_layer_norm", "norm2")

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
