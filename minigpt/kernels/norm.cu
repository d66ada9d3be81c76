// LayerNorm and RMSNorm, forward and backward, a block for each row of C features.
//
// What it changes from array operations: a row is read once and everything about it is worked out on the chip; array
// operations pass over memory five to ten times. What is kept for the backward pass is x itself and two numbers a row,
// not a second array x̂. What moves: x and y, then x, dy and dx. What limits it: memory.
//
//     y = γ x̂ + β,  x̂ = (x − μ)/σ                               (RMSNorm: μ = 0 and no β)
//     dx = (g − mean(g) − x̂ mean(g x̂))/σ  with g = γ dy          (RMSNorm: without mean(g))
//     dγ = Σ_n dy x̂,  dβ = Σ_n dy
// The sums over rows are made in two stages, both in a fixed order: the same bits every time, unlike atomic additions.
#include "common.cuh"
#include "element.cuh"
#define THREADS 256

template <bool CENTRED>
__device__ __forceinline__ void norm_forward(const element* x, const real* gain, const real* bias, element* y,
                                             real* mean, real* inverse, int width, real eps) {
  DYNAMIC_SHARED(real, row);  // the row, in real's precision
  __shared__ real scratch[THREADS / 32];
  x += (long long)blockIdx.x * width, y += (long long)blockIdx.x * width;
  real sum = 0;
  for (int c = threadIdx.x; c < width; c += THREADS) sum += row[c] = widen(x[c]);
  const real mu = CENTRED ? block_sum(sum, scratch) / width : (real)0;
  real squares = 0;  // of the centred values: mean(x²) − μ² would cancel
  for (int c = threadIdx.x; c < width; c += THREADS) squares += (row[c] - mu) * (row[c] - mu);
  const real r = 1 / REAL(sqrt)(block_sum(squares, scratch) / width + eps);
  for (int c = threadIdx.x; c < width; c += THREADS)
    y[c] = narrow((row[c] - mu) * r * gain[c] + (bias ? bias[c] : (real)0));
  if (threadIdx.x == 0) {
    if (CENTRED) mean[blockIdx.x] = mu;
    inverse[blockIdx.x] = r;
  }
}

template <bool CENTRED>
__device__ __forceinline__ void norm_backward(const element* dy, const element* x, const real* gain, const real* mean,
                                              const real* inverse, element* dx, int width) {
  DYNAMIC_SHARED(real, shared);
  real* g = shared;               // γ dy
  real* normalized = g + width;   // x̂
  __shared__ real scratch[THREADS / 32];
  const long long start = (long long)blockIdx.x * width;
  const real mu = CENTRED ? mean[blockIdx.x] : (real)0, r = inverse[blockIdx.x];
  real sum = 0, product = 0;
  for (int c = threadIdx.x; c < width; c += THREADS) {
    g[c] = widen(dy[start + c]) * gain[c];
    normalized[c] = (widen(x[start + c]) - mu) * r;
    sum += g[c];
    product += g[c] * normalized[c];
  }
  const real mean_g = CENTRED ? block_sum(sum, scratch) / width : (real)0;
  const real mean_product = block_sum(product, scratch) / width;
  for (int c = threadIdx.x; c < width; c += THREADS)
    dx[start + c] = narrow((g[c] - mean_g - normalized[c] * mean_product) * r);
}

extern "C" __global__ void __launch_bounds__(THREADS)
layernorm_forward(const element* x, const real* gain, const real* bias, element* y, real* mean, real* inverse,
                  int width, real eps) {
  norm_forward<true>(x, gain, bias, y, mean, inverse, width, eps);
}
extern "C" __global__ void __launch_bounds__(THREADS)
rmsnorm_forward(const element* x, const real* gain, element* y, real* inverse, int width, real eps) {
  norm_forward<false>(x, gain, nullptr, y, nullptr, inverse, width, eps);
}
extern "C" __global__ void __launch_bounds__(THREADS)
layernorm_backward(const element* dy, const element* x, const real* gain, const real* mean, const real* inverse,
                   element* dx, int width) {
  norm_backward<true>(dy, x, gain, mean, inverse, dx, width);
}
extern "C" __global__ void __launch_bounds__(THREADS)
rmsnorm_backward(const element* dy, const element* x, const real* gain, const real* inverse, element* dx, int width) {
  norm_backward<false>(dy, x, gain, nullptr, inverse, dx, width);
}

// First stage of dγ and dβ: block (i, j) sums column block i over the j-th part of the rows. partial is (parts, 2, C);
// mean is null for RMSNorm, whose second half nobody reads.
extern "C" __global__ void __launch_bounds__(THREADS)
norm_partial_sums(const element* dy, const element* x, const real* mean, const real* inverse, real* partial,
                  long long rows, int width) {
  const int c = blockIdx.x * THREADS + threadIdx.x;
  if (c >= width) return;
  const long long first = rows * blockIdx.y / gridDim.y, last = rows * (blockIdx.y + 1) / gridDim.y;
  real dgain = 0, dbias = 0;
  for (long long n = first; n < last; ++n) {
    const real g = widen(dy[n * width + c]);
    dgain += g * ((widen(x[n * width + c]) - (mean ? mean[n] : (real)0)) * inverse[n]);
    dbias += g;
  }
  partial[(2 * blockIdx.y) * (long long)width + c] = dgain;
  partial[(2 * blockIdx.y + 1) * (long long)width + c] = dbias;
}
// Second stage: added to what the gradients hold. dbias may be null.
extern "C" __global__ void __launch_bounds__(THREADS)
norm_add_sums(const real* partial, real* dgain, real* dbias, int parts, int width) {
  const int c = blockIdx.x * THREADS + threadIdx.x;
  if (c >= width) return;
  real a = 0, b = 0;
  for (int part = 0; part < parts; ++part) {
    a += partial[(2 * part) * (long long)width + c];
    b += partial[(2 * part + 1) * (long long)width + c];
  }
  dgain[c] += a;
  if (dbias) dbias[c] += b;
}
