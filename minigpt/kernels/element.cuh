// The number type that a kernel reads and writes, and the one that it computes in.
//
// Compiled once for each type, with one of -DELEMENT_FLOAT64, _FLOAT32, _BFLOAT16, _FLOAT16. Sixteen-bit numbers are
// kept as their bits, so no CUDA header is needed; sums are in float32, or in float64 for float64.
#pragma once
#include "ptx.cuh"
#if defined(ELEMENT_FLOAT64)
typedef double element;
typedef double real;
#elif defined(ELEMENT_FLOAT32)
typedef float element;
typedef float real;
#else
typedef u16 element;
typedef float real;
#endif

// element to real and back.
__device__ __forceinline__ real widen(element x) {
#if defined(ELEMENT_BFLOAT16)
  return from_bf16(x);
#elif defined(ELEMENT_FLOAT16)
  return from_fp16(x);
#else
  return x;
#endif
}
__device__ __forceinline__ element narrow(real x) {
#if defined(ELEMENT_BFLOAT16)
  return (u16)pack_bf16(x, 0.f);
#elif defined(ELEMENT_FLOAT16)
  return (u16)pack_fp16(x, 0.f);
#else
  return x;
#endif
}

// Neighbours in memory that a thread loads at a time: 16 bytes, or one number where arrays are not cut or aligned so.
#ifndef PACK
#define PACK (16 / (int)sizeof(element))
#endif
struct alignas(PACK * sizeof(element)) Packed {
  element x[PACK];
};
__device__ __forceinline__ void load(real (&x)[PACK], const element* from) {
  const Packed packed = *reinterpret_cast<const Packed*>(from);
#pragma unroll
  for (int i = 0; i < PACK; ++i) x[i] = widen(packed.x[i]);
}
__device__ __forceinline__ void store(element* to, const real (&x)[PACK]) {
  Packed packed;
#pragma unroll
  for (int i = 0; i < PACK; ++i) packed.x[i] = narrow(x[i]);
  *reinterpret_cast<Packed*>(to) = packed;
}
// The columns that a thread owns in a matrix of `width` of them (a multiple of PACK), in every gridDim.y-th row: f is
// called with the number of the first element of each pack. Sums that a thread makes so have one fixed order.
template <class F>
__device__ __forceinline__ void own_columns(long long rows, int width, F f) {
  const int c = (blockIdx.x * blockDim.x + threadIdx.x) * PACK;
  if (c >= width) return;
#pragma unroll 4
  for (long long n = blockIdx.y; n < rows; n += gridDim.y) f(n * width + c);
}
// The bias (it may be null) of the columns that a thread owns.
__device__ __forceinline__ void own_bias(real (&b)[PACK], const real* bias, int width) {
  const int c = (blockIdx.x * blockDim.x + threadIdx.x) * PACK;
#pragma unroll
  for (int i = 0; i < PACK; ++i) b[i] = bias && c < width ? bias[c + i] : (real)0;
}
// The columns that a thread owns in a block's part of sums over rows: partial is (gridDim.y, width).
__device__ __forceinline__ void store_partial(real* partial, int width, const real (&sum)[PACK]) {
  const int c = (blockIdx.x * blockDim.x + threadIdx.x) * PACK;
  if (c >= width) return;
#pragma unroll
  for (int i = 0; i < PACK; ++i) partial[blockIdx.y * (long long)width + c + i] = sum[i];
}

// The functions of <math.h>, in real's precision.
#if defined(ELEMENT_FLOAT64)
#define REAL(function) function
#define LOWEST -1.7976931348623157e308
#else
#define REAL(function) function##f
#define LOWEST -3.402823466e38f
#endif

// Sums and maxima over all threads of a block (a multiple of 32 of them), in an order that never changes; every thread
// gets the result. `scratch` has room for one number a warp.
__device__ __forceinline__ real block_sum(real x, real* scratch) {
#pragma unroll
  for (int other = 16; other; other /= 2) x += __shfl_xor_sync(0xffffffffu, x, other);
  __syncthreads();  // whoever still reads the last result
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  real total = 0;
  for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) total += scratch[warp];
  return total;
}
__device__ __forceinline__ real block_max(real x, real* scratch) {
#pragma unroll
  for (int other = 16; other; other /= 2) {
    const real y = __shfl_xor_sync(0xffffffffu, x, other);
    x = y > x ? y : x;
  }
  __syncthreads();  // whoever still reads the last result
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  real top = scratch[0];
  for (int warp = 1; warp < (int)blockDim.x / 32; ++warp) top = scratch[warp] > top ? scratch[warp] : top;
  return top;
}
