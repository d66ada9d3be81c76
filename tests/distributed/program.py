"""What each rank of a test does: commands of minigpt one after another, and what is to go wrong in them.

arguments   of the command
overlap     false: gradients are sent after the backward pass
bucket      numbers of a bucket at least
large       bytes of a text that ranks encode together
fault       {"rank", "step", "place", "what"}: what happens to which rank; see `FAULTS` and `PLACES`
"""

import errno
import functools
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from minigpt.cli import main, train
from minigpt.core import disk
from minigpt.data import encoded, sharing
from minigpt.distributed import buckets, join, launch
from minigpt.train import checkpoint, trainer
from minigpt.train.objectives import causal as objectives
from minigpt.train.objectives.base import Objective
from minigpt.train.ranked import Ranked


def out_of_memory(*_):
    raise MemoryError("of this test")


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "of this test")


def of_another_text(objective, right):
    return right(objective)._replace(fingerprint="another")


def hurry(ranked, *_):
    ranked.ranks.patience = 10.0


FAULTS = {
    "kill": lambda *_: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda *_: os.kill(os.getpid(), signal.SIGSTOP),
    "term": lambda *_: os.kill(os.getpid(), signal.SIGTERM),
    "raise": out_of_memory,
    "full": full_disk,
    "hurry": hurry,
}
PLACES = {  # where a fault can happen: what is called there, of what
    "step": (Ranked, "passes"),
    "update": (Ranked, "update"),
    "save": (checkpoint, "write_hashed"),
    "log": (disk, "append"),
    "evaluation": (Objective, "evaluate"),
    "encoding": (encoded, "_ids"),
}


def plant(fault):
    """Let a fault happen when a place is reached for the n-th time."""
    owner, name = PLACES[fault["place"]]
    right, count = getattr(owner, name), iter(range(1_000_000))

    @functools.wraps(right)
    def wrong(*arguments, **keywords):
        if next(count) == fault["step"]:
            FAULTS[fault["what"]](*arguments)
        return right(*arguments, **keywords)

    setattr(owner, name, wrong)


def staged():
    """Arrays of a GPU, which there need not be, over MPI: a sum of pieces comes to the same as on the CPU."""
    import pytest  # which takes a quarter of a second, and the others need not

    from tests import fake_cupy

    with pytest.MonkeyPatch.context() as patch:
        cupy = fake_cupy.install(patch)
        ranks = join.join("a test")
        flat = cupy.asarray(np.arange(6, dtype=np.float32) * (1 + ranks.rank))
        edges = [6 * rank // ranks.size for rank in range(ranks.size + 1)]
        parts = ranks.exchange(flat, edges, ranks.size, "a test").wait()
        total = sum(part.get() for part in parts)
        start, stop = edges[ranks.rank], edges[ranks.rank + 1]
        flat[start:stop] = cupy.asarray(total)
        ranks.gather(flat, edges, "a test").wait()
        expected = np.arange(6) * sum(range(1, ranks.size + 1))
        right, kind = (flat.get() == expected).all(), isinstance(parts[0], fake_cupy.ndarray)
        print(f" staged {bool(right)} {kind} ", flush=True)  # lines of three ranks may mix
    return 0


def run(case):
    if case.get("staged"):
        return staged()
    train._draw_curves = lambda run: None
    trainer.Ranked = functools.partial(Ranked, overlap=case.get("overlap", True))
    buckets.NUMBERS = case.get("bucket", 1 << 21)
    sharing.LARGE = case.get("large", 1 << 22)
    fault = case.get("fault")
    if fault and fault["rank"] == launch.launched().rank:
        plant(fault)
    elif fault and fault["what"] == "stop":  # from here on: a slow machine has all the time it needs up to the fault
        plant(fault | {"what": "hurry"})
    if case.get("version") == launch.launched().rank:
        join.np.__version__ = "1.0"
    if case.get("text") == launch.launched().rank:
        objectives.CausalObjective.load = functools.partialmethod(of_another_text, objectives.CausalObjective.load)
    return main(case["arguments"])


if __name__ == "__main__":
    for one in json.loads(Path(sys.argv[1]).read_text()):
        status = run(one)
        if status:
            sys.exit(status)
