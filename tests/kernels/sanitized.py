"""The tensor-core and fused kernels once each, for a process that runs under a sanitizer (see test_sanitized.py)."""

import sys
from unittest import mock

import ml_dtypes
import numpy as np

from minigpt.kernels import launch, mma
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.fused import operations_table
from minigpt.kernels.mma import Mma, Tiles
from minigpt.kernels.source import read_source

from . import fused_checks, test_mma

CASES = {  # on shapes that tiles do not divide; every number type, both ways to dQ
    "bfloat16": {"dtype": "bfloat16", "d": 48, "shape": "cross", "mask": "two-sided", "dropout": 0.3, "fused": True},
    "float16": {"dtype": "float16", "d": 16, "shape": "grouped", "mask": "causal", "dropout": 0.0, "fused": True},
    "tf32": {"dtype": "tf32", "d": 16, "shape": "cross-long", "mask": "padded", "dropout": 0.0, "fused": False},
    "atomic": {"dtype": "bfloat16", "d": 16, "shape": "self", "mask": "banded", "dropout": 0.0, "fused": False},
}
FAULTS = {  # a line of the kernels, and what to put in its place
    "missing-barrier": ("__syncthreads();  // everyone is done with this buffer before it is filled again", ""),
    "missing-wait": ("cp_async_wait<1>();\n    __syncthreads();", "__syncthreads();"),
    "missing-sync-after-wait": ("__syncthreads();  // everyone's copies of this tile have landed", ""),
}


def attend(case, emulation):
    (q, k, v, dy), settings = test_mma.draw(case)
    attention = Mma(emulation=emulation, atomic_dq=case is CASES["atomic"])
    y, cache = attention.attention_forward(q, k, v, **settings)
    return y, attention.attention_backward(dy, cache)


def faulty_forward(fault, emulation):
    """The output of the forward kernel with one line replaced, on several tiles of 16 keys."""
    old, new = FAULTS[fault]
    source = read_source("mma_forward.cu")
    assert source.count(old) == 1, old
    code = source.replace(old, new)
    (q, k, v, _), settings = test_mma.draw(CASES["float16"] | {"shape": "self", "mask": "none", "fused": False})
    with (
        mock.patch.object(mma, "module", lambda *args: launch.module(*args, code=code)),
        mock.patch.object(mma, "forward_tiles", lambda dtype, d: Tiles(1, 16)),
    ):
        return Mma(emulation=emulation).attention_forward(q, k, v, **settings)[0].astype(np.float64)


def main(sanitizer, what):
    emulation = Emulation("random:3", sanitizer)
    if what in FAULTS:
        faulty_forward(what, Emulation("descending-ahead", sanitizer))
        return
    for name, case in CASES.items():
        attend(case, emulation)
        print("clean", name)
    operations = operations_table(emulation=emulation)
    for i, name in enumerate(fused_checks.NAMES):
        dtype, width = (ml_dtypes.bfloat16, 304) if i % 3 == 0 else (np.float32, 301)
        fused_checks.run(operations, name, dtype, width=width)
        print("clean", name)


if __name__ == "__main__":
    main(*sys.argv[1:])
