// ptx_on_cpu.h -- the instructions of ptx.cuh, spelled out: what each lane gives, and what each lane gets.
//
// The lanes of a warp meet in `sync_warp`, each with its registers, and then every lane computes its own part of the
// result from everybody's. A misreading of the PTX manual that a kernel shared with this file would go unnoticed here,
// so each instruction also has a test on a real GPU.
#pragma once
#include "cuda_on_cpu.h"

typedef uint32_t u32;
typedef uint16_t u16;

// ---- 16-bit numbers ---------------------------------------------------------------------------------------------
COC_INLINE float from_bf16(u16 x) { return __uint_as_float((u32)x << 16); }
COC_INLINE u16 to_bf16(float f) {  // to nearest, ties to even
  u32 u = __float_as_uint(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (u16)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}
COC_INLINE float from_fp16(u16 x) {
  u32 sign = (u32)(x & 0x8000) << 16, exponent = x >> 10 & 31, mantissa = x & 1023;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | mantissa << 13);
  if (exponent) return __uint_as_float(sign | (exponent + 112) << 23 | mantissa << 13);
  float small = (float)mantissa * 0x1p-24f;  // subnormal
  return sign ? -small : small;
}
COC_INLINE u16 to_fp16(float f) {  // to nearest, ties to even; too large becomes infinity
  u32 u = __float_as_uint(f), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7fff;
  if (magnitude >= 0x477ff000u) return (u16)(sign | 0x7c00);  // 65520 and above
  if (magnitude < 0x38800000u) {  // below 2^-14: count in units of 2^-24; adding 2^23 lets the FPU round
    volatile float rounded = __uint_as_float(magnitude) * 0x1p24f + 0x1p23f;
    return (u16)(sign | (__float_as_uint(rounded) - 0x4b000000u));
  }
  return (u16)(sign | (magnitude + 0xfffu + (magnitude >> 13 & 1) - 0x38000000u) >> 13);
}
COC_INLINE u32 pack_bf16(float lo, float hi) { return to_bf16(lo) | (u32)to_bf16(hi) << 16; }
COC_INLINE u32 pack_fp16(float lo, float hi) { return to_fp16(lo) | (u32)to_fp16(hi) << 16; }
COC_INLINE u32 to_tf32(float x) { return (__float_as_uint(x) + 0x1000u) & 0xffffe000u; }
COC_INLINE float fast_exp2(float x) { return exp2f(x); }

namespace coc {

// ---- D += A B on a tensor core ----------------------------------------------------------------------------------
struct Fragment { u32 a[4], b[2]; };
COC_INLINE const Fragment& fragment(Slots s, int of_lane) { return *(const Fragment*)s[of_lane]; }
COC_INLINE Slots give_fragment(const u32 (&a)[4], const u32 (&b)[2], int line) {
  Fragment f;
  for (int i = 0; i < 4; ++i) f.a[i] = a[i];
  for (int i = 0; i < 2; ++i) f.b[i] = b[i];
  return sync_warp(0xffffffffu, "mma", line, &f, sizeof f);
}
template <float (*FROM)(u16)> COC_NOSAN void mma_16bit(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2], int line) {
  Slots s = give_fragment(a, b, line);
  int g = lane() >> 2, t = lane() & 3;
  for (int i = 0; i < 4; ++i) {
    int row = g + 8 * (i >> 1), col = 2 * t + (i & 1);
    float sum = 0;
    for (int k = 0; k < 16; ++k) {
      u32 x = fragment(s, (row & 7) * 4 + (k & 7) / 2).a[(row >> 3) + 2 * (k >> 3)];  // holds A(row, k) in one half
      u32 y = fragment(s, col * 4 + (k & 7) / 2).b[k >> 3];                           // holds B(k, col)
      sum += FROM((u16)(x >> 16 * (k & 1))) * FROM((u16)(y >> 16 * (k & 1)));
    }
    d[i] += sum;
  }
}
COC_INLINE float tf32(u32 w) { return __uint_as_float(w & 0xffffe000u); }  // the unit ignores the low 13 bits
COC_NOSAN static void mma_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2], int line) {
  Slots s = give_fragment(a, b, line);
  int g = lane() >> 2, t = lane() & 3;
  for (int i = 0; i < 4; ++i) {
    int row = g + 8 * (i >> 1), col = 2 * t + (i & 1);
    float sum = 0;
    for (int k = 0; k < 8; ++k)
      sum += tf32(fragment(s, (row & 7) * 4 + (k & 3)).a[(row >> 3) + 2 * (k >> 2)]) *
             tf32(fragment(s, col * 4 + (k & 3)).b[k >> 2]);
    d[i] += sum;
  }
}

// ---- ldmatrix: instrumented on purpose, because its loads are loads of shared memory ------------------------------
static void ldmatrix(u32 (&r)[4], const void* row, bool transposed, int line) {
  if ((uintptr_t)row & 15) fail("ldmatrix: the row address of lane %d is not aligned to 16 bytes (line %d)", lane(), line);
  Slots s = sync_warp(0xffffffffu, "ldmatrix", line, &row, sizeof row);
  for (int i = 0; i < 4; ++i) {
    u16 element[2];
    for (int half = 0; half < 2; ++half) {
      int y = lane() >> 2, x = 2 * (lane() & 3) + half;
      if (transposed) std::swap(y, x);
      const u16* p;
      __builtin_memcpy(&p, s[8 * i + y], sizeof p);
      element[half] = p[x];
    }
    r[i] = element[0] | (u32)element[1] << 16;
  }
}

// ---- cp.async: the copies of a thread land when it waits for their group, and not a moment before -----------------
struct Copy { void* dst; const void* src; bool valid; int group; };
static const int IN_FLIGHT = 256;
static thread_local struct Queue { Copy copies[IN_FLIGHT]; int head, tail, group; } queues[1024];
COC_NOSAN static void push_copy(void* dst, const void* src, bool valid) {
  Queue& q = queues[current->linear];
  if (q.tail - q.head >= IN_FLIGHT) fail("thread %d has more than %d cp.async in flight", current->linear, IN_FLIGHT);
  q.copies[q.tail++ % IN_FLIGHT] = {dst, src, valid, q.group};
}
COC_NOSAN static void commit_copies() { queues[current->linear].group++; }
COC_NOSAN static bool pop_copy(int keep, Copy* out) {
  Queue& q = queues[current->linear];
  if (q.head == q.tail || q.copies[q.head % IN_FLIGHT].group >= q.group - keep) return false;
  *out = q.copies[q.head++ % IN_FLIGHT];
  return true;
}
static void wait_copies(int keep) {
  Copy c;
  while (pop_copy(keep, &c)) {
    float4 value = {0, 0, 0, 0};
    if (c.valid) value = *(const float4*)c.src;
    *(float4*)c.dst = value;
  }
}
}  // namespace coc

#define mma_bf16_16816(d, a, b) coc::mma_16bit<from_bf16>(d, a, b, __LINE__)
#define mma_fp16_16816(d, a, b) coc::mma_16bit<from_fp16>(d, a, b, __LINE__)
#define mma_tf32_1688(d, a, b) coc::mma_tf32(d, a, b, __LINE__)
#define ldmatrix_x4(r, p) coc::ldmatrix(r, p, false, __LINE__)
#define ldmatrix_x4_trans(r, p) coc::ldmatrix(r, p, true, __LINE__)
static inline void cp_async16(void* dst, const void* src, bool valid) {
  const float nan = __uint_as_float(~0u);  // until the wait shared memory holds NaN, so a missing wait shows
  for (int i = 0; i < 4; ++i) ((float*)dst)[i] = nan;  // one by one: ThreadSanitizer does not see a whole float4
  coc::push_copy(dst, src, valid);
}
static inline void cp_async_commit() { coc::commit_copies(); }
template <int N> static inline void cp_async_wait() { coc::wait_copies(N); }
