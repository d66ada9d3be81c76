"""Whatever happens to one rank: one sentence, an exit status, no process left, and a run that goes on as if nothing
was."""

import os
import signal
import time
from pathlib import Path

import pytest

from minigpt import tokenizers
from minigpt.data import encoded

from ..conftest import TEXT
from .launching import Ended, alone, is_locked, launch, once, start
from .test_ranks import COMMON, contents

pytestmark = pytest.mark.mpi

SETTINGS = COMMON | {"train.batch": 4, "train.accumulation": 1, "train.checkpoint_every": 3, "train.eval_every": 3}
STEPS = 9


def arguments(text, run, steps=STEPS, **changed):
    settings = SETTINGS | {name.replace("__", "."): value for name, value in changed.items()}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={str(value).lower()}")]
    return ["train", "tiny", "--data", str(text), "--out", str(run), "--steps", str(steps), *sets]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happened to."""
    return once(tmp_path_factory, "whole", make_whole)


def make_whole(folder):
    (folder / "text.txt").write_text(TEXT)
    assert alone(*arguments(folder / "text.txt", folder / "run")) == 0


def left(folder) -> list[str]:
    """The processes that still work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and int(process.name) != os.getpid():
            found.append(line)
    return found


def none_is_left(folder) -> bool:
    """Whether all processes end, and let go of the run; some take a moment longer than their launcher."""
    end, run = time.monotonic() + 120, folder / "run"
    while (still := left(folder) or ((run / "lock").exists() and is_locked(run))) and time.monotonic() < end:
        time.sleep(0.05)
    return not still


def broken(whole, folder, ranks=2, **fault) -> Ended:
    """A run with a fault, after which no process may be left."""
    case = {"arguments": arguments(whole / "text.txt", folder / "run"), "fault": fault}
    process = start(ranks, [case], folder)
    said, _ = process.communicate(timeout=600)
    ended = Ended(process.returncode, said)
    assert ended.status != 0, said
    assert none_is_left(folder)
    return ended


def goes_on(whole, folder):
    """From the checkpoint that is left, on one process: equal to the run that nothing happened to."""
    last = sorted((folder / "run/checkpoints").glob("step-*"))[-1]
    assert alone("train", "--resume", str(folder / "run")) == 0
    assert contents(folder / "run", STEPS) == contents(whole / "run", STEPS)
    return last.name


@pytest.mark.parametrize(
    "place, step, kept", [("step", 4, "step-3"), ("save", 10, "step-3"), ("evaluation", 1, "step-3")]
)
def test_a_killed_rank_ends_all_and_loses_nothing(whole, tmp_path, place, step, kept):
    ended = broken(whole, tmp_path, rank=0 if place == "save" else 1, place=place, step=step, what="kill")
    assert ended.errors == [] and goes_on(whole, tmp_path) == kept


@pytest.mark.parametrize("rank, place, step", [(1, "step", 4), (1, "update", 4), (0, "step", 4)])
def test_an_exception_on_one_rank_is_one_sentence(whole, tmp_path, rank, place, step):
    ended = broken(
        whole, tmp_path, ranks=4 if place == "update" else 2, rank=rank, place=place, step=step, what="raise"
    )
    (said,) = ended.errors
    assert ended.status == 2 and f"on rank {rank}: there is not enough memory (of this test)" in said
    assert goes_on(whole, tmp_path) == "step-3"


@pytest.mark.parametrize("place, step", [("save", 10), ("log", 9)])
def test_a_full_disk_is_one_sentence(whole, tmp_path, place, step):
    ended = broken(whole, tmp_path, rank=0, place=place, step=step, what="full")
    assert ended.status == 2 and len(ended.errors) == 1 and "No space left on device" in ended.said
    assert goes_on(whole, tmp_path)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_hangs_is_named(whole, tmp_path, rank):
    ended = broken(whole, tmp_path, ranks=4 if rank else 2, rank=rank, place="step", step=4, what="stop")
    (said,) = ended.errors
    assert f"rank {rank} did not finish the passes of step 5 within 10 seconds" in said
    assert ended.status == 2 and goes_on(whole, tmp_path) == "step-3"


def test_an_exception_while_a_text_is_encoded(tmp_path):
    """Nothing of it is left; the next run's files are those of one process."""
    text, cache = tmp_path / "text.txt", tmp_path / "cache"
    text.write_text(TEXT)
    line = arguments(text, tmp_path / "run", steps=1, data__tokenizer="bpe:270")
    case, fault = {"arguments": line, "large": 0}, {"rank": 1, "place": "encoding", "step": 0, "what": "raise"}
    ended = launch(2, [case | {"fault": fault}], tmp_path, MINIGPT_CACHE=str(cache))
    (said,) = ended.errors
    assert ended.status == 2 and "on rank 1: there is not enough memory (of this test)" in said
    assert not list(cache.glob("tokens/*.bin")) and not (tmp_path / "run").exists()
    assert launch(2, [case], tmp_path, MINIGPT_CACHE=str(cache)).status == 0
    (ids,) = cache.glob("tokens/*.bin")
    encoded.write_shard(tmp_path / "alone.bin", [text], tokenizers.load(tmp_path / "run"), None)
    for path in (ids, ids.with_suffix(".json")):
        assert path.read_bytes() == (tmp_path / f"alone{path.suffix}").read_bytes()


def test_numbers_out_of_hand_are_one_sentence(whole, tmp_path):
    line = arguments(whole / "text.txt", tmp_path / "run", schedule__peak=1e30, optimizer__clip=0.0)
    ended = launch(2, [{"arguments": line}], tmp_path)
    assert ended.status == 2 and len(ended.errors) == 1 and "so training stopped" in ended.said


def test_a_signal_to_one_rank_lets_all_save(whole, tmp_path):
    case = {"arguments": arguments(whole / "text.txt", tmp_path / "run")}
    ended = launch(2, [case | {"fault": {"rank": 1, "place": "step", "step": 4, "what": "term"}}], tmp_path)
    assert (
        none_is_left(tmp_path) and ended.status == 130 and "stopped after step 5" in ended.said and ended.errors == []
    )
    assert goes_on(whole, tmp_path) == "step-5"


def test_a_signal_to_the_launcher_lets_all_save(whole, tmp_path):
    process = start(2, [{"arguments": arguments(whole / "text.txt", tmp_path / "run", steps=100_000)}], tmp_path)
    log = tmp_path / "run/log.jsonl"
    end = time.monotonic() + 600
    while not (log.exists() and log.read_text().count("\n") > 3) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=600)
    assert process.returncode != 0 and "stopped after step" in said and none_is_left(tmp_path)


def test_the_wrong_mpi_or_none_is_said_once(whole, tmp_path):
    """A launcher that ours knows to be of another MPI, one that it does not know; and mpi4py that cannot be loaded."""
    case = {"arguments": arguments(whole / "text.txt", tmp_path / "run")}
    mixed = launch(1, [case], tmp_path, OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="2")
    assert mixed.status != 0 and len(mixed.errors) == 1 and "are of different MPIs" in mixed.said
    single = launch(None, [case], tmp_path, SLURM_PROCID="0", SLURM_STEP_NUM_TASKS="2")
    assert single.status != 0 and len(single.errors) == 1 and "MPI (MPICH) sees 1: mpiexec and mpi4py" in single.said
    missing = launch(2, [case], tmp_path, MPI4PY_LIBMPI="/nowhere.so")
    assert missing.status != 0 and len(missing.errors) == 1 and "pip install '.[mpi]'" in missing.said


def test_another_version_or_text_on_one_rank_is_refused(whole, tmp_path):
    line = arguments(whole / "text.txt", tmp_path / "run")
    ended = launch(2, [{"arguments": line, "version": 1}], tmp_path)
    assert (
        ended.status == 2 and len(ended.errors) == 1 and "rank 1 has another NumPy than rank 0: 1.0 and" in ended.said
    )
    ended = launch(2, [{"arguments": line, "text": 1}], tmp_path)
    assert ended.status == 2 and len(ended.errors) == 1 and "rank 1 has another text than rank 0" in ended.said


def test_what_takes_no_ranks_is_done_once(whole, tmp_path):
    line = ["sample", str(whole / "run"), "--tokens", "3", "--seed", "1"]
    ended = launch(2, [{"arguments": line}], tmp_path)
    assert ended.status == 0 and ended.said.count("\n") == 1
    for word, line in (("many", ["train", "--steps", "many"]), ("trian", ["trian"])):
        wrong = launch(2, [{"arguments": line}], tmp_path)
        assert wrong.status == 2 and wrong.said.count(word) == 1 and "BAD TERMINATION" not in wrong.said
