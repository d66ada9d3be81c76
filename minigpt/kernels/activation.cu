// GELU in its tanh form (GPT) and with erf (BERT, BART), forward and backward; a bias on the way, if there is one.
//
// What it changes from array operations: one pass over memory instead of about eight, and only x is kept: tanh and erf
// are worked out again in the backward pass, which costs nothing beside reading them. With a bias x is what the matrix
// product gave; x + b is never written but added again, and the gradient of b is summed where dx is written. What moves:
// x and y, then x, dy and dx. What limits it: memory.
#include "element.cuh"
#define THREADS 256

#define TANH_SCALE ((real)0.7978845608028654)    // √(2/π)
#define TANH_CUBIC ((real)0.044715)
#define SQRT_HALF ((real)0.7071067811865476)     // √½
#define NORMAL_SCALE ((real)0.3989422804014327)  // 1/√(2π)

template <bool ERF>
__device__ __forceinline__ real gelu(real a) {
  if (ERF) return a * ((real)0.5 * (1 + REAL(erf)(a * SQRT_HALF)));                                  // x Φ(x)
  return (real)0.5 * a * (1 + REAL(tanh)(TANH_SCALE * a * (1 + TANH_CUBIC * a * a)));               // ½ x (1 + tanh u)
}
template <bool ERF>
__device__ __forceinline__ real gelu_slope(real a) {
  if (ERF) {
    const real cdf = (real)0.5 * (1 + REAL(erf)(a * SQRT_HALF));
    return cdf + a * NORMAL_SCALE * REAL(exp)((real)-0.5 * a * a);  // Φ + x φ
  }
  const real t = REAL(tanh)(TANH_SCALE * a * (1 + TANH_CUBIC * a * a));
  const real du = TANH_SCALE * (1 + 3 * TANH_CUBIC * a * a);
  return (real)0.5 * (1 + t) + (real)0.5 * a * (1 - t * t) * du;
}

// x and y are (rows, width).
template <bool ERF>
__device__ __forceinline__ void forward(const element* x, const real* bias, element* y, long long rows, int width) {
  real b[PACK];
  own_bias(b, bias, width);
  own_columns(rows, width, [&](long long at) {
    real a[PACK];
    load(a, x + at);
#pragma unroll
    for (int i = 0; i < PACK; ++i) a[i] = gelu<ERF>(a[i] + b[i]);
    store(y + at, a);
  });
}
// partial: null, or (gridDim.y, width), this block's part of Σ_n dx.
template <bool ERF>
__device__ __forceinline__ void backward(const element* dy, const element* x, const real* bias, element* dx,
                                         real* partial, long long rows, int width) {
  real sum[PACK] = {}, b[PACK];
  own_bias(b, bias, width);
  own_columns(rows, width, [&](long long at) {
    real a[PACK], d[PACK];
    load(a, x + at);
    load(d, dy + at);
#pragma unroll
    for (int i = 0; i < PACK; ++i) {
      d[i] = widen(narrow(d[i] * gelu_slope<ERF>(a[i] + b[i])));  // as stored, for its sum is of what is stored
      sum[i] += d[i];
    }
    store(dx + at, d);
  });
  if (partial) store_partial(partial, width, sum);
}

extern "C" __global__ void __launch_bounds__(THREADS)
gelu_tanh_forward(const element* x, const real* bias, element* y, long long rows, int width) {
  forward<false>(x, bias, y, rows, width);
}
extern "C" __global__ void __launch_bounds__(THREADS)
gelu_tanh_backward(const element* dy, const element* x, const real* bias, element* dx, real* partial, long long rows,
                   int width) {
  backward<false>(dy, x, bias, dx, partial, rows, width);
}
extern "C" __global__ void __launch_bounds__(THREADS)
gelu_erf_forward(const element* x, const real* bias, element* y, long long rows, int width) {
  forward<true>(x, bias, y, rows, width);
}
extern "C" __global__ void __launch_bounds__(THREADS)
gelu_erf_backward(const element* dy, const element* x, const real* bias, element* dx, real* partial, long long rows,
                  int width) {
  backward<true>(dy, x, bias, dx, partial, rows, width);
}
