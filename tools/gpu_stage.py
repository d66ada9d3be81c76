"""A stage of tools/first_gpu_run.sh: measures something on a GPU and writes it to $OUT/NAME.json.

    python -m tools.gpu_stage machine|attention|attention32|step|compiled|one-step|one-attention

With MINIGPT_STAND_IN=1 the stand-in for CuPy of the tests takes the GPU's place, and everything is small: what the
stages do is rehearsed, what they measure means nothing.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minigpt.core.backend import Backend, get_backend
from minigpt.kernels.fused import Operations
from minigpt.lab.benchmark import events, gpu_step
from minigpt.lab.benchmark.attention import Shape, bench_shape, bench_torch, contestants
from minigpt.lab.benchmark.shapes import Shape as StepShape

STAND_IN = os.environ.get("MINIGPT_STAND_IN") == "1"
SHAPES = [Shape(1, 2, 32, 16)] if STAND_IN else [Shape(8, 12, 1024, 64), Shape(4, 16, 4096, 128)]
REPEATS = 2 if STAND_IN else 20


def backend() -> Backend:
    if STAND_IN:
        import pytest

        from tests import fake_cupy

        fake_cupy.install(pytest.MonkeyPatch())
        events.STATED["no GPU at all"] = (2e12, 1e12, 1e12)
        gpu_step.GPU_SHAPES["G"] = gpu_step.GPU_SHAPES["M"] = StepShape(1, 2, 32, 8, 2, 11)
    return get_backend("cupy")


def ceilings(on: Backend, dtype: str) -> dict[str, events.Ceiling]:
    small: dict[str, Any] = {"size": 64, "megabytes": 1} if STAND_IN else {}
    measured = events.measured_ceiling(on, dtype, **small)
    stated = events.stated_ceiling(on, dtype)
    return {"measured": measured} | ({} if stated is None else {"stated": stated})


def versions() -> dict[str, str]:
    names = ("numpy", "cupy-cuda12x", "cupy-cuda13x", "ml_dtypes", "torch", "tomli_w")
    found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return {"python": platform.python_version()} | {name: found[name] for name in names if name in found}


def machine() -> dict[str, Any]:
    """The card, its ceilings, and how quick CuPy's sum over rows and our own are."""
    on = backend()
    rows, width = (64, 48) if STAND_IN else (16384, 3072)
    x, total = events.drawn((rows, width), "bfloat16", on, 0), on.xp.zeros(width, np.float32)
    ours = Operations()
    times = {
        "sum over rows, CuPy, ms": events.measure([lambda: x.astype(np.float32).sum(axis=0)], REPEATS, on),
        "sum over rows, ours, ms": events.measure([lambda: ours.add_column_sums(x, total)], REPEATS, on),
        "bfloat16 add, ms": events.measure([lambda: x + x], REPEATS, on),
    }
    try:
        said = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    print(said)
    return {
        "device": events.device_name(on),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "versions": versions(),
        "ceilings": {name: c._asdict() for name, c in ceilings(on, "bfloat16").items()},
        "times": {name: time.median for name, time in times.items()} | {"bytes of an add": 3 * x.nbytes},
    }


def attention(dtype: str, only: tuple[str, ...]) -> dict[str, Any]:
    """Rungs of the ladder against PyTorch's two kernels."""
    on = backend()
    settings: dict[str, Any] = {"causal": True, "repeats": REPEATS, "ceilings": ceilings(on, dtype)}
    result: dict[str, Any] = {}
    for shape in SHAPES:
        rows = {
            c.name: bench_shape(c, on, shape, dtype, **settings)
            for c in contestants(on, shape, dtype)
            if c.name in only
        }
        if dtype == "bfloat16" and not STAND_IN:
            for kernel in ("FLASH_ATTENTION", "CUDNN_ATTENTION"):
                rows[f"torch {kernel.lower()}"] = bench_torch(on, shape, dtype, **settings, kernel=kernel)
        result[str(shape)] = rows
    return {"dtype": dtype, "shapes": result}


def step(against: tuple[str, ...]) -> dict[str, Any]:
    on = backend()
    limits, result = ceilings(on, "bfloat16"), {}
    for name in ("G", "M"):
        opponents = () if STAND_IN else against
        result[name] = gpu_step.bench_gpu_step(
            name, on, "bfloat16", repeats=REPEATS, against=opponents, ceilings=limits
        )
    return {"dtype": "bfloat16", "shapes": result}


def one_step() -> dict[str, Any]:
    """For a profiler: two steps, the second of which compiles nothing."""
    make, _, _ = gpu_step.training_step(gpu_step.GPU_SHAPES["G"], backend(), "bfloat16")
    make()
    make()
    return {}


def one_attention() -> dict[str, Any]:
    """For a profiler or sanitizer: forward and backward once."""
    on = backend()
    rung = next(c for c in contestants(on, SHAPES[0], "bfloat16") if c.name == "cuda:mma").implementation
    q, k, v, dy = (events.drawn(tuple(SHAPES[0][i] for i in (0, 2, 1, 3)), "bfloat16", on, seed) for seed in range(4))
    rung.attention_backward(dy, rung.attention_forward(q, k, v)[1])
    on.synchronize()
    return {}


STAGES = {
    "machine": machine,
    "attention": lambda: attention("bfloat16", ("cuda:mma",)),
    "attention32": lambda: attention("float32", ("cuda:naive", "cuda:tiled", "cuda:flash", "cuda:mma")),
    "step": lambda: step(("torch",)),
    "compiled": lambda: step(("torch-compile",)),
    "one-step": one_step,
    "one-attention": one_attention,
}


def main(name: str) -> None:
    result = STAGES[name]()
    if result:
        text = json.dumps(result, indent=1)
        Path(os.environ.get("OUT", "."), f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main(sys.argv[1])
