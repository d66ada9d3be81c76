// ptx.cuh -- the instructions that CUDA C++ has no words for: tensor cores, ldmatrix, asynchronous copies, conversions.
//
// Each is one line of inline PTX, so no CUDA header is needed. On a CPU the emulator's ptx_on_cpu.h spells them out under
// the same names. Layouts are from the PTX manual (Matrix multiply-accumulate): with g = lane / 4 and t = lane % 4, and
// a[], b[], d[] the registers that a lane holds,
//   D (16 x 8, float)    d[0..1] = D(g, 2t..2t+1)       d[2..3] = D(g + 8, 2t..2t+1)
//   A (16 x 16, 16 bit)  a[0] = A(g, 2t..2t+1)          a[1] = A(g + 8, 2t..)   a[2] = A(g, 2t + 8..)   a[3] = A(g + 8, 2t + 8..)
//   B (16 x 8, 16 bit)   b[0] = B(2t..2t+1, g)          b[1] = B(2t + 8.., g)
//   A (16 x 8, tf32)     a[0] = A(g, t)                 a[1] = A(g + 8, t)      a[2] = A(g, t + 4)      a[3] = A(g + 8, t + 4)
//   B (8 x 8, tf32)      b[0] = B(t, g)                 b[1] = B(t + 4, g)
#pragma once
#ifndef CUDA_ON_CPU
typedef unsigned int u32;
typedef unsigned short u16;

#define PTX_MMA(name, instruction)                                                                                    \
  __device__ __forceinline__ void name(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {                         \
    asm volatile(instruction " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                                 \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                     \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                                 \
  }
// D += A B, sums in float. The 16-bit ones multiply 16 x 16 by 16 x 8, tf32 16 x 8 by 8 x 8.
PTX_MMA(mma_bf16_16816, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")
PTX_MMA(mma_fp16_16816, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32")
PTX_MMA(mma_tf32_1688, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32")
#undef PTX_MMA

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Four 8 x 8 matrices of 16-bit numbers; lane l gives the address of row l % 8 of matrix l / 8 (16 bytes, aligned), and
// receives from each matrix the two neighbours that an mma fragment wants (`trans`: of the transposed matrix).
__device__ __forceinline__ void ldmatrix_x4(u32 (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(u32 (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

// 16 bytes from global to shared memory behind the thread's back, zeros where !valid; there when their group was waited
// for. `src` must be a valid address even then.
__device__ __forceinline__ void cp_async16(void* dst, const void* src, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :: "r"(shared_address(dst)), "l"(src), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Wait until at most N of this thread's newest groups are still under way.
template <int N> __device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
}

// Two floats as two 16-bit numbers, `lo` in the low half; rounded to nearest, ties to even.
__device__ __forceinline__ u32 pack_bf16(float lo, float hi) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
__device__ __forceinline__ u32 pack_fp16(float lo, float hi) {
  u32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
__device__ __forceinline__ float from_bf16(u16 x) { return __uint_as_float((u32)x << 16); }
__device__ __forceinline__ float from_fp16(u16 x) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x));
  return r;
}
// A float with the mantissa of tf32 (10 bits), rounded to nearest, ties away from zero.
__device__ __forceinline__ u32 to_tf32(float x) {
  u32 r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}
__device__ __forceinline__ float fast_exp2(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
#endif
