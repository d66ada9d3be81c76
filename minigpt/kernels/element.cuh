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
