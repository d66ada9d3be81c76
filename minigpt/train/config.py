"""The configuration of a run, made of a preset or TOML file and of `--set section.key=value`.

What the settings mean stands in settings.py, optimizer.py and schedule.py; those of a model or an objective, beside it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError
from minigpt.core.limits import CONFIGURATION_BYTES
from minigpt.core.reading import open_regular, unreadable
from minigpt.core.settings import build_section, parse_value, unknown
from minigpt.tasks import TASKS
from minigpt.train.families import FAMILIES, objective_class
from minigpt.train.presets import preset_names, read_named
from minigpt.train.settings import RunConfig


def read_preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset, or of the TOML file of that path, as nested dictionaries."""
    if name.endswith(".toml") or "/" in name or "\\" in name:
        return read_toml(Path(name))
    if name not in preset_names():
        raise UserError(unknown("preset", name, preset_names()) + "; or give the path of a .toml file")
    return read_named(name)


def read_toml(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path, CONFIGURATION_BYTES) as file:
            return tomllib.loads(file.read().decode("utf-8-sig"))
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, RecursionError) as error:  # among them TOMLDecodeError and UnicodeDecodeError
        raise UserError(f"{path} is not a valid TOML file: {error}") from None


def apply_settings(values: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return `values` with every "section.key=value" of the command line put in."""
    merged = {k: dict(v) if isinstance(v, dict) else v for k, v in values.items()}
    for setting in settings:
        path, equals, text = setting.partition("=")
        section, dot, key = path.strip().partition(".")
        if not (equals and dot and key):
            raise UserError(f"--set {setting} is not of the form section.key=value (such as train.steps=100)")
        if not isinstance(merged.setdefault(section, {}), dict):
            raise UserError(unknown("section", section, _sections()))
        merged[section][key] = parse_value(text.strip())
    return merged


def build_config(values: Mapping[str, Any]) -> RunConfig:
    """Make a RunConfig of nested dictionaries.

    Raises:
        UserError: a section or key is unknown, or a value has the wrong type or is out of range.
    """
    family = values.get("family", "gpt")
    if not isinstance(family, str) or family not in FAMILIES:
        raise UserError(unknown("model family", str(family), FAMILIES))
    task = values.get("task", "")
    if task and task not in TASKS:
        raise UserError(unknown("task", str(task), TASKS))
    sections = _sections(family, task)
    built = {}
    for name, content in values.items():
        if name in ("family", "task"):
            continue
        if name not in sections:
            raise UserError(unknown("section", name, sections))
        if not isinstance(content, Mapping):
            raise UserError(f"{name} is a section of the configuration, not a value: write [{name}]")
        built[name] = build_section(name, sections[name], content)
    for name in ("model", "objective"):
        built.setdefault(name, sections[name]())
    return RunConfig(family=family, task=task, **built)


def config_to_toml(config: RunConfig) -> str:
    values = dataclasses.asdict(config)
    if not config.task:
        del values["task"]
    import tomli_w  # whoever only reads a run need not have it

    return tomli_w.dumps(values)


def _sections(family: str = "gpt", task: str = "") -> dict[str, Any]:
    """The class of each section of a configuration; two of them are the family's own."""
    made = {field.name: field.default_factory for field in dataclasses.fields(RunConfig)}
    shared = {name: cls for name, cls in made.items() if cls is not dataclasses.MISSING}
    return shared | {"model": FAMILIES[family].config, "objective": objective_class(family, task).Config}
