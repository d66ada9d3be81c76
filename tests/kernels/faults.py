"""Faults planted into kernels, and a process that runs them under a sanitizer: `python -m tests.kernels.faults`.

Each is a mistake that people make. Half of them are small kernels, the others the flash kernel with one line taken out.
"""

import sys
from unittest import mock

import numpy as np

from minigpt.kernels import attention, launch
from minigpt.kernels.attention import Flash
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.source import read_source

from .attention_cases import RUNGS, draw, errors, run

SMALL = """
extern "C" __global__ void divergent_barrier(float* y) {
  if (threadIdx.x < 40) __syncthreads();
  else { y[0] = 1.f; __syncthreads(); }
}
extern "C" __global__ void early_exit(float* y) {
  if (threadIdx.x >= 100) return;
  __syncthreads();
  y[threadIdx.x] = 1.f;
}
extern "C" __global__ void half_warp_shuffle(float* y) {
  float v = threadIdx.x;
  if (threadIdx.x % 32 < 16) v += __shfl_xor_sync(0xffffffffu, v, 1);
  y[threadIdx.x] = v;
}
extern "C" __global__ void static_out_of_bounds(float* y) {
  __shared__ float s[4][32];
  s[threadIdx.x / 32][threadIdx.x % 32 + (threadIdx.x == 127)] = 1.f;
  __syncthreads();
  y[threadIdx.x] = s[0][threadIdx.x % 32];
}
extern "C" __global__ void misaligned(float* y) {
  float4* p = reinterpret_cast<float4*>(y + threadIdx.x);
  *p = make_float4(0.f, 0.f, 0.f, 0.f);
}
extern "C" __global__ void hidden_by_a_shuffle(float* y) {  // a shuffle lets lanes meet, but orders no memory
  DYNAMIC_SHARED(float, s);
  s[threadIdx.x] = threadIdx.x;
  const float one = __shfl_xor_sync(0xffffffffu, 1.f, 1);
  y[threadIdx.x] = one * s[threadIdx.x ^ 1];
}
extern "C" __global__ void unset_shared(float* y) {
  DYNAMIC_SHARED(float, s);
  if (threadIdx.x) s[threadIdx.x] = 1.f;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}
extern "C" __global__ void no_wait(float* y) {
  DYNAMIC_SHARED(float, s);
  cp_async16(s + 4 * threadIdx.x, y + 4 * threadIdx.x, true);
  cp_async_commit();
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}
extern "C" __global__ void refill_without_a_barrier(float* y) {
  DYNAMIC_SHARED(float, s);
  float sum = 0.f;
  for (int step = 0; step < 2; ++step) {
    cp_async16(s + 4 * threadIdx.x, y + 512 * step + 4 * threadIdx.x, true);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    sum += s[4 * (127 - threadIdx.x)];
    // missing: __syncthreads(), before this buffer is filled again
  }
  y[threadIdx.x] = sum;
}
"""
# D = A B on a tensor core, A (16, 16) and B (16, 8) in bfloat16.
PRODUCT = """
extern "C" __global__ void product(const u16* a, const u16* b, float* d) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  u32 x[4], y[2];
  for (int i = 0; i < 4; ++i) {
    const int row = g + 8 * (i & 1), column = 2 * t + 8 * (i >> 1);
    x[i] = a[16 * row + column] | (u32)a[16 * row + column + 1] << 16;
  }
  for (int i = 0; i < 2; ++i) y[i] = b[8 * (2 * t + 8 * i) + g] | (u32)b[8 * (2 * t + 8 * i + 1) + g] << 16;
  float c[4] = {};
  mma_bf16_16816(c, x, y);
  for (int i = 0; i < 4; ++i) d[8 * (g + 8 * (i >> 1)) + 2 * t + (i & 1)] = c[i];
}
"""


def small(name, emulation=Emulation()):  # noqa: B008
    """Run one of the small kernels; returns what it wrote."""
    y = np.zeros(1024, np.float32)
    compiled = launch.module("", {}, np, emulation, code=SMALL)
    compiled.launch(name, (1,), (128,), (y,), shared_mem=2048)
    return y


def edited_flash(old, new, emulation=Emulation()):  # noqa: B008
    """The largest error of the flash kernels with one line of theirs replaced."""
    source = read_source("flash.cu")
    assert source.count(old) == 1, old
    arrays, settings = draw({"shape": "self", "d": 24, "mask": "causal", "dropout": 0.0, "fused": False})
    code = source.replace(old, new)
    with mock.patch.object(attention, "module", lambda *args: launch.module(*args, code=code)):
        result = run(Flash(tile=16, emulation=emulation), arrays, settings)
    return max(errors(result, arrays, settings).values())


BARRIER = "__syncthreads();  // the probabilities are in"
LAST_LINE = "  store_rows(o + at(ov, place.b, 0, place.h)"
ONE_TOO_FAR = "  if (threadIdx.x == 0) ps[BR * PS] = 1.f;\n"

UNDER_A_SANITIZER = {
    "dynamic-out-of-bounds": lambda emulation: edited_flash(LAST_LINE, ONE_TOO_FAR + LAST_LINE, emulation),
    "missing-barrier": lambda emulation: edited_flash(BARRIER, "", emulation),
    **{
        name: lambda emulation, name=name: small(name, emulation)
        for name in ("static_out_of_bounds", "misaligned", "hidden_by_a_shuffle", "refill_without_a_barrier")
    },
}
CLEAN = [  # one for each rung, on shapes that tiles do not divide
    {"rung": "naive", "mask": "all", "shape": "cross", "d": 24, "dropout": 0.3, "fused": True},
    {"rung": "tiled", "mask": "causal-padded", "shape": "self", "d": 72, "dropout": 0.3, "fused": True},
    {"rung": "flash", "mask": "padded", "shape": "more-queries", "d": 24, "dropout": 0.3, "fused": True},
    {"rung": "flash-16", "mask": "two-sided", "shape": "self", "d": 24, "dropout": 0.0, "fused": False},
    {"rung": "flash-atomic", "mask": "causal", "shape": "cross", "d": 24, "dropout": 0.0, "fused": False},
]


def main(sanitizer, what):
    if what in UNDER_A_SANITIZER:
        UNDER_A_SANITIZER[what](Emulation("descending-ahead", sanitizer))
        return
    for case in CLEAN:
        arrays, settings = draw(case)
        run(RUNGS[case["rung"]](emulation=Emulation("random:3", sanitizer)), arrays, settings)
        print("clean", case["rung"])


if __name__ == "__main__":
    main(*sys.argv[1:])
