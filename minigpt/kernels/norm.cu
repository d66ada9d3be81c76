// LayerNorm and RMSNorm, forward and backward, a block for each row of C features.
//
// What it changes from array operations: a row is read once, 16 bytes a thread, and stays in registers while everything
// about it is worked out; array operations pass over memory five to ten times. What is kept for the backward pass is x
// itself and two numbers a row, not a second array x̂. A residual sum is made by the norm that reads it, and the residual's
// gradient is added where dx is written. What moves: x and y (of a sum x, the residual, the sum and y), then x, dy, the
// residual's gradient and dx. What limits it: memory.
//
//     y = γ x̂ + β,  x̂ = (x − μ)/σ                               (RMSNorm: μ = 0 and no β)
//     dx = (g − mean(g) − x̂ mean(g x̂))/σ  with g = γ dy          (RMSNorm: without mean(g))
//     dγ = Σ_n dy x̂,  dβ = Σ_n dy
// The sums over rows are made in two stages, both in a fixed order: the same bits every time, unlike atomic additions.
// The second stage is add_sums of columns.cu.
#include "residual.cuh"
#define MOST 512  // threads in a block
#ifndef PACKS     // packs of a row that a thread owns
#define PACKS 1
#endif
#define COLUMN(j) (((j) * (int)blockDim.x + (int)threadIdx.x) * PACK)  // where its j-th begins

// read(v, c): the row's numbers from column c on.
template <bool CENTRED, class Read>
__device__ __forceinline__ void norm_forward(Read read, const real* gain, const real* bias, element* y, real* mean,
                                             real* inverse, int width, real eps) {
  __shared__ real scratch[MOST / 32];
  const long long start = (long long)blockIdx.x * width;
  real v[PACKS][PACK], sum = 0, squares = 0;
#pragma unroll
  for (int j = 0; j < PACKS; ++j) {
    const int c = COLUMN(j);
    if (c >= width) continue;
    read(v[j], c);
#pragma unroll
    for (int i = 0; i < PACK; ++i) sum += v[j][i];
  }
  const real mu = CENTRED ? block_sum(sum, scratch) / width : (real)0;
#pragma unroll
  for (int j = 0; j < PACKS; ++j)
    if (COLUMN(j) < width)
#pragma unroll
      for (int i = 0; i < PACK; ++i) {
        v[j][i] -= mu;
        squares += v[j][i] * v[j][i];  // of the centred values: mean(x²) − μ² would cancel
      }
  const real r = 1 / REAL(sqrt)(block_sum(squares, scratch) / width + eps);
#pragma unroll
  for (int j = 0; j < PACKS; ++j) {
    const int c = COLUMN(j);
    if (c >= width) continue;
#pragma unroll
    for (int i = 0; i < PACK; ++i) v[j][i] = v[j][i] * r * gain[c + i] + (bias ? bias[c + i] : (real)0);
    store(y + start + c, v[j]);
  }
  if (threadIdx.x == 0) {
    if (CENTRED) mean[blockIdx.x] = mu;
    inverse[blockIdx.x] = r;
  }
}

// The row of a plain array.
struct Row {
  const element* start;
  __device__ __forceinline__ void operator()(real (&v)[PACK], int c) const { load(v, start + c); }
};
__device__ __forceinline__ Row row_of(const element* x, int width) { return {x + blockIdx.x * (long long)width}; }

// The row of a residual sum, which is written to `total` (it may be x) and normalised as the backward pass will read it.
struct SummedRow {
  const element* x;
  element* total;
  Residual sum;
  long long start;
  __device__ __forceinline__ void operator()(real (&v)[PACK], int c) const {
    real b[PACK] = {};
    if (sum.bias)
#pragma unroll
      for (int i = 0; i < PACK; ++i) b[i] = sum.bias[c + i];
    load(v, x + start + c);
    add_residual(v, b, start + c, sum);
    store(total + start + c, v);
#pragma unroll
    for (int i = 0; i < PACK; ++i) v[i] = widen(narrow(v[i]));
  }
};

// A block takes every gridDim.x-th row. plus: null, or what dx is added to. partial: (gridDim.x, 2, C), this block's part
// of dγ and dβ.
template <bool CENTRED>
__device__ __forceinline__ void norm_backward(const element* dy, const element* x, const real* gain, const real* mean,
                                              const real* inverse, const element* plus, element* dx, real* partial,
                                              long long rows, int width) {
  __shared__ real scratch[MOST / 32];
  real dgain[PACKS][PACK] = {}, dbias[PACKS][PACK] = {};
  for (long long n = blockIdx.x; n < rows; n += gridDim.x) {
    const real mu = CENTRED ? mean[n] : (real)0, r = inverse[n];
    real g[PACKS][PACK], normalized[PACKS][PACK], sum = 0, product = 0;
#pragma unroll
    for (int j = 0; j < PACKS; ++j) {
      const int c = COLUMN(j);
      if (c >= width) continue;
      load(g[j], dy + n * width + c);
      load(normalized[j], x + n * width + c);
#pragma unroll
      for (int i = 0; i < PACK; ++i) {
        normalized[j][i] = (normalized[j][i] - mu) * r;
        dgain[j][i] += g[j][i] * normalized[j][i];
        dbias[j][i] += g[j][i];
        g[j][i] *= gain[c + i];
        sum += g[j][i];
        product += g[j][i] * normalized[j][i];
      }
    }
    const real mean_g = CENTRED ? block_sum(sum, scratch) / width : (real)0;
    const real mean_product = block_sum(product, scratch) / width;
#pragma unroll
    for (int j = 0; j < PACKS; ++j) {
      const int c = COLUMN(j);
      if (c >= width) continue;
      real before[PACK] = {};
      if (plus) load(before, plus + n * width + c);
#pragma unroll
      for (int i = 0; i < PACK; ++i) g[j][i] = before[i] + (g[j][i] - mean_g - normalized[j][i] * mean_product) * r;
      store(dx + n * width + c, g[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < PACKS; ++j)
    if (COLUMN(j) < width)
#pragma unroll
      for (int i = 0; i < PACK; ++i) {
        partial[2 * blockIdx.x * (long long)width + COLUMN(j) + i] = dgain[j][i];
        partial[(2 * blockIdx.x + 1) * (long long)width + COLUMN(j) + i] = dbias[j][i];
      }
}

extern "C" __global__ void __launch_bounds__(MOST)
layernorm_forward(const element* x, const real* gain, const real* bias, element* y, real* mean, real* inverse,
                  int width, real eps) {
  norm_forward<true>(row_of(x, width), gain, bias, y, mean, inverse, width, eps);
}
extern "C" __global__ void __launch_bounds__(MOST)
rmsnorm_forward(const element* x, const real* gain, element* y, real* inverse, int width, real eps) {
  norm_forward<false>(row_of(x, width), gain, nullptr, y, nullptr, inverse, width, eps);
}
extern "C" __global__ void __launch_bounds__(MOST)
layernorm_sum_forward(const element* x, const real* shift, const element* residual, const u64* states, element* total,
                      long long entries, long long first, unsigned drop_below, real keep, const real* gain,
                      const real* bias, element* y, real* mean, real* inverse, int width, real eps) {
  const Residual sum = {shift, residual, states, entries, first, drop_below, keep};
  const SummedRow row = {x, total, sum, blockIdx.x * (long long)width};
  norm_forward<true>(row, gain, bias, y, mean, inverse, width, eps);
}
extern "C" __global__ void __launch_bounds__(MOST)
rmsnorm_sum_forward(const element* x, const real* shift, const element* residual, const u64* states, element* total,
                    long long entries, long long first, unsigned drop_below, real keep, const real* gain, element* y,
                    real* inverse, int width, real eps) {
  const Residual sum = {shift, residual, states, entries, first, drop_below, keep};
  const SummedRow row = {x, total, sum, blockIdx.x * (long long)width};
  norm_forward<false>(row, gain, nullptr, y, nullptr, inverse, width, eps);
}
extern "C" __global__ void __launch_bounds__(MOST)
layernorm_backward(const element* dy, const element* x, const real* gain, const real* mean, const real* inverse,
                   const element* plus, element* dx, real* partial, long long rows, int width) {
  norm_backward<true>(dy, x, gain, mean, inverse, plus, dx, partial, rows, width);
}
extern "C" __global__ void __launch_bounds__(MOST)
rmsnorm_backward(const element* dy, const element* x, const real* gain, const real* inverse, const element* plus,
                 element* dx, real* partial, long long rows, int width) {
  norm_backward<false>(dy, x, gain, nullptr, inverse, plus, dx, partial, rows, width);
}
