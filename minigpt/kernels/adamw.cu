// AdamW on the flat buffer, all four variants (minigpt/train/optimizer.py derives them), a thread for each parameter.
//
// What it changes from array operations: one pass over p, g, m and v instead of about twelve, and the 16-bit copy of the
// new weights that the next step computes with is written on the way. What moves: 16 bytes read and 12 written a
// parameter, 2 more for the copy. What limits it: memory.
#include "element.cuh"
#define THREADS 256

// copy: the first `copied` of the new weights as elements (the matrices, which come first), or null. The first `decayed` parameters are multiplied with `keep` first.
// rest1, rest2: 1 − β₁ and 1 − β₂, which float32 could not work out from β exactly.
extern "C" __global__ void __launch_bounds__(THREADS)
adamw(real* p, const real* g, real* m, real* v, element* copy, long long size, long long copied,
      long long decayed, real scale,
      real beta1, real rest1, real beta2, real rest2, real rate, real eps, real keep) {
  const long long i = blockIdx.x * (long long)THREADS + threadIdx.x;
  if (i >= size) return;
  const real gradient = g[i] * scale;
  const real first = m[i] = beta1 * m[i] + rest1 * gradient;
  const real second = v[i] = beta2 * v[i] + rest2 * (gradient * gradient);
  const real value = (i < decayed ? keep * p[i] : p[i]) - rate * first / (REAL(sqrt)(second) + eps);
  p[i] = value;
  if (copy && i < copied) copy[i] = narrow(value);
}
