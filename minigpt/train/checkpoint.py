"""Checkpoints: a folder per saved step, written beside and renamed into place, so that a kill at any moment leaves the
last good one. Weights and optimizer state are safetensors, the rest is JSON; nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from minigpt.core.backend import Backend
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.tokenizers import Tokenizer, fingerprint
from minigpt.train.log import LOG, SAMPLES
from minigpt.train.optimizer import AdamW

FOLDER = "checkpoints"
_WEIGHTS, _OPTIMIZER, _STATE = "model.safetensors", "optimizer.safetensors", "state.json"


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no such call for folders
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checkpoint_paths(run: Path) -> list[Path]:
    """The finished checkpoints of a run, oldest first. Unfinished ones have names that start with a dot."""
    found = [(int(p.name.removeprefix("step-")), p) for p in (run / FOLDER).glob("step-*") if p.name[5:].isdigit()]
    return [path for _, path in sorted(found)]


def save_checkpoint(
    run: Path,
    step: int,
    params: Parameters,
    optimizer: AdamW | None,
    state: dict[str, Any],
    *,
    backend: Backend,
    keep: int,
    best: int | None = None,
    powers: bool = False,
) -> Path:
    """Write the checkpoint of `step` and, once it is in place, remove the old ones (see `outdated`).

    Weights that are not finite are not saved: whatever checkpoint there is stays good.

    Args:
        optimizer: None for weights that come from elsewhere: its state is then zeros, which no file is needed for.
        state: what else resuming needs, as JSON values.
        best: the step of a checkpoint that stays, however old it is.
    Raises:
        UserError: the weights are not finite, the disk is full or the folder cannot be written.
    """
    final = run / FOLDER / f"step-{step}"
    if final.exists():
        return final  # saved already: a state is a function of its step
    unfinished = final.with_name(f".step-{step}.unfinished")
    host = Parameters(params.specs, backend.to_host(params.flat))
    if not np.isfinite(host.flat).all():
        good = checkpoint_paths(run)
        stays = f"; the last good checkpoint is {good[-1]}" if good else ""
        raise UserError(f"the weights are no longer finite after step {step}{stays}; try a lower schedule.peak")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save_file(dict(host), unfinished / _WEIGHTS, metadata={"format": "pt"})
        if optimizer:
            moments = {"m": backend.to_host(optimizer.m), "v": backend.to_host(optimizer.v)}
            save_file(moments, unfinished / _OPTIMIZER)
        state = {"step": step, "updates": optimizer.updates if optimizer else 0, "numpy": np.__version__, **state}
        (unfinished / _STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
        for path in (*unfinished.iterdir(), unfinished):
            _sync(path)
        os.rename(unfinished, final)
        _sync(final.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise UserError(f"cannot write the checkpoint {final}: {error}") from None
    for old in outdated([p for p in checkpoint_paths(run) if p.name != f"step-{best}"], keep, powers=powers):
        doomed = old.with_name(f".{old.name}.removed")  # renamed first: half-deleted must not look finished
        os.rename(old, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    return final


def is_power_of_two(step: int) -> bool:
    return step > 0 and step & (step - 1) == 0


def outdated(checkpoints: Sequence[Path], keep: int, *, powers: bool) -> list[Path]:
    """Which checkpoints, given oldest first, need not stay: all but the newest `keep`; none if that is 0.

    Args:
        powers: those of step 0 and of the powers of two stay as well; older ones among them do not count.
    """
    steps = {path: int(path.name.removeprefix("step-")) for path in checkpoints}
    counted = [path for path in checkpoints[:-1] if not (powers and (not steps[path] or is_power_of_two(steps[path])))]
    return counted[: max(len(counted) + 1 - keep, 0)] if keep else []


def remove_leftovers(run: Path) -> None:
    """Delete what a killed process left unfinished."""
    for path in (run / FOLDER).glob(".step-*"):
        shutil.rmtree(path, ignore_errors=True)


def latest_checkpoint(run: Path) -> Path:
    paths = checkpoint_paths(run)
    if not paths:
        raise UserError(f"{run} has no checkpoint")
    return paths[-1]


def _load_tensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"the checkpoint file {path} is missing") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"the checkpoint file {path} is damaged ({error})") from None


def load_weights(checkpoint: Path, model: Any, *, dtype: str, backend: Backend) -> Parameters:
    """Read a checkpoint's weights into the parameters of `model`.

    Raises:
        UserError: the file is missing or damaged, or holds other tensors than the model; the message names them.
    """
    path = checkpoint / _WEIGHTS
    tensors = _load_tensors(path)
    missing = [s.name for s in model.specs if s.name not in tensors]
    unexpected = sorted(set(tensors) - {s.name for s in model.specs})
    if missing or unexpected:
        words = [f"it lacks {', '.join(missing[:3])}"] * bool(missing)
        words += [f"it has {', '.join(unexpected[:3])} besides"] * bool(unexpected)
        raise UserError(f"{path} does not fit the model of its configuration: {' and '.join(words)}")
    params = Parameters(model.specs, np.empty(sum(s.size for s in model.specs), dtype))
    for spec in model.specs:
        if tensors[spec.name].shape != spec.shape:
            found, wanted = tensors[spec.name].shape, spec.shape
            raise UserError(f"{path} does not fit the model: {spec.name} has shape {found}, not {wanted}")
        params[spec.name][...] = tensors[spec.name]
    return Parameters(model.specs, backend.asarray(params.flat))


def load_state(checkpoint: Path) -> dict[str, Any]:
    """Read what else a checkpoint holds: step, updates, the text's fingerprint, the length of the logs.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = checkpoint / _STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        counts = [state["step"], state["updates"], *(state["positions"][name] for name in (LOG, SAMPLES))]
        counts += [state[name] for name in ("rows", "tokens") if name in state]
        if not all(type(n) is int and n >= 0 for n in counts) or f"step-{state['step']}" != checkpoint.name:
            raise ValueError(f"its numbers {counts} cannot be right")
        return state
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"the checkpoint file {path} is damaged ({error})") from None


def check_tokenizer(state: dict[str, Any], tokenizer: Tokenizer, run: Path) -> None:
    """Raise UserError if the run's tokenizer file is another one than the model was trained with."""
    if state.get("tokenizer") != fingerprint(tokenizer):
        raise UserError(f"the tokenizer of {run} does not fit its model: it is not the one that it was trained with")


def restore_optimizer(checkpoint: Path, optimizer: AdamW, updates: int, *, backend: Backend) -> None:
    """Put a checkpoint's moments into `optimizer`; before the first update they are zeros and may lack a file."""
    if not updates and not (checkpoint / _OPTIMIZER).exists():
        return
    tensors = _load_tensors(checkpoint / _OPTIMIZER)
    if {name: x.shape for name, x in tensors.items()} != {"m": optimizer.m.shape, "v": optimizer.v.shape}:
        raise UserError(f"{checkpoint / _OPTIMIZER} does not fit the model of its configuration")
    optimizer.m[...] = backend.asarray(tensors["m"])
    optimizer.v[...] = backend.asarray(tensors["v"])
    optimizer.updates = updates
