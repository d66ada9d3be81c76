"""Which tests run: the core by default, more on request, each tier a superset of the one before.

    pytest                      core: what proves the code, in the time that one waits
    pytest --tier slow          and what takes long and proves what a core test already suggests
    pytest --tier full          and what needs more packages: parity with the originals, compiled operations, MPI,
                                notebooks, compiled kernels, a browser
    pytest --tier exhaustive    and the full products of all options
    pytest -m parity            one kind alone; an -m of one's own is not narrowed further

Properties, which hypothesis tries on many examples, are tried on a quarter of them in the core, and on all of them by
`pytest -m properties`. Tests on a GPU belong to no tier (`pytest -m gpu`). A slow test names the faster one that
suggests what it proves: `@pytest.mark.slow("test_values: the same at one size")`.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import is_hypothesis_test, settings

TIERS = {  # the markers that each one adds to the tier before
    "core": (),
    "slow": ("slow",),
    "full": ("parity", "numba", "mpi", "notebooks", "nvrtc", "browser"),
    "exhaustive": ("exhaustive",),
}
MARKERS = [marker for markers in TIERS.values() for marker in markers] + ["gpu"]
ADDS = {
    "needs": "what this machine lacks: bubblewrap, Landlock and seccomp, or the rights of root",
    "slow": "what takes long and a core test already suggests",
    "parity": 'equal to PyTorch, transformers, tokenizers and others (pip install -e ".[parity]")',
    "numba": 'operations compiled by Numba (pip install -e ".[numba]")',
    "mpi": 'runs on several processes of MPI (pip install -e ".[mpi]")',
    "notebooks": 'notebooks: stored outputs are the code\'s, and two run anew (pip install -e ".[notebooks]")',
    "nvrtc": "every kernel compiled for every architecture (needs CuPy and its toolkit)",
    "browser": 'the page of explain in Chromium (pip install -e ".[browser]", apt-get install chromium)',
    "exhaustive": "the full products of all options: hours",
    "gpu": "the same code on a GPU",
}


_BEFORE = os.times().children_user + os.times().children_system
_SHARE = 1.0  # of the examples that a property is tried on; set when the tier is known


def examples(count: int) -> int:
    """How many examples hypothesis tries: all of them in the slow tier and with an -m, a quarter in the core."""
    return max(5, round(_SHARE * count))


def choose_examples(config: pytest.Config) -> None:
    """Before any test is imported: the core tier tries fewer examples, and the same ones each time."""
    global _SHARE
    core = config.option.tier == "core" and not config.option.markexpr
    _SHARE = 0.25 if core else 1.0
    settings.register_profile("ours", max_examples=examples(100), derandomize=core, deadline=None)
    settings.load_profile("ours")


def some(values: Iterable[Any], keep: Collection[Any], suggested_by: str) -> list[Any]:
    """Parameters for a test: those in `keep` run in the core tier, the others in the slow one.

    A tuple holds the values of several arguments.
    """
    values, slow = list(values), pytest.mark.slow(suggested_by)
    missing = [value for value in keep if value not in values]
    assert not missing, f"not among the parameters: {missing}"
    return [v if v in keep else pytest.param(*(v if isinstance(v, tuple) else (v,)), marks=slow) for v in values]


class Tiers:
    """The plugin that leaves tests out, and says in the end what was proven and what was left out."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.left_out: dict[str, int] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker("properties")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("slow"):
                if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not mark.args[0]:
                    raise pytest.UsageError(
                        f"{item.nodeid}: a slow mark takes one sentence, the faster test it follows"
                    )
        items.sort(key=rank)
        self._leave_out([item for item in items if lacks(item)], items, "needs")
        if self.config.option.markexpr:
            return
        wanted, tiers = set(), list(TIERS)
        for tier in tiers[: tiers.index(self.config.option.tier) + 1]:
            wanted.update(TIERS[tier])
        for marker in MARKERS[::-1]:  # the rarest tells what it takes to run it
            if marker not in wanted:
                self._leave_out([item for item in items if item.get_closest_marker(marker)], items, marker)

    def _leave_out(self, out: list[pytest.Item], items: list[pytest.Item], why: str) -> None:
        """Take tests out of what is run, and count them."""
        if out:
            self.config.hook.pytest_deselected(items=out)
            items[:] = [item for item in items if item not in set(out)]
            self.left_out[why] = len(out)

    def pytest_terminal_summary(self, terminalreporter: Any, exitstatus: int) -> None:
        passed = terminalreporter.stats.get("passed", [])
        if not passed:
            return
        write = terminalreporter.write_line
        write("")
        write("What was proven:" if exitstatus == 0 else "What passed, of tests that did not all pass or run:")
        for folder, sentence in proven(report.nodeid for report in passed).items():
            write(f"  {folder:<12} {sentence}")
        if self.left_out:
            write("What was left out (tests/tiers.py says how to run it):")
            for marker, count in self.left_out.items():
                write(f"  {marker:<12} {count} tests: {ADDS[marker]}")
        speed = f"products of 512 on one thread: {product_speed():.0f} GFLOP/s"
        write(f"{cpu_seconds():.0f} CPU seconds, all processes; {speed}")


def lacks(item: pytest.Item) -> bool:
    """Whether the machine lacks what a test needs: `@pytest.mark.needs(condition, "what it is")`."""
    return not all(mark.args[0] for mark in item.iter_markers("needs"))


def rank(item: pytest.Item) -> int:
    """What takes longest comes first, so that no process still works on it when those beside it are done."""
    return 0 if item.get_closest_marker("notebooks") else 1 if item.get_closest_marker("slow") else 2


def proven(nodes: Iterable[str]) -> dict[str, str]:
    """Each folder of tests that passed, with how many and the first line of what it says about itself."""
    counts: dict[str, int] = {}
    for node in nodes:
        parts = node.split("::")[0].split("/")
        folder = parts[1] if len(parts) > 2 else ""
        counts[folder] = counts.get(folder, 0) + 1
    found = {}
    for folder in sorted(counts):
        module = importlib.import_module(f"tests.{folder}" if folder else "tests")
        said = (module.__doc__ or "").strip().split("\n")[0]
        found[folder or "tests"] = f"{counts[folder]:5d} passed: {said}"
    return found


def cpu_seconds() -> float:
    """User and system time of this process and of the ended processes that it started.

    A shell that replaced itself by pytest leaves its own children's time behind, an installation's for instance.
    """
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system - _BEFORE


def product_speed(size: int = 512, rounds: int = 9) -> float:
    """GFLOP/s of float32 matrix products on one thread, the median of a few rounds: how fast this machine is."""
    from threadpoolctl import threadpool_limits

    a = np.ones((size, size), np.float32)
    out = np.empty_like(a)
    speeds = []
    with threadpool_limits(1):
        for _ in range(rounds):
            started = time.perf_counter()
            for _ in range(4):
                np.matmul(a, a, out=out)
            speeds.append(4 * 2 * size**3 / (time.perf_counter() - started) / 1e9)
    return sorted(speeds)[rounds // 2]
