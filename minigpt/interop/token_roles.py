"""The ids that generation needs to know: which begin, end and pad a text. Hugging Face has a file for them.

A folder's generation_config.json says them, or where there is none its config.json. A run that a folder became keeps
the file, so that they are not lost on the way back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigpt.errors import UserError
from minigpt.files import write_atomically
from minigpt.interop.keys import read_json

FILE = "generation_config.json"
NAMES = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
)


def read_ids(folder: Path, fallback: str | None = None) -> dict[str, Any]:
    """Role -> id, or list of ids, for the roles that are filled.

    Args:
        fallback: the file that says them where there is no file for generation.
    Raises:
        UserError: the file is damaged, or an id is something else than a number from 0 on.
    """
    path = folder / FILE
    if not path.exists():
        if fallback is None:
            return {}
        path = folder / fallback
    values = read_json(path)
    found = {name: values[name] for name in NAMES if values.get(name) is not None}
    for name, value in found.items():
        several = isinstance(value, list) and name == "eos_token_id"
        if not all(type(i) is int and i >= 0 for i in (value if several else [value])):
            raise UserError(f"{path}: {name} is {json.dumps(value)[:80]}, but it must be a token's id")
    return found


def write_ids(folder: Path, ids: Mapping[str, Any]) -> None:
    write_atomically(folder / FILE, json.dumps(dict(ids), indent=2) + "\n")
