// cuda_on_cpu.h -- the words of CUDA C++ for an ordinary C++ compiler, so that the *same* kernel source runs on a CPU.
//
// What is modelled: indexing, shared memory (dynamic shared memory starts as NaN), barriers, warp shuffles and votes,
// atomics, and in ptx_on_cpu.h the tensor-core and asynchronous-copy instructions. What is not: speed, bank conflicts,
// occupancy, the GPU's weak memory order, races between blocks, and its approximate exp and log (the C library's are
// used). A kernel declares its dynamic shared memory with DYNAMIC_SHARED(type, name) (see common.cuh).
#pragma once
#define CUDA_ON_CPU 1
#include <cfloat>
#include <climits>
#include <cmath>

#include "fibers.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __shared__ static thread_local  // an OS thread runs one block at a time
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __align__(n) __attribute__((aligned(n)))

// ---- vector types -----------------------------------------------------------------------------------------------
struct dim3 { unsigned x, y, z; dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {} };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// ---- arithmetic -------------------------------------------------------------------------------------------------
COC_INLINE unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
COC_INLINE float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
COC_INLINE int __float_as_int(float f) { int i; memcpy(&i, &f, 4); return i; }
COC_INLINE float __int_as_float(int i) { float f; memcpy(&f, &i, 4); return f; }
#define __expf expf  // a macro, because the C library declares an __expf of its own
#define __logf logf
#define __log2f log2f
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline long long clock64() { static thread_local long long clocks; return clocks += 1 << 20; }  // no real one
template <class T> static inline T __ldg(const T* p) { return *p; }
using std::max;
using std::min;

// ---- where a thread is, and where it waits ----------------------------------------------------------------------
#define threadIdx (coc::current->tid)
#define blockIdx coc::block_idx
#define blockDim coc::block_dim
#define gridDim coc::grid_dim
#define warpSize 32
#define __syncthreads() coc::sync_block(__LINE__ | __COUNTER__ << 16)
#define __syncwarp(...) ((void)coc::sync_warp(0xffffffffu, "syncwarp", __LINE__, nullptr, 0))
#define __shfl_xor_sync(m, v, o) coc::shuffle((m), (v), coc::lane() ^ (o), 32, __LINE__)
#define __shfl_down_sync(m, v, o) coc::shuffle((m), (v), coc::lane() + (o), 32, __LINE__)
#define __shfl_up_sync(m, v, o) coc::shuffle((m), (v), coc::lane() - (o), 32, __LINE__)
#define __shfl_sync(m, v, s) coc::shuffle((m), (v), (int)((s) & 31), 32, __LINE__)
#define __ballot_sync(m, p) coc::ballot((m), (p), __LINE__)
#define __any_sync(m, p) (coc::ballot((m), (p), __LINE__) != 0)
#define __all_sync(m, p) (coc::ballot((m), !(p), __LINE__) == 0)
#define DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(coc::block->shared_start)

// ---- atomics: blocks of several OS threads may meet in global memory ---------------------------------------------
static inline float atomicAdd(float* p, float v) {
  unsigned *u = (unsigned*)p, old = __atomic_load_n(u, __ATOMIC_RELAXED), want;
  do want = __float_as_uint(__uint_as_float(old) + v);
  while (!__atomic_compare_exchange_n(u, &old, want, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return __uint_as_float(old);
}
static inline int atomicAdd(int* p, int v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
static inline unsigned atomicAdd(unsigned* p, unsigned v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
static inline unsigned atomicOr(unsigned* p, unsigned v) { return __atomic_fetch_or(p, v, __ATOMIC_RELAXED); }
static inline int atomicMax(int* p, int v) {
  int old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < v && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
static inline unsigned atomicCAS(unsigned* p, unsigned expected, unsigned v) {
  __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
