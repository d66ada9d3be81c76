"""Checkpoints: a folder per saved step, written beside and renamed into place, so that a kill at any moment leaves the
last good one. Weights and optimizer state are safetensors, the rest is JSON; nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from minigpt.core import disk
from minigpt.core.backend import Backend, backend_of, get_backend
from minigpt.core.errors import UserError
from minigpt.core.files import make_folders, remove_stale
from minigpt.core.params import Parameters, buffer
from minigpt.core.reading import parse_json
from minigpt.core.tensor_file import file_pieces
from minigpt.tokenizers import Tokenizer, fingerprint
from minigpt.train.integrity import (
    FOLDER,
    LIST,
    LOG,
    SAMPLES,
    STATE,
    Entry,
    check,
    checkpoint_paths,
    damaged,
    files_of,
    sealed,
    write_hashed,
)
from minigpt.train.optimizer import AdamW

_WEIGHTS, _OPTIMIZER = "model.safetensors", "optimizer.safetensors"


def save_checkpoint(
    run: Path,
    step: int,
    params: Parameters,
    optimizer: AdamW | None,
    state: dict[str, Any],
    *,
    keep: int,
    best: int | None = None,
    powers: bool = False,
    files: Mapping[str, Entry] | None = None,
) -> Path:
    """Write the checkpoint of `step` and, once it is in place, remove the old ones (see `outdated`).

    All that it needs is on the disk, with its names, before it gets its own name; so a name is never without its files.
    Weights and moments that are not finite are not saved: whatever checkpoint there is stays good.

    Args:
        optimizer: None for weights that come from elsewhere: its state is then zeros, which no file is needed for.
        state: what else resuming needs, as JSON values.
        best: the step of a checkpoint that stays, however old it is.
        files: what the run's files are that belong to it (see `integrity.files_of`, which finds out where None).
    Raises:
        UserError: the weights are not finite, the disk is full or the folder cannot be written.
    """
    final = run / FOLDER / f"step-{step}"
    if final.exists():
        return final  # saved already: a state is a function of its step
    unfinished = final.with_name(f".step-{step}.unfinished")
    backend = backend_of(params.flat)
    host = Parameters(params.specs, backend.to_host(params.flat))
    moments = {"m": backend.to_host(optimizer.m), "v": backend.to_host(optimizer.v)} if optimizer else {}
    if not all(np.isfinite(x).all() for x in (host.flat, *moments.values())):
        raise not_finite(run, step, "the weights are no longer finite")
    state = {"step": step, "updates": optimizer.updates if optimizer else 0, "numpy": np.__version__, **state}
    try:
        disk.remove_tree(unfinished)
        make_folders(final.parent)
        entries = files_of(run) if files is None else files
        for name in entries:
            if (run / name).exists():
                disk.sync(run / name)
        disk.sync(run)
        _fill(unfinished, host, moments, state, entries)
        disk.rename(unfinished, final)
        disk.sync(final.parent)
    except OSError as error:
        disk.remove_tree(unfinished)
        raise UserError(f"cannot write the checkpoint {final}: {error.strerror or error}") from None
    old = outdated([p for p in checkpoint_paths(run) if p.name != f"step-{best}"], keep, powers=powers)
    _remove(old)
    return final


def not_finite(run: Path, step: int, what: str) -> UserError:
    """The error that training ends with when its numbers go wrong."""
    good = checkpoint_paths(run)
    stopped = f", so training stopped; the last good checkpoint is {good[-1]}" if good else ""
    return UserError(f"{what} after step {step}{stopped}; try a lower schedule.peak or a longer schedule.warmup")


def _fill(
    folder: Path, params: Parameters, moments: Mapping[str, Any], state: dict[str, Any], files: Mapping[str, Entry]
) -> None:
    """Make a checkpoint's folder, with a list that has its own files and `files`."""
    disk.make(folder)
    entries = {**files, _WEIGHTS: write_hashed(folder / _WEIGHTS, file_pieces(params))}
    if moments:
        entries[_OPTIMIZER] = write_hashed(folder / _OPTIMIZER, file_pieces(moments))
    text = json.dumps({**state, "hashes": True}, indent=1) + "\n"
    entries[STATE] = write_hashed(folder / STATE, [text.encode("utf-8")])
    write_hashed(folder / LIST, [sealed({"files": entries})])
    disk.sync(folder)


def _remove(checkpoints: Sequence[Path]) -> None:
    """Remove checkpoints; first their names, on the disk too: what is half removed must not look finished."""
    doomed = [path.with_name(f".{path.name}.removed") for path in checkpoints]
    for path, hidden in zip(checkpoints, doomed, strict=True):
        disk.rename(path, hidden)
    if doomed:
        disk.sync(doomed[0].parent)
    for hidden in doomed:
        disk.remove_tree(hidden)


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
        disk.remove_tree(path)
    remove_stale(run)


def latest_checkpoint(run: Path) -> Path:
    paths = checkpoint_paths(run)
    if not paths:
        raise UserError(f"{run} has no checkpoint")
    return paths[-1]


def _load_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint's file, which is as it was saved; another thread compares while this one reads."""
    with ThreadPoolExecutor(1) as pool:
        comparing = pool.submit(check, path.parent, path.name)
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError, ValueError) as error:
            comparing.result()  # knows better what is wrong
            raise damaged(path.parent, path, "it is missing" if not path.exists() else str(error)) from None
        comparing.result()
    for name, x in tensors.items():
        if not np.isfinite(x).all():
            raise damaged(path.parent, path, f"{name} has numbers that are not finite")
    return tensors


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
    for spec in model.specs:  # before memory is taken: a damaged configuration may ask for any amount
        if tensors[spec.name].shape != spec.shape:
            found, wanted = tensors[spec.name].shape, spec.shape
            raise UserError(f"{path} does not fit the model: {spec.name} has shape {found}, not {wanted}")
    params = Parameters(model.specs, buffer(model.specs, dtype))
    for spec in model.specs:
        params[spec.name][...] = tensors[spec.name]
    return Parameters(model.specs, backend.asarray(params.flat))


def load_state(checkpoint: Path) -> dict[str, Any]:
    """Read what else a checkpoint holds: step, updates, the text's fingerprint, the length of the logs.

    Raises:
        UserError: the file is missing or damaged.
    """
    check(checkpoint, STATE)
    path = checkpoint / STATE
    try:
        state = parse_json(path.read_text(encoding="utf-8"))
        counts = [state["step"], state["updates"], *(state["positions"][name] for name in (LOG, SAMPLES))]
        counts += [state[name] for name in ("rows", "tokens") if name in state]
        if state.get("best") is not None:
            step, value, since = state["best"]
            counts, _ = [*counts, step, since], float(value)
        if not all(type(n) is int and 0 <= n < 1 << 62 for n in counts) or f"step-{state['step']}" != checkpoint.name:
            raise ValueError(f"its numbers {counts} cannot be right")
        return state
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(checkpoint, path, f"it lacks {error}" if isinstance(error, KeyError) else str(error)) from None


def check_tokenizer(state: dict[str, Any], tokenizer: Tokenizer, run: Path) -> None:
    """Raise UserError if the run's tokenizer file is another one than the model was trained with."""
    if state.get("tokenizer") != fingerprint(tokenizer):
        raise UserError(f"the tokenizer of {run} does not fit its model: it is not the one that it was trained with")


def restore_optimizer(checkpoint: Path, optimizer: AdamW, updates: int) -> None:
    """Put a checkpoint's moments into `optimizer`; before the first update they are zeros and may lack a file."""
    if not updates and not (checkpoint / _OPTIMIZER).exists():
        return
    tensors = _load_tensors(checkpoint / _OPTIMIZER)
    if {name: x.shape for name, x in tensors.items()} != {"m": optimizer.m.shape, "v": optimizer.v.shape}:
        raise UserError(f"{checkpoint / _OPTIMIZER} does not fit the model of its configuration")
    backend = backend_of(optimizer.m)
    optimizer.m[...] = backend.asarray(tensors["m"])
    optimizer.v[...] = backend.asarray(tensors["v"])
    optimizer.updates = updates


def average_checkpoints(run: Path, model: Any, last: int, *, dtype: str) -> tuple[Parameters, list[dict[str, Any]]]:
    """The mean of the newest `last` checkpoints (Vaswani et al. 2017), whose noise cancels, and what each of them says.

    It is summed in float64.

    Raises:
        UserError: the run has fewer checkpoints, or one of them is damaged.
    """
    paths, backend = checkpoint_paths(run), get_backend("numpy")
    if len(paths) < last:
        raise UserError(
            f"{run} has {len(paths)} checkpoints, not {last}; train with --set train.keep_checkpoints={last} and a "
            "smaller train.checkpoint_every"
        )
    total = load_weights(paths[-last], model, dtype="float64", backend=backend).flat
    for path in paths[len(paths) - last + 1 :]:
        total += load_weights(path, model, dtype="float64", backend=backend).flat
    states = [load_state(path) for path in paths[-last:]]
    return Parameters(model.specs, np.asarray(total / last, dtype=dtype)), states
