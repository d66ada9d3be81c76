"""How each family is spoken to in Hugging Face's terms: which inputs it takes, and what they become.

`minigpt.load` finds the adapter by the family of the model; `minigpt.interop.adapters.base` says what one has.
"""

from typing import Any

from minigpt.core.errors import UserError
from minigpt.interop.adapters.base import Adapter
from minigpt.interop.adapters.bert import BertAdapter
from minigpt.interop.adapters.causal import CausalAdapter
from minigpt.interop.adapters.seq2seq import Seq2SeqAdapter

ADAPTERS: dict[str, type[Adapter]] = {
    **dict.fromkeys(("gpt", "llama"), CausalAdapter),
    **dict.fromkeys(("transformer", "bart"), Seq2SeqAdapter),
    "bert": BertAdapter,
}


def adapter_of(family: str) -> type[Adapter]:
    """The adapter of a family.

    Raises:
        UserError: it has none: it was added to training alone.
    """
    if family not in ADAPTERS:
        raise UserError(f"a model of the family {family} is not spoken to in Hugging Face's terms: it has no adapter")
    return ADAPTERS[family]


def known_ids(model: Any) -> dict[str, Any]:
    """The ids that a model's configuration itself names, under Hugging Face's names; none without an adapter."""
    names = ADAPTERS[model.family].ids if model.family in ADAPTERS else {}
    return {theirs: getattr(model.config, ours) for theirs, ours in names.items()}


__all__ = ["ADAPTERS", "Adapter", "BertAdapter", "CausalAdapter", "Seq2SeqAdapter", "adapter_of", "known_ids"]
