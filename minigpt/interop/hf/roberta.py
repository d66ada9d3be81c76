"""roberta: `RobertaForMaskedLM`, `RobertaModel`, and classes with a task's head: BERT under other names.

Its positions begin behind the id of its padding, and it knows no sentence pairs.
"""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.bert import BertLike
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table, as_is, linear, norm
from minigpt.models.bert import Bert
from minigpt.models.bert_heads import BertMultipleChoice

POSITIONS = "max_position_embeddings"


class RobertaFamily(BertLike):
    """Like BERT, except for this."""

    model_type = "roberta"
    config_class = "RobertaConfig"
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


FAMILY = RobertaFamily()
