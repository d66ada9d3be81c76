// What ends a sub-layer: residual + m (x + b), with dropout's multipliers m drawn where they are used.
#pragma once
#include "element.cuh"
typedef unsigned long long u64;

// m for one entry: SplitMix64 on a counter, one 64-bit draw for two entries. `state` is where its batch row starts.
__device__ __forceinline__ real multiplier(u64 state, u64 entry, unsigned drop_below, real keep) {
  u64 z = state + (entry >> 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z ^= z >> 31;
  return (unsigned)(entry & 1 ? z >> 32 : z) < drop_below ? (real)0 : keep;
}

// How a sum is made: any of the three pointers may be null, and without states nothing is dropped. Each `entries`
// numbers are one row of the batch, whose entries count from `first`.
struct Residual {
  const real* bias;
  const element* residual;
  const u64* states;
  long long entries, first;
  unsigned drop_below;
  real keep;
};

// a, which is x, becomes the sum, of PACK neighbours the first of which is number `at` of all; b is their bias.
__device__ __forceinline__ void add_residual(real (&a)[PACK], const real (&b)[PACK], long long at, const Residual& s) {
  real before[PACK] = {};
  if (s.residual) load(before, s.residual + at);
  const u64 state = s.states ? s.states[at / s.entries] : 0, entry = s.first + at % s.entries;
#pragma unroll
  for (int i = 0; i < PACK; ++i) {
    const real m = s.states ? multiplier(state, entry + i, s.drop_below, s.keep) : (real)1;
    a[i] = before[i] + m * (a[i] + b[i]);
  }
}
