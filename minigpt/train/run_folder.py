"""Run folders: where a training run keeps its configuration, tokenizer, log, samples, curves and checkpoints.

A run folder appears under its name only when everything that resuming needs is in it, so a process that is killed at
any moment leaves either no run or one that resumes. docs/run-folders.md lists the files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import util
from operator import methodcaller
from pathlib import Path
from typing import NamedTuple

from minigpt import tokenizers
from minigpt.core import disk
from minigpt.core.errors import UserError
from minigpt.core.files import make_folders, remove_stale, unique, write_atomically
from minigpt.tokenizers import Tokenizer
from minigpt.tokenizers.base import TOKENIZER_FILE
from minigpt.train.config import build_config, config_to_toml, read_toml
from minigpt.train.integrity import CONFIG, check, checkpoint_paths, with_seal
from minigpt.train.settings import RunConfig

RUNS, LOCK = Path("runs"), "lock"


def is_run(path: Path) -> bool:
    return (path / CONFIG).is_file() and (path / "checkpoints").is_dir()


def next_run(preset: str) -> Path:
    """runs/PRESET-N with the next free N."""
    stem = f"{Path(preset).stem}-"
    names = [p.name for p in RUNS.iterdir()] if RUNS.is_dir() else []
    taken = [int(n.removeprefix(stem)) for n in names if n.startswith(stem) and n.removeprefix(stem).isdecimal()]
    return RUNS / f"{stem}{1 + max(taken, default=0)}"


def check_target(path: Path, *, force: bool, replaces: bool = True, sources: Iterable[Path | str] = ()) -> None:
    """Refuse a folder that is in use, before any work is done.

    Args:
        replaces: whether the command has --resume and --force, to advise them.
        sources: what the new run is made from, which must not be replaced by it.
    Raises:
        UserError: the folder exists and neither is empty nor is a run that `force` allows to be replaced; or one of
            the sources is the folder, or lies in it.
    """
    place = Path(os.path.realpath(path))  # unlike `resolve`, it bears links that lead in a circle
    for source in map(Path, sources):
        if source.exists() and source.resolve().is_relative_to(place):
            raise UserError(f"--out {path} is what the new run is made from, or holds it ({source}); choose another")
    if place == Path.cwd():
        raise UserError("--out names the folder that you are in; name one that does not exist yet")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not is_run(path):
        raise UserError(f"{path} exists and is not a run of minigpt; choose another --out")
    if not force:
        advice = f"continue it with --resume {path}, or replace it with --force" if replaces else "choose another --out"
        raise UserError(f"{path} exists: {advice}")


def create_run(
    out: Path | None,
    preset: str,
    config: RunConfig,
    tokenizer: Tokenizer,
    first_checkpoint: Callable[[Path], object],
    *,
    force: bool,
) -> Path:
    """Make a complete run folder beside its place, rename it there, and return its path.

    Args:
        out: the place; None takes runs/PRESET-N, the next N if another process was quicker.
        first_checkpoint: writes the checkpoint of step 0 into the folder that it is given.
        force: whether a run that stands in the place is replaced.
    """
    parent = out.parent if out else RUNS
    unfinished = unique(out or parent / Path(preset).stem, "unfinished")
    try:
        make_folders(parent)
        remove_stale(parent)
        disk.make(unfinished)
        fill_run(unfinished, config, tokenizer, first_checkpoint)
        if out and force and is_run(out):
            _replace(out, unfinished)
            return out
        while True:
            place = out or next_run(preset)
            try:
                disk.rename(unfinished, place)  # fails if something stands there by now
                disk.sync(parent)
                return place
            except OSError:
                if out:
                    check_target(out, force=False)  # says what stands there
                if out or not place.exists():
                    raise
    except OSError as error:
        raise UserError(f"cannot create the run folder {out or parent}: {error.strerror}") from None
    finally:
        if unfinished.exists():
            disk.remove_tree(unfinished)


def fill_run(
    folder: Path, config: RunConfig, tokenizer: Tokenizer | None, first_checkpoint: Callable[[Path], object]
) -> None:
    """Put into an empty folder what makes it a run."""
    write_atomically(folder / CONFIG, config_to_toml(config))
    if tokenizer:
        tokenizers.save(tokenizer, folder)
    first_checkpoint(folder)


def _replace(run: Path, unfinished: Path) -> None:
    """Put the new folder in the place of a run that nobody is training in."""
    replaced = unique(run, "replaced")
    with locked(run):
        disk.rename(run, replaced)
        disk.rename(unfinished, run)
        disk.sync(run.parent)
    disk.remove_tree(replaced)


class Ability(NamedTuple):
    """What a command needs of a run that it picks itself.

    Attributes:
        what: in words that follow "can": "write".
        has: whether a run can, by its folder and configuration.
    """

    what: str
    has: Callable[[Path, RunConfig], bool]


def newest_run(ability: Ability) -> Path:
    """The newest run in runs/ that can do what is asked, and a line on stderr that says which one it is.

    Raises:
        UserError: there is none.
    """
    runs = [path for path in RUNS.glob("*") if not path.name.startswith(".") and is_run(path)]
    if not runs:
        raise UserError("there is no run in runs/ yet; train one with `minigpt train`, or give a run's folder")
    for run in sorted(runs, key=lambda path: (path / CONFIG).stat().st_mtime_ns, reverse=True):
        try:
            able = ability.has(run, load_config(run))
        except UserError as error:  # a damaged one is not what is looked for
            print(f"{run} is left out: {error}", file=sys.stderr)
            continue
        if able:
            print(f"{run}: the newest run that can {ability.what}", file=sys.stderr)
            return run
    raise UserError(f"none of the {len(runs)} runs in runs/ can {ability.what}; name another model")


def find_run(name: str | None, ability: Ability | None = None) -> Path:
    """Return the run folder called `name` (a path, or a name in runs/).

    Args:
        ability: of the newest run in runs/ that may be taken where there is no name.
    """
    if name is None and ability is not None:
        return newest_run(ability)
    if name is None:
        raise UserError("no run is named; give a run's folder")
    places = (Path(name), RUNS / name)
    for path in places:
        if is_run(path):
            return path
    if not any(path.exists() for path in places):
        if Path(name).is_absolute() or name.startswith(".") or Path(name).parts[:1] == RUNS.parts:
            raise UserError(f"there is nothing at {name}; give a run's folder, or its name in {RUNS}/")
        raise UserError(f"there is no {name}, neither here nor in {RUNS}/")
    raise UserError(f"{name} is not a run folder (one that `minigpt train` made, with {CONFIG} and checkpoints)")


def load_config(run: Path) -> RunConfig:
    """Read a run's configuration.

    Raises:
        UserError: the file is damaged.
    """
    if checkpoints := checkpoint_paths(run):
        check(checkpoints[-1], CONFIG)
    values = read_toml(run / CONFIG)
    if "model" not in values:
        raise UserError(f"{run / CONFIG} is damaged: it has no section [model]")
    if isinstance(values.get("train"), dict):
        values["train"].setdefault("sums", "sequence")  # runs of before there was a choice
    return build_config(values)


def load_tokenizer(run: Path) -> Tokenizer:
    """Read a run's tokenizer, which is as it was when the newest checkpoint was made."""
    if checkpoints := checkpoint_paths(run):
        check(checkpoints[-1], TOKENIZER_FILE)
    return tokenizers.load(run)


def rewrite_config(run: Path, config: RunConfig) -> None:
    """Replace the run's configuration in one step, where it is another one (resuming with other --steps)."""
    text = config_to_toml(config)
    if (run / CONFIG).read_text(encoding="utf-8") in (text, with_seal(text)):
        return
    write_atomically(run / CONFIG, with_seal(text))
    disk.sync(run)


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the run's lock, which the system lets go of when the process ends, however it ends.

    Raises:
        UserError: another process is training in this folder.
    """
    with open(run / LOCK, "a+b") as file:
        util.register_after_fork(file, methodcaller("close"))  # a worker that outlives this process holds nothing
        try:
            _lock(file.fileno())
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
                raise _taken(run) from None
            raise UserError(f"{run} cannot be locked ({error.strerror}); put it on another disk") from None
        if not (run / LOCK).exists() or not os.path.samestat(os.fstat(file.fileno()), (run / LOCK).stat()):
            raise _taken(run)  # another run was put in its place between opening and locking
        yield


def _lock(descriptor: int) -> None:
    """Lock an open file, for all processes of all machines and containers that see it, whatever their numbers."""
    if sys.platform == "win32":  # as type checkers ask for the system
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _taken(run: Path) -> UserError:
    return UserError(f"another process is training in {run}; stop it first, or choose another run")
