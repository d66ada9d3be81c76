"""Odd surroundings: containers that share a volume, folders without permission, full disks, small memory, odd clocks.

Each one works, or is refused in one sentence.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minigpt.cli import main
from minigpt.core import disk
from minigpt.train.integrity import checkpoint_paths, problems
from minigpt.train.run_folder import create_run, locked

from ..tiers import some
from .runs import arguments, contents, train

SETTINGS = {"train__checkpoint_every": 2, "train__eval_every": 0, "train__sample_every": 0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A text, and a finished run of four steps."""
    folder = tmp_path_factory.mktemp("made")
    text = folder / "text.txt"
    text.write_text("".join(f"{i} and {i * i} are numbers, {i % 7} is one too.\n" for i in range(120)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
        assert train(text, folder / "run", 4, train__workers=1, **SETTINGS) == 0
    return text, folder / "run"


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made[1], tmp_path / "run")


def sentence(capsys, *command) -> str:
    capsys.readouterr()
    assert main([str(word) for word in command]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said.splitlines()[-1]


def minigpt(*command, before="", prefix=(), **variables) -> subprocess.CompletedProcess:
    """The command in a process of its own, in which `before` (of Python) was run first."""
    code = f"{before}\nfrom minigpt.cli import main\nimport sys\nsys.exit(main(sys.argv[1:]))"
    line = [*prefix, sys.executable, "-c", code, *map(str, command)]
    return subprocess.run(line, capture_output=True, text=True, env={**os.environ, **variables})


class Died(BaseException):
    pass


def test_scratch_folders_are_nobody_elses(made, tmp_path, monkeypatch):
    """Two containers have the same process numbers: neither takes, nor deletes, what the other one is making."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    others = []

    def first_checkpoint(folder):
        if not others:
            others.append(folder)
            assert train(made[0], tmp_path / "run", 1, **SETTINGS) == 0  # the other container, meanwhile, the same name
            assert folder.is_dir()
            raise Died

    with pytest.raises(Died):
        create_run(tmp_path / "run", "tiny", made_config(made[1]), None, first_checkpoint, force=False)
    assert not others[0].exists() and checkpoint_paths(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def made_config(run):
    from minigpt.train.run_folder import load_config

    return load_config(run)


def test_a_lock_on_a_run_that_was_replaced_meanwhile_is_none(run, monkeypatch):
    """Between opening its lock and locking it, somebody put another run in its place with --force."""
    from minigpt.train import run_folder

    right = run_folder._lock

    def lock(descriptor):
        (run / "lock").unlink()
        (run / "lock").touch()
        right(descriptor)

    monkeypatch.setattr(run_folder, "_lock", lock)
    with pytest.raises(run_folder.UserError, match="another process is training in"), locked(run):
        pass


def test_a_disk_without_locks_is_said(run, monkeypatch, capsys):
    from minigpt.train import run_folder

    def lock(descriptor):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(run_folder, "_lock", lock)
    said = sentence(capsys, "train", "--resume", run, "--steps", 5)
    assert said == f"minigpt: error: {run} cannot be locked (No locks available); put it on another disk"


@pytest.mark.skipif(sys.platform != "linux", reason="flock and fork")
def test_workers_do_not_hold_the_lock(run):
    """A fork that outlives its killed parent for a moment does not keep the run from being resumed."""
    from minigpt.train.forks import Forks

    with locked(run):
        forks = Forks([lambda message: message])
        assert forks.together([1], lambda: 0) == [0, 1]
    with locked(run):
        assert forks.together([2], lambda: 0) == [0, 2]  # it is still there
    forks.close()


@pytest.mark.parametrize(
    "call", some(["write", "sync", "make", "rename"], ["rename"], "the same where a folder cannot be renamed")
)
def test_calls_that_fail_are_one_sentence_and_the_run_goes_on(made, run, monkeypatch, capsys, call):
    """No space, no such operation, a renaming that the system refuses: the last checkpoint stays, and nothing else."""
    right, calls = getattr(disk, call), []

    def failing(path, *more):
        if "checkpoints/" in str(path):
            calls.append(path)
            raise OSError(28, "No space left on device", str(path))
        return right(path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(disk, call, failing)
        said = sentence(capsys, "train", "--resume", run, "--steps", 6)
    assert said == f"minigpt: error: cannot write the checkpoint {run}/checkpoints/step-6: No space left on device"
    assert calls and [path.name for path in checkpoint_paths(run)] == ["step-2", "step-4"]
    assert not any((run / "checkpoints").glob(".step*"))
    assert main(["train", "--resume", str(run), "--steps", "6"]) == 0
    assert not any(map(problems, checkpoint_paths(run)))


def test_clocks_that_jump(made, tmp_path, monkeypatch):
    """Nothing that is trained, kept or compared depends on the time."""
    times = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(times)))
    assert train(made[0], tmp_path / "run", 4, train__workers=1, **SETTINGS) == 0
    assert contents(tmp_path / "run", step=4) == contents(made[1], step=4)


def test_a_lock_that_may_not_be_opened_is_said(run, monkeypatch, capsys):
    (run / "lock").unlink()
    (run / "lock").mkdir()
    assert "lock: Is a directory" in sentence(capsys, "train", "--resume", run, "--steps", 6)


UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc"]


def can_unshare() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.slow("test_scratch_folders_are_nobody_elses, test_two_processes_cannot_train_one_run: the same without")
@pytest.mark.needs(can_unshare(), "the right to make a PID namespace")
def test_two_containers_on_one_volume(made, run, tmp_path):
    """In both the command has the same number. One of them trains a run; two new runs get names of their own."""
    shell = "exec {python} -m minigpt {line}"
    text, whole = made[0], shutil.copytree(run, tmp_path / "whole")
    assert main(["train", "--resume", str(whole), "--steps", "40"]) == 0

    def container(*words, **options):
        line = " ".join(map(str, words))
        command = [*UNSHARE, "sh", "-c", shell.format(python=sys.executable, line=line)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    with locked(run):  # this process is outside of it
        first = container("train", "--resume", run, "--steps", 40)
        assert "another process is training in" in first.communicate()[1] and first.returncode == 2
    both = [container("train", "--resume", run, "--steps", 40) for _ in range(2)]
    said = [one.communicate()[1] for one in both]
    for one, text_ in zip(both, said, strict=True):
        assert one.returncode == 0 or "another process is training in" in text_, text_
    assert {one.returncode for one in both} <= {0, 2} and 0 in {one.returncode for one in both}
    expected = contents(whole, step=40)
    assert contents(run, step=40) == expected
    new = [word for word in arguments(text, Path("x"), 3, **SETTINGS) if word not in ("--out", "x")]
    new = [word.replace('""', "''") if word.endswith('""') else f"'{word}'" for word in new]
    both = [container(*new, cwd=tmp_path) for _ in range(2)]
    for one in both:
        said = one.communicate()[1]
        assert one.returncode == 0, said
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert runs == ["tiny-1", "tiny-2"]
    assert contents(tmp_path / "runs" / "tiny-1", step=3) == contents(tmp_path / "runs" / "tiny-2", step=3)


OBEYS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]  # root, for whom permissions count


@pytest.mark.slow("test_calls_that_fail_are_one_sentence_and_the_run_goes_on: the same without such a folder")
@pytest.mark.needs(shutil.which("setpriv") and os.geteuid() == 0, "to be root, and setpriv to be less")
def test_folders_without_permission(made, run, tmp_path):
    """A home, a cache, a run or a place for temporary files that may not be written to."""
    closed = tmp_path / "closed"
    shutil.copytree(made[1], closed / "run")
    for place in (*closed.rglob("*"), closed):
        place.chmod(0o555 if place.is_dir() else 0o444)
    nowhere = {"HOME": str(closed), "TMPDIR": str(closed), "MINIGPT_CACHE": str(closed / "cache")}
    done = minigpt("sample", closed / "run", "--tokens", 5, prefix=OBEYS, **nowhere)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    done = minigpt("train", "--resume", closed / "run", "--steps", 5, prefix=OBEYS)
    assert done.returncode == 2 and done.stderr == f"minigpt: error: {closed}/run/lock: Permission denied\n"
    text = shutil.copy(made[0], tmp_path / "other.txt")
    done = minigpt(*arguments(Path(text), tmp_path / "new", 2, **SETTINGS), prefix=OBEYS, **nowhere)
    assert done.returncode == 2 and "closed/cache" in done.stderr and "Permission denied" in done.stderr
    done = minigpt(*arguments(made[0], closed / "new", 2, **SETTINGS), prefix=OBEYS)
    assert done.returncode == 2 and "Permission denied" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    done = minigpt("train", "--resume", run, "--steps", 5, prefix=OBEYS, HOME=str(closed), TMPDIR=str(closed))
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


@pytest.mark.slow("test_any_terminal_can_show_any_text: an encoding of ASCII")
@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TMPDIR": "/nonexistent", "MPLCONFIGDIR": "/nonexistent"},
        {"HOME": "/nonexistent"},
        {"TZ": "Nowhere/Never", "TERM": "", "COLUMNS": "0"},
    ],
)
def test_odd_variables(made, tmp_path, variables):
    """Locale C, no place for temporary files, no home: a run under a name of other letters trains, resumes, writes."""
    run = tmp_path / "Läufe"
    assert minigpt(*arguments(made[0], run, 2, **SETTINGS), **variables).returncode in (0, 2)
    if not run.exists():
        run = tmp_path / "run"
        assert minigpt(*arguments(made[0], run, 2, **SETTINGS), **variables).returncode == 0
    done = minigpt("train", "--resume", run, "--steps", 4, **variables)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert minigpt("sample", run, "--tokens", 5, **variables).returncode == 0


@pytest.mark.slow("test_resuming_a_finished_run_changes_nothing: with the usual mask")
def test_files_for_oneself_alone(made, tmp_path):
    """umask 077."""
    before = os.umask(0o077)
    try:
        assert train(made[0], tmp_path / "run", 4, train__workers=1, **SETTINGS) == 0
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "run").rglob("*")}
    assert modes == {0} and contents(tmp_path / "run", step=4) == contents(made[1], step=4)


@pytest.mark.slow("test_a_library_that_cannot_be_loaded, and MemoryError is one sentence: the same without a limit")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count address space otherwise")
@pytest.mark.parametrize("megabytes", [60, 100, 150, 200, 300, 400])
def test_little_memory(made, tmp_path, megabytes):
    """One sentence, or it works; NumPy's BLAS may end the process by itself, but leaves a run that goes on."""
    limit = megabytes << 20
    before = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))"
    run = tmp_path / "run"
    done = minigpt(*arguments(made[0], run, 4, **SETTINGS), before=before, OPENBLAS_NUM_THREADS="1")
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode:
        assert done.stderr.strip(), done.returncode
    if run.exists():
        assert not any(map(problems, checkpoint_paths(run)))
        assert main(["train", "--resume", str(run)]) == 0


@pytest.mark.slow("test_calls_that_fail_are_one_sentence_and_the_run_goes_on: without a limit")
@pytest.mark.skipif(sys.platform == "win32", reason="has no such limits")
@pytest.mark.parametrize("size", [0, 100, 3_000, 20_000, 60_000])
def test_files_that_may_not_grow(made, tmp_path, size):
    """A limit on the size of files stands for a full disk: wherever it strikes, the run resumes to the same bits."""
    before = f"import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    before += "; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    run = shutil.copytree(made[1], tmp_path / "run")
    done = minigpt("train", "--resume", run, "--steps", 8, before=before)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr
    assert not any(map(problems, checkpoint_paths(run)))
    assert main(["train", "--resume", str(run), "--steps", "8"]) == 0
    assert main(["train", "--resume", str(shutil.copytree(made[1], tmp_path / "other")), "--steps", "8"]) == 0
    assert contents(run, step=8) == contents(tmp_path / "other", step=8)


@pytest.mark.slow("test_a_closed_terminal_ends_training_after_the_step: the signal alone")
@pytest.mark.skipif(sys.platform != "linux", reason="has no pseudo-terminals, or others")
def test_a_terminal_that_is_closed(made, tmp_path):
    """The window goes while a run trains in it, workers and all: it saves its step, and resumes to the same bits."""
    import pty

    run, settings = tmp_path / "run", {**SETTINGS, "train__checkpoint_every": 0, "train__workers": 2}
    command = arguments(made[0], run, 2000, **settings)
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may themselves run under nohup
        os.execv(sys.executable, [sys.executable, "-m", "minigpt", *command])
    while not (run / "log.jsonl").exists() or (run / "log.jsonl").stat().st_size < 2000:
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it ended by itself"
        time.sleep(0.01)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    saved = int(checkpoint_paths(run)[-1].name.removeprefix("step-"))
    assert 0 < saved < 2000
    assert main(["train", "--resume", str(run)]) == 0
    assert train(made[0], tmp_path / "whole", 2000, **settings) == 0
    assert contents(run, step=2000) == contents(tmp_path / "whole", step=2000)
