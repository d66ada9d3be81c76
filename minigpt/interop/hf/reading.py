"""Read a Hugging Face folder: config.json and safetensors into a model and its parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError, warn
from minigpt.core.params import Parameters
from minigpt.interop.hf.families import FAMILIES
from minigpt.interop.hf.family import Family
from minigpt.interop.keys import Keys, check_names, listed, read_json
from minigpt.interop.tables import Table, filled
from minigpt.interop.weight_files import StoredTensor, open_folder
from minigpt.train.families import FAMILIES as OURS

CONFIG = "config.json"


def read_model(
    folder: Path, dtype: str | None = None, *, skip: Collection[str] = (), fresh: Collection[str] = ()
) -> tuple[Any, Parameters]:
    """The model of a folder and its parameters, on the CPU.

    Args:
        dtype: of the parameters; None takes float64 where a tensor is stored as that, else float32.
        skip: beginnings of names of tensors in the files that are left out although the model has no place for them.
        fresh: beginnings of names that the files lack; those parameters start as a new model's would.

    Raises:
        UserError: the model is of another kind than those that we compute, or a file is missing, damaged or does not
            fit; the message names the key or the tensor.
    """
    tensors = cache(lambda: open_folder(folder))
    family, model = read_config(folder / CONFIG, lambda: [*tensors(), *fresh])
    table = family.rows(model)
    found = _match(family, table, tensors(), folder, skip, fresh)
    dtype = dtype or ("float64" if any(t.dtype == "F64" for t in found.values()) else "float32")
    return model, filled(model, table, found, dtype)


def read_config(path: Path, tensors: Callable[[], Iterable[str]]) -> tuple[Family, Any]:
    """The family and the model that a config.json, and the names of the tensors beside it, describe."""
    values = read_json(path)
    family = _family(values, path, tensors)
    keys = Keys(values, path, tensors, family.aliases)
    try:
        config = family.read_config(keys)
        model = OURS[family.family].model(config)
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    if unknown := keys.finish(family.harmless):
        warn(f"{path}: not used, as {family.stem}Config of transformers has no such keys: {listed(unknown)}")
    return family, model


def _family(values: Mapping[str, Any], path: Path, tensors: Callable[[], Iterable[str]]) -> Family:
    """By its model_type; the oldest files have none, and are recognised by the class they name or by a tensor."""
    model_type = values.get("model_type")
    if "model_type" in values:
        if not isinstance(model_type, str) or model_type not in FAMILIES:
            raise UserError(f"{path}: model_type is {model_type!r}, but minigpt has only {', '.join(FAMILIES)}")
        return FAMILIES[model_type]
    names = values.get("architectures")
    for family in FAMILIES.values():
        of_family = re.compile(family.stem + "(Model|LMHead|For|DoubleHeads)")
        if isinstance(names, list) and any(isinstance(name, str) and of_family.match(name) for name in names):
            return family
    for family in FAMILIES.values():
        if family.signature and family.signature in tensors():
            return family
    raise UserError(f"{path} has no model_type; write into it which of {', '.join(FAMILIES)} the model is")


def _match(
    family: Family,
    table: Table,
    tensors: Mapping[str, StoredTensor],
    folder: Path,
    skip: Collection[str],
    fresh: Collection[str],
) -> dict[str, StoredTensor]:
    """The stored tensor of every name in the table, except those that may be and are absent."""
    found: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        canonical = family.canonical(name, table)
        if canonical is None or name.startswith(tuple(skip)):
            continue
        if canonical in found:
            raise UserError(f"{folder} has the tensor {canonical} twice: as {found[canonical].name} and as {name}")
        found[canonical] = tensor
    _untie(family, table, found)
    unexpected = [found[name].name for name in found if name not in table]
    missing = [n for n in table if n not in found and n not in family.optional and not n.startswith(tuple(fresh))]
    check_names(f"{folder} does not fit {family.architecture}", missing, unexpected)
    return found


def _untie(family: Family, table: Table, found: dict[str, StoredTensor]) -> None:
    """Tensors that the model shares may be stored under either name, or under both if they are equal."""
    for alias, kept in family.tied.items():
        if alias not in found or alias in table:
            continue
        tensor = found.pop(alias)
        other = found.setdefault(kept, tensor)
        if other is not tensor and not tensor.equals(other):
            raise UserError(
                f"{tensor.file}: {tensor.name} differs from {other.name}, but the model has one tensor for both"
            )
