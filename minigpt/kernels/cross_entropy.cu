// Softmax cross-entropy over a vocabulary, forward and backward, a block for each row of V logits.
//
// What it changes from array operations: the forward pass reads the logits once and keeps two numbers a row, not a second
// array of probabilities (at V = 50257 the largest array of a step); the backward pass writes dz over the logits
// themselves if it is told to. What moves: the logits once forward; once each way backward. What limits it: memory.
//
//     L = Σ_n (log Σ_c exp(z_c) − Σ_c q_c z_c)/N,  q = 1 − ε at the target and ε/(V − 1) elsewhere
//     dz = (softmax(z) − q)/N · dL, 0 where the target is to be ignored
#include "element.cuh"
#define THREADS 256
#define IGNORE -100

// f(column, value) for every number of a block's row, 16 bytes a thread at a time; V may be odd, so that rows do not begin
// at multiples of 16 bytes: some numbers at both ends are taken one by one. What f returns goes to `to`, if that is given.
template <class F>
__device__ __forceinline__ void each_in_row(const element* rows, element* to, int width, F f) {
  const long long start = (long long)blockIdx.x * width;
  const int left = (int)((PACK - start % PACK) % PACK), head = left < width ? left : width;
  const int packs = (width - head) / PACK, tail = head + packs * PACK;
  for (int c = threadIdx.x; c < head + width - tail; c += THREADS) {
    const int at = c < head ? c : c - head + tail;
    const real y = f(at, widen(rows[start + at]));
    if (to) to[start + at] = narrow(y);
  }
#pragma unroll 2
  for (int k = threadIdx.x; k < packs; k += THREADS) {
    const int at = head + k * PACK;
    real x[PACK];
    load(x, rows + start + at);
#pragma unroll
    for (int i = 0; i < PACK; ++i) x[i] = f(at + i, x[i]);
    if (to) store(to + start + at, x);
  }
}

// cost: (N,) of each row, 0 where ignored; lse: (N,) log Σ exp, for the backward pass.
extern "C" __global__ void __launch_bounds__(THREADS)
cross_entropy_forward(const element* logits, const long long* targets, real* cost, real* lse, int classes,
                      real smoothing) {
  __shared__ real scratch[THREADS / 32];
  // One pass: each thread keeps its own maximum and the sum of exponentials below it.
  real top = LOWEST, sum = 0, total = 0;
  each_in_row(logits, nullptr, classes, [&](int, real x) {
    total += x;
    if (x > top) {
      sum = sum * REAL(exp)(top - x) + 1;
      top = x;
    } else {
      sum += REAL(exp)(x - top);
    }
    return x;
  });
  const real largest = block_max(top, scratch);
  sum = block_sum(sum * REAL(exp)(top - largest), scratch);
  const real all = smoothing ? block_sum(total, scratch) : (real)0;
  if (threadIdx.x) return;
  const long long y = targets[blockIdx.x];
  const real log_sum = largest + REAL(log)(sum);
  lse[blockIdx.x] = log_sum;
  if (y == IGNORE) {
    cost[blockIdx.x] = 0;
    return;
  }
  const real at = widen(logits[(long long)blockIdx.x * classes + y]);
  const real others = smoothing ? (all - at) / (classes - 1) : (real)0;  // mean logit of the other classes
  cost[blockIdx.x] = log_sum - (1 - smoothing) * at - smoothing * others;
}

// dz may be the logits themselves. factor: dL/N.
extern "C" __global__ void __launch_bounds__(THREADS)
cross_entropy_backward(const element* logits, const long long* targets, const real* lse, element* dz, int classes,
                       real smoothing, real factor) {
  const long long y = targets[blockIdx.x];
  const real elsewhere = smoothing ? smoothing / (classes - 1) : (real)0, l = lse[blockIdx.x];
  each_in_row(logits, dz, classes, [&](int c, real z) {
    const real q = c == y ? 1 - smoothing : elsewhere;
    return y == IGNORE ? (real)0 : (REAL(exp)(z - l) - q) * factor;
  });
}
