"""Reading a config.json by effect: what changes the model is honoured or refused by name, what is unknown is listed.

Three kinds of keys: those that the family asks for, and computes; those that Hugging Face's classes know (now, or in an
older generation) and that must have the value with which the model is the one we compute, or that change nothing; and
all others, which their classes carry along unread. The last are named in one warning and never stop a load.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from minigpt.core.errors import UserError
from minigpt.core.files import read_text
from minigpt.core.limits import CONFIGURATION_BYTES, SIZE
from minigpt.core.reading import parse_json
from minigpt.generate.settings import is_setting


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What their configurations carry, and carried, that no forward pass depends on: how the file was written, what is
# returned beside the result, how it is computed, what fine-tuned heads call their labels, and how generate() assists
# itself. The other settings of generation are judged when something is generated (`minigpt.generate.settings`).
HARMLESS = words(
    """
    _attn_implementation _attn_implementation_autoset _commit_hash _experts_implementation _name_or_path _num_labels
    architectures attn_implementation chunk_size_feed_forward cls_token_id dtype finetuning_task
    gradient_checkpointing id2label initializer_range init_std label2id mask_token_id model_type name_or_path
    num_labels output_attentions output_hidden_states output_past prefix problem_type return_dict sep_token_id
    task_specific_params tf_legacy_loss tokenizer_class torch_dtype torchscript transformers_version unk_token_id
    use_bfloat16 use_cache xla_device
    assistant_confidence_threshold assistant_lookbehind eos_token_ids force_bos_token_to_be_generated
    num_assistant_tokens num_assistant_tokens_schedule output_scores return_dict_in_generate target_lookbehind
    """
)
# Keys that change what any of their models computes, and the values with which it is what we compute.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False, None),
    "compression_config": (None,),
    "cross_attention_hidden_size": (None,),
    "is_decoder": (False, None),
    "is_encoder_decoder": (False, None),
    "per_layer_config": (None, {}),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
    "tie_encoder_decoder": (False, None),
    "tie_last_hidden_states": (True, None),
}


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        UserError: the file cannot be read, is not JSON, or holds something else than an object.
    """
    try:
        data = parse_json(read_text(path, CONFIGURATION_BYTES))
    except ValueError as error:
        raise UserError(f"{path} is damaged: it is not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is damaged: it holds a JSON {type(data).__name__}, not an object")
    return data


class Keys:
    """The keys of one configuration, which remembers those that were asked for.

    A key that is null is there: it is refused, unless their class takes null for "nothing said" (`null=True`).

    Args:
        stored: gives the names of the tensors that lie beside it, for what the configuration does not say.
        aliases: further names of keys, name -> alias; where both are there the alias counts, as it does for them.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        path: Path | str,
        stored: Callable[[], Iterable[str]] = tuple,
        aliases: Mapping[str, str] = MappingProxyType({}),
    ):
        self._values, self._path, self._stored, self._aliases = values, path, stored, aliases
        self._asked: set[str] = set()
        self._sections: dict[str, Keys] = {}

    def get(self, name: str, default: Any = None, *, null: bool = True) -> Any:
        """A value as it stands; `default` where the key is absent or, if that is allowed, null."""
        self._asked |= {name, self._written(name)}
        value = self._values.get(self._written(name), default)
        return default if value is None and null else value

    def integer(
        self, name: str, default: int | None = None, *, least: int = 1, most: int = SIZE, null: bool = False
    ) -> int:
        """A whole number from `least` to `most`; required where there is no default."""
        value = self._required(name, default, null)
        if type(value) is not int or not least <= value <= most:
            raise self.refusal(name, f"it must be a whole number from {least} to {most}")
        return value

    def number(self, name: str, default: float | None = None, *, below: float = math.inf, null: bool = False) -> float:
        """A number from 0 on, below `below`; required where there is no default."""
        value = self._required(name, default, null)
        if type(value) not in (int, float) or not 0 <= value < min(below, sys.float_info.max):
            raise self.refusal(name, f"it must be a number from 0 on{f', below {below}' if below < math.inf else ''}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name, default, null=False)
        if type(value) is not bool:
            raise self.refusal(name, "it must be true or false")
        return value

    def choice(self, name: str, ours: Mapping[str, str], default: str) -> str:
        """What we call the value, one of the keys of `ours`."""
        value = self.get(name, default, null=False)
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

    def holds(self, name: str) -> bool:
        """Whether the key is there, null or not."""
        self._asked |= {name, self._written(name)}
        return self._written(name) in self._values

    def stores(self, ending: str = "", *, beginning: str = "") -> bool:
        """Whether a tensor beside the configuration has a name that begins and ends so."""
        return any(name.startswith(beginning) and name.endswith(ending) for name in self._stored())

    def section(self, name: str) -> Keys:
        """The keys of an object inside this one."""
        value = self.get(name)
        if not isinstance(value, dict):
            raise self.refusal(name, "it must be an object with keys of its own")
        self._sections[name] = Keys(value, f"{self._path}: {name}")
        return self._sections[name]

    def refusal(self, name: str, why: str) -> UserError:
        name = self._written(name)
        shown = json.dumps(self._values.get(name))
        return UserError(f"{self._path}: {name} is {shown if len(shown) < 80 else shown[:80] + '…'}, but {why}")

    def unasked(self) -> list[str]:
        return [name for name in self._values if name not in self._asked]

    def finish(self, harmless: Collection[str] = ()) -> list[str]:
        """Look at what nobody asked for, and return the keys that no class of theirs reads.

        Raises:
            UserError: a key has a value that we do not compute.
        """
        for name, values in NEUTRAL.items():
            if name not in self._asked:
                self.fixed(name, *values)
        known = HARMLESS | frozenset(harmless)
        unread = [name for name in self.unasked() if name not in known and not is_setting(name)]
        return unread + [f"{name}.{key}" for name, inner in self._sections.items() for key in inner.unasked()]

    def _written(self, name: str) -> str:
        """What the file calls the key."""
        alias = self._aliases.get(name)
        return alias if alias in self._values else name

    def _required(self, name: str, default: Any, null: bool) -> Any:
        value = self.get(name, default, null=null)
        if value is None and not self.holds(name):
            raise UserError(f"{self._path}: the key {name} is missing")
        return value


def listed(names: Collection[str], most: int = 12) -> str:
    """Names for a message: on one line, whatever characters they have, and not too many."""
    shown = [json.dumps(name[:60])[1:-1] for name in list(names)[:most]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def refuse(what: str, problems: Mapping[str, Any]) -> None:
    """Raise UserError if a format cannot express a model.

    Args:
        problems: ends of the sentence "it has …", and whether the model has it.
    """
    if found := [problem for problem, has in problems.items() if has]:
        raise UserError(f"{what} cannot express this model: it has {' and '.join(found)}")


def check_names(what: str, missing: Collection[str], unexpected: Collection[str]) -> None:
    """Raise UserError if the tensors of a file are not those of the model that it is of."""
    words = [f"it lacks {listed(missing, 3)}"] * bool(missing)
    words += [f"it has {listed(unexpected, 3)}, for which the model has no place"] * bool(unexpected)
    if words:
        raise UserError(f"{what}: {' and '.join(words)}")


def _same(a: Any, b: Any) -> bool:
    """Equal, and not a number for a truth value."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
