"""Settings: frozen dataclasses whose fields have defaults, checked one by one, and filled from what a TOML file holds.

An unknown name is an error that names the nearest known one; a value of the wrong type is an error that says what was
expected.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from minigpt.core import limits
from minigpt.core.errors import UserError, nearest


def require(condition: bool, message: str) -> None:
    """Raise UserError with this message unless the condition holds."""
    if not condition:
        raise UserError(message)


def must(condition: bool, section: str, settings: Any, name: str, words: str) -> None:
    """Raise UserError with what a setting of a section must do or be, unless the condition holds."""
    require(condition, f"{section}.{name} is {getattr(settings, name)}; it must {words}")


def one_of(name: str, value: str, choices: Iterable[str], words: str = "choose one of") -> None:
    """Raise UserError unless the value of the setting `name` is one of the choices, of which there may be many."""
    require(value in choices, f"{name} is {value!r}; {words} {', '.join(choices)}")


def choice(name: str, value: str, *choices: str) -> None:
    """Raise UserError unless the value of the setting `name` is one of a few choices."""
    *others, last = (f'"{one}"' for one in choices)
    require(value in choices, f"{name} is {value!r}; choose {', '.join(others)} or {last}")


def at_least(least: int, section: str, settings: Any, *names: str) -> None:
    """Raise UserError for the first of these settings of a section that is below the least, or beyond `core.limits`."""
    for name in names:
        value = getattr(settings, name)
        must = f"must be at least {least}" if least else "must not be negative"
        require(value >= least, f"{section}.{name} is {value}; it {must}")
        most = _most(section, name)
        require(value <= most, f"{section}.{name} is {value}; it must be at most {most}")


def _most(section: str, name: str) -> float:
    """How large a setting may be that sizes something: the others only count how long something takes."""
    if section == "model":  # `minigpt plan` may dream; `params.buffer` may not
        return limits.LAYERS if name.endswith("layers") else math.inf
    sizes = {"train.workers": limits.WORKERS, "sample.beams": limits.BEAMS}
    return sizes.get(f"{section}.{name}", math.inf)


def rates(section: str, settings: Any, *names: str) -> None:
    """Raise UserError for the first of these settings of a section that is no rate: at least 0 and below 1."""
    for name in names:
        value = getattr(settings, name)
        require(0.0 <= value < 1.0, f"{section}.{name} is {value}; it must be at least 0 and below 1")


def multiple(section: str, settings: Any, name: str, divisor: str) -> None:
    """Raise UserError unless one setting of a section is a multiple of another."""
    value, by = getattr(settings, name), getattr(settings, divisor)
    require(value % by == 0, f"{section}.{name} {value} is not a multiple of {section}.{divisor} {by}")


def build_section(section: str, cls: type, content: Mapping[str, Any]) -> Any:
    """Make the dataclass `cls` of a section's names and values.

    Raises:
        UserError: a name is unknown, or a value has the wrong type or is out of range.
    """
    defaults = {f.name: getattr(cls(), f.name) for f in dataclasses.fields(cls)}
    types = {f.name: f.type for f in dataclasses.fields(cls)}
    values = {}
    for key, value in content.items():
        if key not in defaults:
            raise UserError(unknown("setting", f"{section}.{key}", [f"{section}.{k}" for k in defaults]))
        values[key] = _convert(f"{section}.{key}", value, defaults[key], numbers=types[key] == "tuple[float, ...]")
    return cls(**values)


def _convert(name: str, value: Any, default: Any, *, numbers: bool = False) -> Any:
    """Bring a TOML value to the type of the default; integers serve as floats, nothing else is bent.

    Args:
        numbers: whether a list is one of numbers, and not of texts.
    """
    if numbers:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{name} is {repr(value)[:60]}, but it must be a list of numbers")
        return tuple(_convert(f"an item of {name}", item, 0.0) for item in value)
    if isinstance(default, tuple):
        if isinstance(value, str):
            value = [value]
        if isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
            return tuple(value)
    elif isinstance(default, float) and type(value) in (int, float):
        if not abs(value) < 1e300:
            raise UserError(f"{name} is {str(value)[:20]}, but it must be a finite number")
        return float(value)
    elif type(value) is type(default):
        if isinstance(value, int) and abs(value) > 2**62:
            raise UserError(f"{name} is {str(value)[:20]}…, which is too large")
        return value
    kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts"}
    raise UserError(f"{name} is {repr(value)[:60]}, but it must be {kind[type(default)]}")


def parse_value(text: str) -> Any:
    """A value as TOML would read it; a bare word is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not among the known ones."""
    return f"unknown {what} {name!r}: {nearest(name, sorted(known))}"
