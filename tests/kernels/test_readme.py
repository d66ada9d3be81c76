"""kernels/README.md tells the truth: its code runs, its table is computed, its files and lines are there."""

import re
from pathlib import Path

import numpy as np
import pytest

from minigpt import ops
from minigpt.kernels.attention import Flash, Tiled
from minigpt.kernels.emulator import Emulation
from minigpt.lab.roofline import rungs, table
from minigpt.lab.trace import SHARED, Trace

FOLDER = Path(ops.__file__).resolve().parents[1] / "kernels"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow("test_ladder and test_trace: what its lines call")
def test_its_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(code, names)
    printed = capsys.readouterr().out.splitlines()
    assert float(printed[0]) < 1e-5 and "'array'" in printed[1] and (tmp_path / "flash.png").exists()


def test_the_roofline_is_what_the_command_prints():
    assert table(128, 1024, 64, "H200") in README


def test_the_breakpoint_is_where_it_says():
    line = int(re.search(r"break flash\.cu:(\d+)", README)[1])
    source = (FOLDER / "flash.cu").read_text(encoding="utf-8").splitlines()
    assert source[line - 1].strip() == "store_scores(ps, s, ty, tx);" and "flash_forward" in "".join(source[:line])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(target):
    assert (FOLDER / target).exists()


def loaded(launch):
    """Bytes that a launch reads from arrays."""
    reads = launch.accesses[(launch.accesses["array"] >= 0) & ~launch.accesses["write"]]
    return 4 * int(reads["count"].sum())


@pytest.mark.slow("test_trace: what a small kernel reads is counted")
@pytest.mark.parametrize("tokens", [64, 128])
def test_the_roofline_counts_what_the_trace_sees(tokens):
    """What threads ask for, computed and traced, where tiles are whole."""
    trace = Trace()
    q = np.random.default_rng(0).standard_normal((1, tokens, 2, 64)).astype(np.float32)
    for attention in (Flash(emulation=Emulation(trace=trace)), Tiled(emulation=Emulation(trace=trace))):
        attention.attention_forward(q, q.copy(), q.copy())
    seen = {launch.kernel: loaded(launch) for launch in trace.launches}
    assert seen["flash_forward"] == rungs(2, tokens, 64, backward=False)["flash"].asked
    tiled = seen["tiled_scores"] + seen["tiled_output"] + seen["tiled_softmax"]
    assert tiled == rungs(2, tokens, 64, backward=False)["tiled"].asked
    assert len(trace.launches[0].of(SHARED))
