"""A process of its own for a learner's file: what goes in, what may come out, and what it can cost.

The folder that the process works in holds the learner's file, the arrays (npz without pickle) and NumPy, and is deleted
afterwards. With bubblewrap installed the process sees nothing else of the machine: no other file, no network, no other
process. Without it the limits on time, memory and processes hold all the same, but files of the user are not protected.
What comes back is judged by nobody but us, and read with care: a plain file of a limited size, plain numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.interrupts import held_back

HERE = Path(__file__).parent
CHECKING = tuple(HERE / name for name in ("child.py", "child_model.py", "child_places.py"))
_LARGEST = 64 * 2**20  # bytes of an answer
_TEXT = 8 * 2**20


class Limits(NamedTuple):
    """What checking one pair may cost."""

    cpu: int = 10  # seconds of a core
    wall: float = 90.0  # seconds: much more, as the machine may be busy
    memory: int = 2 * 2**30  # bytes
    processes: int = 8  # one, and those of bubblewrap


class Answer(NamedTuple):
    """What came back: descriptions and arrays, or a sentence that says why nothing did."""

    told: dict[str, Any]
    arrays: dict[str, np.ndarray]
    failure: str | None
    printed: str


def protects_files() -> bool:
    """Whether bubblewrap is there and works here."""
    return _bubblewrap() is not None


def run_job(
    source: str,
    job: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    limits: Limits | None = None,
    programs: Sequence[Path] = CHECKING,
) -> Answer:
    """Run the learner's source in a process of its own.

    Args:
        source: the text of the file.
        job: what to call, as `child.py` reads it.
        arrays: by the names that the job uses.
        programs: the files that run beside it; the first one is started.
    Raises:
        UserError: this system cannot limit a process.
    """
    if os.name != "posix":
        raise UserError("checking needs Linux or macOS, where a process can be limited: on Windows, use WSL")
    limits = limits or Limits()
    folder = Path(tempfile.mkdtemp(prefix="minigpt-check-"))
    try:
        _fill(folder, source, job, arrays, programs)
        status = _run(folder, limits, programs[0].name)
        printed = _text(folder / "printed.txt", 4000)
        failure = _failure(status, limits)
        try:
            told = json.loads(_text(folder / "out" / "told.json", _TEXT))
            stored = _arrays(folder / "out" / "arrays.npz")
        except (OSError, ValueError, RecursionError) as error:
            told, stored = {}, {}
            why = _last_line(printed) or ("" if isinstance(error, json.JSONDecodeError) else str(error))
            failure = failure or f"the process ended without an answer{why and f' ({why})'}"
        if not isinstance(told, dict):
            told, failure = {}, "the process gave an answer that is none"
        return Answer(told, stored, failure, printed)
    finally:
        with held_back():
            shutil.rmtree(folder, ignore_errors=True)


def _failure(status: int, limits: Limits) -> str | None:
    if status == 124:
        return f"it was stopped: it took more than {limits.cpu} seconds of a core, or {limits.wall:.0f} in all"
    if status == 125:
        return f"it was stopped: it took more than {limits.memory / 2**30:.0f} GB of memory, or too many processes"
    if status < 0 or status == 126:
        return "the process, or what guards it, was killed: by itself, or by this machine, which ran out of memory"
    return None


def _fill(
    folder: Path, source: str, job: Mapping[str, Any], arrays: Mapping[str, np.ndarray], programs: Sequence[Path]
) -> None:
    for name in ("lib", "out"):
        (folder / name).mkdir()
    (folder / "learner.py").write_text(source, encoding="utf-8")
    for program in programs:
        shutil.copyfile(program, folder / program.name)
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    np.savez(folder / "in.npz", **{name: np.asarray(x) for name, x in arrays.items()})
    for package in _numpy_folders():
        (folder / "lib" / package.name).symlink_to(package)


def _numpy_folders() -> list[Path]:
    """NumPy, and the libraries that its wheel keeps beside it."""
    package = Path(np.__file__).resolve().parent
    beside = package.parent / "numpy.libs"
    return [package, beside] if beside.is_dir() else [package]


def _run(folder: Path, limits: Limits, program: str) -> int:
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable) or sys.executable)
    child = [python, "-I", "-S", "-B", str(folder / program), str(folder)]
    told = json.dumps(limits._asdict() | {"file": _LARGEST})
    command = [python, "-I", "-S", str(HERE / "guard.py"), told, *_inside(folder, python), *child]
    quiet = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C.UTF-8", **quiet}
    with open(folder / "printed.txt", "wb") as printed:
        guard = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        try:
            return guard.wait(limits.wall + 20)
        except BaseException as error:  # Ctrl-C too: the guard ends what it guards
            with held_back(), contextlib.suppress(OSError, subprocess.TimeoutExpired):
                guard.send_signal(signal.SIGTERM)
                guard.send_signal(signal.SIGCONT)  # if it was stopped
                guard.wait(60)
            with contextlib.suppress(OSError):
                guard.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                return 124
            raise


_KNOWN: dict[str, str | None] = {}


def _bubblewrap() -> str | None:
    """bubblewrap's path, if it is installed and may make a namespace here (some containers forbid it)."""
    path = os.environ.get("MINIGPT_BWRAP") or shutil.which("bwrap")
    if path is None or not sys.platform.startswith("linux"):
        return None
    if path not in _KNOWN:
        tried = subprocess.run(
            [path, "--ro-bind", "/", "/", "--unshare-all", "/bin/true"], capture_output=True, check=False
        )
        _KNOWN[path] = path if tried.returncode == 0 else None
    return _KNOWN[path]


def _inside(folder: Path, python: str) -> list[str]:
    """The words of bubblewrap before a command: Python and NumPy to read, the folder to write, nothing else."""
    wrap = _bubblewrap()
    if wrap is None:
        return []
    words = [wrap, "--unshare-all", "--die-with-parent", "--new-session", "--dev", "/dev", "--proc", "/proc"]
    words += ["--tmpfs", "/tmp"]
    for path in ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache"):
        words += ["--ro-bind-try", path, path]
    prefix = os.path.realpath(sys.base_prefix)
    if not prefix.startswith("/usr"):
        words += ["--ro-bind", prefix, prefix]
        for packages in Path(prefix).glob("lib/python3*/site-packages"):
            words += ["--tmpfs", str(packages)]
    for package in _numpy_folders():
        words += ["--ro-bind", str(package), str(package)]
    return [*words, "--bind", str(folder), str(folder), "--chdir", str(folder)]


def open_plain(path: Path, largest: int) -> Any:
    """Open what somebody else has written, if it is a plain file of a fair size: no link, no pipe.

    Raises:
        OSError: it is not.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    told = os.fstat(handle)
    if not stat.S_ISREG(told.st_mode) or told.st_size > largest:
        os.close(handle)
        raise OSError("what came back is no plain file of a fair size")
    return os.fdopen(handle, "rb")


def _text(path: Path, most: int) -> str:
    with contextlib.suppress(FileNotFoundError), open_plain(path, _LARGEST) as file:
        return file.read(most).decode("utf-8", errors="replace")
    return ""


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz, stored as they are and no larger than the file says they are.

    Raises:
        OSError, ValueError: it is no such file.
    """
    with open_plain(path, _LARGEST) as file:
        try:
            with zipfile.ZipFile(file) as stored:
                return {info.filename.removesuffix(".npy"): _array(stored, info) for info in stored.infolist()}
        except (zipfile.BadZipFile, EOFError, SyntaxError, NotImplementedError, TypeError, RuntimeError) as error:
            raise ValueError(f"what came back is no set of arrays: {error}") from None


def _array(stored: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > _LARGEST:
        raise ValueError("an array is compressed")
    with stored.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject or dtype.kind not in "fiub" or min(shape, default=0) < 0:
            raise ValueError("an array holds something else than numbers")
        data = file.read(_LARGEST)
        if len(data) != int(np.prod([*shape, dtype.itemsize], dtype=object)):
            raise ValueError("an array is not as large as it says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()


def need_plain_file(path: str | Path) -> str:
    """The text of a learner's file.

    Raises:
        UserError: it cannot be read as Python source in UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(2**20 + 1)  # a device may have no end
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as a Python file: {getattr(error, 'strerror', None) or error}"
        ) from None
    if len(text) > 2**20:
        raise UserError(f"{path} is longer than a megabyte: no file that anybody wrote by hand")
    return text


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
