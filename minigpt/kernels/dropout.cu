// Dropout, with a bias and a residual sum on the way: y = residual + m (x + b), in the one kernel that writes y.
//
// What it changes from array operations: no array of multipliers is made or kept. Each is drawn where it is used, by the
// very generator of minigpt/ops/dropout.py, and drawn again in the backward pass. What moves: x, the residual and y once
// each. What limits it: memory; a draw for two numbers is a dozen integer operations.
#include "element.cuh"
#define THREADS 256
typedef unsigned long long u64;

// m for one entry: SplitMix64 on a counter, one 64-bit draw for two entries. `state` is where its batch row starts.
__device__ __forceinline__ real multiplier(u64 state, u64 entry, unsigned drop_below, real keep) {
  u64 z = state + (entry >> 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z ^= z >> 31;
  return (unsigned)(entry & 1 ? z >> 32 : z) < drop_below ? (real)0 : keep;
}

// x, y: (rows, width), of which each `entries / width` rows are one row of the batch, whose entries count from `first`.
// bias, residual and states may be null; without states nothing is dropped. y may be x.
extern "C" __global__ void __launch_bounds__(THREADS)
dropout(const element* x, const real* bias, const element* residual, const u64* states, element* y, long long rows,
        int width, long long entries, long long first, unsigned drop_below, real keep) {
  real b[PACK] = {};
  const int c = (blockIdx.x * blockDim.x + threadIdx.x) * PACK;
  if (bias && c < width)
#pragma unroll
    for (int i = 0; i < PACK; ++i) b[i] = bias[c + i];
  own_columns(rows, width, [&](long long at) {
    real a[PACK], before[PACK] = {};
    load(a, x + at);
    if (residual) load(before, residual + at);
    const u64 state = states ? states[at / entries] : 0, entry = first + at % entries;
#pragma unroll
    for (int i = 0; i < PACK; ++i) {
      const real m = states ? multiplier(state, entry + i, drop_below, keep) : (real)1;
      a[i] = before[i] + m * (a[i] + b[i]);
    }
    store(y + at, a);
  });
}
