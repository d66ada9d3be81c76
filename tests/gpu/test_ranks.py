"""Ranks on GPUs: two that share one through MPI, and, where there are two, NCCL between them."""

import pytest

from tests.distributed.launching import launch
from tests.distributed.test_ranks import losses
from tests.train.runs import SETTINGS

from .conftest import STAND_IN

pytestmark = pytest.mark.needs(not STAND_IN, "a GPU, as ranks are processes of their own")


def case(text, run):
    sets = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    sets += ["--backend", "cupy", "--set", "train.workers=2"]
    return {"arguments": ["train", "tiny", "--data", str(text), "--out", str(run), "--steps", "6", *sets]}


def test_ranks_on_one_gpu_or_two_train_alike(device, tmp_path, text_file):
    """Twice the same bits, and the losses of one process."""
    found = {}
    for ranks, name in ((1, "one"), (2, "two"), (2, "again")):
        ended = launch(ranks, [case(text_file, tmp_path / name)], tmp_path)
        assert ended.status == 0, ended.said
        found[name] = losses(tmp_path / name)
        two = device.xp.cuda.runtime.getDeviceCount() > 1
        assert ranks == 1 or f"2 ranks: {'NCCL' if two else 'MPI, through'}" in ended.said
    assert found["two"] == found["again"] == pytest.approx(found["one"], rel=1e-5)


def test_one_rank_of_nccl_sends_to_itself(device):
    import cupy

    from minigpt.distributed.nccl import NCCLRanks
    from minigpt.distributed.ranks import Ranks

    if not cupy.cuda.nccl.available:
        pytest.fail("CuPy finds no NCCL: pip install nvidia-nccl-cu12")
    control = Ranks()
    control.patience = 60.0
    ranks, flat = NCCLRanks(control, cupy), cupy.arange(8, dtype="float32")
    (part,) = ranks.exchange(flat, [0, 8], 1, "a test").wait()
    assert (part == flat).all()
    ranks.gather(flat, [0, 8], "a test").wait()
