"""The files that name a model and how it is trained: `minigpt train NAME` reads NAME.toml from here.

Those in `finetune` are recipes: see `minigpt.train.finetuning`.
"""

import tomllib
from importlib import resources
from typing import Any

_FOLDER = resources.files(__name__)


def preset_names() -> list[str]:
    return sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml"))


def read_named(name: str) -> dict[str, Any]:
    """The settings of one of them, as nested dictionaries; a recipe's name begins with finetune/."""
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
