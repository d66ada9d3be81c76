"""The settings of generation, under the names of transformers' `GenerationConfig` and with its defaults.

They come from a model's generation_config.json (or config.json) and from arguments, which win. What minigpt computes is
a field of `Generation`; what it does not compute is refused by name as soon as it would change the result.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, get_type_hints

from minigpt.core.errors import UserError
from minigpt.core.limits import BEAMS, EXPONENT

Ids = tuple[int, ...]


def _is_id(value: Any) -> bool:
    return type(value) is int and value >= 0


def _are_ids(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_id, value))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and _is_number(value[1])


class _Number(NamedTuple):
    """Reads a number: from `least` on, or above it, and at most `most`.

    Attributes:
        words: what the value must be.
    """

    words: str
    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    whole: bool = False

    def __call__(self, value: Any) -> float:
        good = _is_number(value) and self.least <= value <= self.most and not (self.above and value == self.least)
        if not good or (self.whole and type(value) is not int):
            raise ValueError(self.words)
        return value if self.whole else float(value)


def _ids(value: Any) -> Ids:
    if not _are_ids(value):
        raise ValueError("a list of tokens' ids")
    return tuple(value)


def _id_or_ids(value: Any) -> Ids:
    if not (_is_id(value) or _are_ids(value)):
        raise ValueError("a token's id, or a list of them")
    return (value,) if isinstance(value, int) else tuple(value)


def _sequences(value: Any) -> tuple[Ids, ...]:
    if not (isinstance(value, (list, tuple)) and all(_are_ids(ids) and len(ids) for ids in value)):
        raise ValueError("a list of lists of tokens' ids")
    return tuple(map(tuple, value))


def _biases(value: Any) -> tuple[tuple[Ids, float], ...]:
    """As pairs in JSON, or as a mapping in Python."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    good = isinstance(pairs, (list, tuple)) and all(_is_pair(pair) and _are_ids(pair[0]) and pair[0] for pair in pairs)
    if not good:
        raise ValueError("a list of pairs, tokens' ids and what is added to their score")
    return tuple((tuple(ids), float(bias)) for ids, bias in pairs)


def _decay(value: Any) -> tuple[int, float]:
    if not (_is_pair(value) and type(value[0]) is int):
        raise ValueError("a pair, from which token on and by which factor")
    return value[0], float(value[1])


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("true or false")
    return value


def _stopping(value: Any) -> bool | str:
    if value not in (True, False, "never") or type(value) is int:
        raise ValueError('true, false or "never"')
    return value


_SOME, _COUNT = (_Number(f"a whole number from {least} on", least, whole=True) for least in (1, 0))
_BEAMS = _Number(f"a whole number from 1 to {BEAMS}", 1, BEAMS, whole=True)
_POSITIVE = _Number("a number above 0", 0, above=True)
_SHARE = _Number("a number from 0 to 1", 0, 1)
_POSITIVE_SHARE = _Number("a number above 0 and at most 1", 0, 1, above=True)
_EXPONENT = _Number(f"a number from -{EXPONENT} to {EXPONENT}", -EXPONENT, EXPONENT)
_ID = _Number("a token's id", 0, whole=True)


@dataclass(frozen=True)
class Generation:
    """What transformers' documentation says of the settings of the same names; lists became tuples.

    Lengths count a decoder-only model's prompt, or the decoder's start token. `eos_token_id` holds all ids that end a
    text. None: nobody said anything. Each field's type names what reads a value for it.
    """

    max_length: Annotated[int | None, _SOME] = None
    max_new_tokens: Annotated[int | None, _SOME] = None
    min_length: Annotated[int, _COUNT] = 0
    min_new_tokens: Annotated[int | None, _COUNT] = None
    do_sample: Annotated[bool, _flag] = False
    temperature: Annotated[float, _Number("a number from 0 on", 0)] = 1.0
    top_k: Annotated[int, _COUNT] = 50
    top_p: Annotated[float, _POSITIVE_SHARE] = 1.0
    min_p: Annotated[float, _SHARE] = 0.0
    typical_p: Annotated[float, _POSITIVE_SHARE] = 1.0
    epsilon_cutoff: Annotated[float, _SHARE] = 0.0
    eta_cutoff: Annotated[float, _SHARE] = 0.0
    num_beams: Annotated[int, _BEAMS] = 1
    num_return_sequences: Annotated[int, _BEAMS] = 1
    length_penalty: Annotated[float, _EXPONENT] = 1.0
    early_stopping: Annotated[bool | str, _stopping] = False
    repetition_penalty: Annotated[float, _POSITIVE] = 1.0
    encoder_repetition_penalty: Annotated[float, _POSITIVE] = 1.0
    no_repeat_ngram_size: Annotated[int, _COUNT] = 0
    encoder_no_repeat_ngram_size: Annotated[int, _COUNT] = 0
    bad_words_ids: Annotated[tuple[Ids, ...], _sequences] = ()
    sequence_bias: Annotated[tuple[tuple[Ids, float], ...], _biases] = ()
    suppress_tokens: Annotated[Ids, _ids] = ()
    begin_suppress_tokens: Annotated[Ids, _ids] = ()
    exponential_decay_length_penalty: Annotated[tuple[int, float] | None, _decay] = None
    remove_invalid_values: Annotated[bool, _flag] = False
    renormalize_logits: Annotated[bool, _flag] = False
    bos_token_id: Annotated[int | None, _ID] = None
    eos_token_id: Annotated[Ids, _id_or_ids] = ()
    pad_token_id: Annotated[int | None, _ID] = None
    decoder_start_token_id: Annotated[int | None, _ID] = None
    forced_bos_token_id: Annotated[int | None, _ID] = None
    forced_eos_token_id: Annotated[Ids, _id_or_ids] = ()

    def __post_init__(self) -> None:
        if self.do_sample and self.num_beams > 1:
            raise UserError("do_sample draws tokens, so num_beams above 1 cannot be given with it: set one of the two")
        if self.num_return_sequences > 1 and not self.do_sample and self.num_return_sequences > self.num_beams:
            raise UserError(
                f"num_return_sequences is {self.num_return_sequences}: without do_sample it needs as many num_beams"
            )


_HINTS = get_type_hints(Generation, include_extras=True)
READ: dict[str, Callable[[Any], Any]] = {name: hint.__metadata__[0] for name, hint in _HINTS.items()}
# Settings that change the result and that minigpt does not compute, and the values with which they change nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "guidance_scale": (1,),
    "num_beam_groups": (1,),
    "penalty_alpha": (0,),
    **dict.fromkeys(("token_healing", "is_assistant", "use_mtp"), (False,)),
    **dict.fromkeys(("max_time", "stop_strings", "watermarking_config", "constraints", "force_words_ids"), ()),
    **dict.fromkeys(("dola_layers", "prompt_lookup_num_tokens", "assistant_early_exit", "speculation_type"), ()),
    "assistant_ensemble_weight": (),
}
ONLY_DRAWING = ("top_h",)  # refused where a token is drawn; without drawing nobody looks at them
QUANTIZED = {"cache_implementation": "quantized"}


def generation(*given: Mapping[str, Any]) -> Generation:
    """Put settings together; the last ones win, and None says nothing.

    Raises:
        UserError: a value cannot be, or asks for something that minigpt does not compute.
    """
    values = {name: value for some in given for name, value in some.items() if value is not None}
    found = {}
    for name, read in READ.items():
        if name not in values:
            continue
        try:
            found[name] = read(values[name])
        except ValueError as kind:
            raise UserError(f"the setting {name} is {shown(values[name])}; it must be {kind}") from None
    settings = Generation(**found)
    for name, value in values.items():
        neutral = NEUTRAL.get(name, () if name in ONLY_DRAWING and settings.do_sample else None)
        if (neutral is not None and value not in neutral) or QUANTIZED.get(name) == value:
            raise UserError(
                f"the setting {name} is {shown(value)}, which minigpt does not compute: give another value, or take it "
                "out of generation_config.json"
            )
    return settings


def is_setting(name: str) -> bool:
    """Whether transformers has such a setting, and so do we, if only to refuse it."""
    return name in READ or name in NEUTRAL or name in ONLY_DRAWING or name in QUANTIZED


def shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) < 80 else text[:80] + "…"
