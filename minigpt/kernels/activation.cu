// GELU in its tanh form (GPT) and with erf (BERT, BART), forward and backward, a thread for each number.
//
// What it changes from array operations: one pass over memory instead of about eight, and only x is kept: tanh and erf
// are worked out again in the backward pass, which costs nothing beside reading them. What moves: x and y, then x, dy
// and dx. What limits it: memory.
#include "element.cuh"
#define THREADS 256

#define TANH_SCALE ((real)0.7978845608028654)    // √(2/π)
#define TANH_CUBIC ((real)0.044715)
#define SQRT_HALF ((real)0.7071067811865476)     // √½
#define NORMAL_SCALE ((real)0.3989422804014327)  // 1/√(2π)
#define NUMBER (blockIdx.x * (long long)THREADS + threadIdx.x)

extern "C" __global__ void __launch_bounds__(THREADS)
gelu_tanh_forward(const element* x, element* y, long long size) {
  const long long i = NUMBER;
  if (i >= size) return;
  const real a = widen(x[i]), t = REAL(tanh)(TANH_SCALE * a * (1 + TANH_CUBIC * a * a));
  y[i] = narrow((real)0.5 * a * (1 + t));  // ½ x (1 + tanh u)
}
extern "C" __global__ void __launch_bounds__(THREADS)
gelu_tanh_backward(const element* dy, const element* x, element* dx, long long size) {
  const long long i = NUMBER;
  if (i >= size) return;
  const real a = widen(x[i]), t = REAL(tanh)(TANH_SCALE * a * (1 + TANH_CUBIC * a * a));
  const real du = TANH_SCALE * (1 + 3 * TANH_CUBIC * a * a);
  dx[i] = narrow(widen(dy[i]) * ((real)0.5 * (1 + t) + (real)0.5 * a * (1 - t * t) * du));
}
extern "C" __global__ void __launch_bounds__(THREADS)
gelu_erf_forward(const element* x, element* y, long long size) {
  const long long i = NUMBER;
  if (i >= size) return;
  const real a = widen(x[i]);
  y[i] = narrow(a * ((real)0.5 * (1 + REAL(erf)(a * SQRT_HALF))));  // x Φ(x)
}
extern "C" __global__ void __launch_bounds__(THREADS)
gelu_erf_backward(const element* dy, const element* x, element* dx, long long size) {
  const long long i = NUMBER;
  if (i >= size) return;
  const real a = widen(x[i]), cdf = (real)0.5 * (1 + REAL(erf)(a * SQRT_HALF));
  dx[i] = narrow(widen(dy[i]) * (cdf + a * NORMAL_SCALE * REAL(exp)((real)-0.5 * a * a)));  // Φ + x φ
}
