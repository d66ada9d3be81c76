// One small kernel for each instruction of ptx.cuh, which says what it does in plain words: a block of one warp loads
// the operands as the tables there say and stores what comes back. The tests run them on the emulator and, marked `gpu`,
// on a real GPU, and compare both with NumPy.
#include "common.cuh"
#include "ptx.cuh"

#define LANE (threadIdx.x % 32)
#define G (LANE / 4)
#define T (LANE % 4)

__device__ __forceinline__ u32 pair(const u16* x) { return x[0] | (u32)x[1] << 16; }

__device__ __forceinline__ void load_16bit(const u16* a, const u16* b, u32 (&x)[4], u32 (&y)[2]) {
  x[0] = pair(a + G * 16 + 2 * T), x[1] = pair(a + (G + 8) * 16 + 2 * T);
  x[2] = pair(a + G * 16 + 2 * T + 8), x[3] = pair(a + (G + 8) * 16 + 2 * T + 8);
  y[0] = b[2 * T * 8 + G] | (u32)b[(2 * T + 1) * 8 + G] << 16;
  y[1] = b[(2 * T + 8) * 8 + G] | (u32)b[(2 * T + 9) * 8 + G] << 16;
}
__device__ __forceinline__ void load_sums(const float* d, float (&z)[4]) {
  z[0] = d[G * 8 + 2 * T], z[1] = d[G * 8 + 2 * T + 1], z[2] = d[(G + 8) * 8 + 2 * T], z[3] = d[(G + 8) * 8 + 2 * T + 1];
}
__device__ __forceinline__ void store_sums(float* d, const float (&z)[4]) {
  d[G * 8 + 2 * T] = z[0], d[G * 8 + 2 * T + 1] = z[1], d[(G + 8) * 8 + 2 * T] = z[2], d[(G + 8) * 8 + 2 * T + 1] = z[3];
}

// d (16, 8) += a (16, 16) b (16, 8), all row by row.
extern "C" __global__ void test_mma_bf16(const u16* a, const u16* b, float* d) {
  u32 x[4], y[2];
  float z[4];
  load_16bit(a, b, x, y);
  load_sums(d, z);
  mma_bf16_16816(z, x, y);
  store_sums(d, z);
}
extern "C" __global__ void test_mma_fp16(const u16* a, const u16* b, float* d) {
  u32 x[4], y[2];
  float z[4];
  load_16bit(a, b, x, y);
  load_sums(d, z);
  mma_fp16_16816(z, x, y);
  store_sums(d, z);
}
// d (16, 8) += a (16, 8) b (8, 8).
extern "C" __global__ void test_mma_tf32(const float* a, const float* b, float* d) {
  const u32 x[4] = {to_tf32(a[G * 8 + T]), to_tf32(a[(G + 8) * 8 + T]), to_tf32(a[G * 8 + T + 4]),
                    to_tf32(a[(G + 8) * 8 + T + 4])};
  const u32 y[2] = {to_tf32(b[T * 8 + G]), to_tf32(b[(T + 4) * 8 + G])};
  float z[4];
  load_sums(d, z);
  mma_tf32_1688(z, x, y);
  store_sums(d, z);
}

// x: four 8 × 8 matrices, one after the other; out: (32 lanes, 4 registers).
extern "C" __global__ void test_ldmatrix(const u16* x, u32* out, u32* out_trans) {
  __shared__ __align__(16) u16 tile[4 * 64];
  for (int i = LANE; i < 4 * 64; i += 32) tile[i] = x[i];
  __syncthreads();
  u32 r[4];
  ldmatrix_x4(r, tile + LANE * 8);
  for (int i = 0; i < 4; ++i) out[LANE * 4 + i] = r[i];
  ldmatrix_x4_trans(r, tile + LANE * 8);
  for (int i = 0; i < 4; ++i) out_trans[LANE * 4 + i] = r[i];
}

// Three groups of 32 copies of 16 bytes; those from `valid` on bring zeros. early: the first group, read while only that
// one was waited for; out: all three.
extern "C" __global__ void test_cp_async(const float* x, float* early, float* out, int valid) {
  __shared__ __align__(16) float tile[3 * 128];
  for (int group = 0; group < 3; ++group) {
    const int i = group * 32 + LANE;
    cp_async16(tile + 4 * i, x + 4 * (i < valid ? i : 0), i < valid);
    cp_async_commit();
  }
  cp_async_wait<2>();
  __syncthreads();
  for (int i = LANE; i < 128; i += 32) early[i] = tile[127 - i];
  cp_async_wait<0>();
  __syncthreads();
  for (int i = LANE; i < 3 * 128; i += 32) out[i] = tile[i];
}

// What every thread makes of x[i]: packed with its negative, rounded to TF32, two to its power.
extern "C" __global__ void test_conversions(const float* x, u32* bf16, u32* fp16, u32* tf32, float* power, int n) {
  const int i = blockIdx.x * 32 + LANE;
  if (i >= n) return;
  bf16[i] = pack_bf16(x[i], -x[i]);
  fp16[i] = pack_fp16(x[i], -x[i]);
  tf32[i] = to_tf32(x[i]);
  power[i] = fast_exp2(x[i]);
}
// All 65536 numbers of 16 bits.
extern "C" __global__ void test_widening(float* bf16, float* fp16) {
  const unsigned i = blockIdx.x * 32 + LANE;
  bf16[i] = from_bf16((u16)i);
  fp16[i] = from_fp16((u16)i);
}
