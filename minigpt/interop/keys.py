"""Strict reading of a config.json: every key is either understood, known to change nothing, or refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from minigpt.errors import UserError
from minigpt.files import read_text
from minigpt.generation_settings import is_setting

MOST_LAYERS = 10_000  # beyond any model, and little enough that a damaged file cannot keep us busy


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What every configuration of Hugging Face's may carry and no forward pass of ours depends on: how the file was
# written, what generation does by default, and what fine-tuned heads call their labels.
HARMLESS = words(
    """
    _name_or_path _attn_implementation _attn_implementation_autoset _commit_hash architectures attn_implementation
    bad_words_ids begin_suppress_tokens bos_token_id chunk_size_feed_forward cls_token_id decoder_start_token_id
    diversity_penalty do_sample dtype early_stopping encoder_no_repeat_ngram_size eos_token_id
    exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id gradient_checkpointing
    id2label initializer_range init_std label2id length_penalty mask_token_id max_length min_length
    no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences output_attentions
    output_hidden_states output_past output_scores pad_token_id prefix problem_type remove_invalid_values
    repetition_penalty return_dict return_dict_in_generate save_step sep_token_id suppress_tokens
    task_specific_params temperature tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript
    transformers_version typical_p unk_token_id use_bfloat16 use_cache vocab_file
    """
)
# Keys that any configuration may carry, and the only values that ours can have.
FIXED: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False, None),
    "cross_attention_hidden_size": (None,),
    "is_decoder": (False, None),
    "is_encoder_decoder": (False, None),
    "pruned_heads": ({}, None),
    "tie_encoder_decoder": (False, None),
}


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        UserError: the file cannot be read, is not JSON, or holds something else than an object.
    """
    try:
        data = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: it is not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is damaged: it holds a JSON {type(data).__name__}, not an object")
    return data


class Keys:
    """The keys of one configuration, which remembers those that were asked for.

    Args:
        stored: gives the names of the tensors that lie beside it, for what the configuration does not say.
    """

    def __init__(self, values: Mapping[str, Any], path: Path | str, stored: Callable[[], Iterable[str]] = tuple):
        self._values, self._path, self._stored = values, path, stored
        self._asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """A value as it stands; `default` where the key is absent or null."""
        self._asked.add(name)
        value = self._values.get(name)
        return default if value is None else value

    def integer(self, name: str, default: int | None = None, *, least: int = 1, most: int = 10**8) -> int:
        """A whole number from `least` to `most`; required where there is no default."""
        value = self._required(name, default)
        if type(value) is not int or not least <= value <= most:
            raise self.refusal(name, f"it must be a whole number from {least} to {most}")
        return value

    def number(self, name: str, default: float | None = None, *, below: float = math.inf) -> float:
        """A number from 0 on, below `below`; required where there is no default."""
        value = self._required(name, default)
        if type(value) not in (int, float) or not 0 <= value < below:
            raise self.refusal(name, f"it must be a number from 0 on{f', below {below}' if below < math.inf else ''}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name, default)
        if type(value) is not bool:
            raise self.refusal(name, "it must be true or false")
        return value

    def choice(self, name: str, ours: Mapping[str, str], default: str) -> str:
        """What we call the value, one of the keys of `ours`."""
        value = self.get(name, default)
        if not isinstance(value, str) or value not in ours:
            raise self.refusal(name, f"minigpt has only {', '.join(ours)} here")
        return ours[value]

    def fixed(self, name: str, *values: Any) -> None:
        """A key that, where it is there, must have one of `values`: the only ones that we compute."""
        self._asked.add(name)
        if name in self._values and not any(_same(self._values[name], value) for value in values):
            raise self.refusal(name, f"minigpt can only do {' or '.join(json.dumps(v) for v in values)}")

    def equal(self, *names: str, default: float) -> float:
        """Several rates for which we have one setting: they must agree."""
        values = {name: self.number(name, default, below=1) for name in names}
        for name, value in values.items():
            if value != values[names[0]]:
                raise self.refusal(name, f"minigpt has one rate for it and {names[0]}, which is {values[names[0]]}")
        return values[names[0]]

    def stores(self, ending: str) -> bool:
        """Whether a tensor beside the configuration has a name that ends so."""
        return any(name.endswith(ending) for name in self._stored())

    def section(self, name: str) -> Keys:
        """The keys of an object inside this one."""
        value = self.get(name)
        if not isinstance(value, dict):
            raise self.refusal(name, "it must be an object with keys of its own")
        return Keys(value, f"{self._path}: {name}")

    def refusal(self, name: str, why: str) -> UserError:
        shown = json.dumps(self._values.get(name))
        return UserError(f"{self._path}: {name} is {shown if len(shown) < 80 else shown[:80] + '…'}, but {why}")

    def finish(self, harmless: Collection[str] = ()) -> None:
        """Refuse what nobody asked for, unless it is known to change nothing.

        Raises:
            UserError: a key is unknown, or its value is one that we do not compute.
        """
        for name, values in FIXED.items():
            if name not in self._asked:
                self.fixed(name, *values)
        for name in self._values:
            known = name in self._asked or name in HARMLESS or name in harmless
            if not known and not is_setting(name):  # settings of generation are judged when something is generated
                raise self.refusal(name, "minigpt does not know this key, and so not what the model computes")

    def _required(self, name: str, default: Any) -> Any:
        value = self.get(name, default)
        if value is None:
            raise UserError(f"{self._path}: the key {name} is missing")
        return value


def _same(a: Any, b: Any) -> bool:
    """Equal, and not a number for a truth value."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
