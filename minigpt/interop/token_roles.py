"""What Hugging Face's generation_config.json says: the ids that begin, end and pad a text, and how a text is written.

A folder without the file says it in its config.json, as old ones do. A run that a folder became keeps the file, so that
nothing is lost on the way back. Values are kept as they are, and judged when something is generated (see
`minigpt.generate.settings`): a model with a setting that we do not compute can still be opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError
from minigpt.core.files import write_atomically
from minigpt.core.limits import TOKEN_ID
from minigpt.generate.settings import is_setting
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
SEVERAL = ("eos_token_id", "forced_eos_token_id")


def read_generation(folder: Path, fallback: str = FILE) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The ids, by their roles, and the other settings as they stand in the file; None where there is no such file.

    Of the roles only those that are filled: with an id, or a list of ids. A negative id is no token's, and fills none.

    Args:
        fallback: the file that says them where there is no file for generation.
    Raises:
        UserError: the file is damaged, or an id is something else than a whole number.
    """
    path = folder / FILE if (folder / FILE).exists() else folder / fallback
    if not path.exists():
        return {}, None
    values = read_json(path)
    if values.get("force_bos_token_to_be_generated") is True and path.name != FILE:  # how BART's old files say it
        values = {"forced_bos_token_id": values.get("bos_token_id")} | values
    ids = {}
    for name in NAMES:
        value = values.get(name)
        if value is None or (type(value) is int and value < 0):
            continue
        several = isinstance(value, list) and name in SEVERAL
        if not all(type(i) is int and 0 <= i < TOKEN_ID for i in (value if several else [value])):
            raise UserError(f"{path}: {name} is {json.dumps(value)[:80]}, but it must be a token's id")
        ids[name] = value
    return ids, {name: x for name, x in values.items() if is_setting(name) and name not in NAMES and x is not None}


def write_generation(folder: Path, ids: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Write both to the file."""
    write_atomically(folder / FILE, json.dumps({**ids, **settings}, indent=2) + "\n")
