// What the tensor-core attention kernels share: swizzled tiles, the two tile products, masks and dropout.
//
// The sizes are fixed when compiling: HEAD_DIM (a multiple of 16), the number type (element.cuh), FRAGMENTS (how many
// 16-row fragments a warp owns) and STREAM (rows of a streamed tile, a multiple of 16). A block of 4 warps owns
// OWN = 64·FRAGMENTS rows, which stay in shared memory while tiles of STREAM rows pass by, two of them at a time: one
// is worked on while the next is on its way.
//
// One source serves bfloat16, float16 and TF32 (float32 numbers of which the unit reads 19 bits), because everything
// is counted in chunks of 16 bytes: a step of an mma always takes two chunks of each row, 16 numbers or 8.
#pragma once
#include "attention.cuh"
#include "element.cuh"

#define D HEAD_DIM
#define WARPS 4
#define THREADS (32 * WARPS)
#define OWN (16 * FRAGMENTS * WARPS)
#if defined(ELEMENT_FLOAT32)
#define CHUNK 4
#else
#define CHUNK 8
#endif
#define STEP (2 * CHUNK)       // numbers along the summed axis of one mma
#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f
#define NOTHING __int_as_float(0xff800000)   // −∞

// ---- swizzle --------------------------------------------------------------------------------------------------------
// Where chunk c of row r lies in a tile of C chunks a row. ldmatrix reads the same chunk of 8 rows at once: 8 times 16
// bytes, which must fall on 8 different places of the 128 bytes that the 32 banks serve in one go. Rows of C
// chunks without padding put them at r·C + c modulo 8, the same place again and again when C is even. Exchanging chunks
// within a row by an exclusive or with the right bits of r makes all 8 places different for every even C.
template <int C>
__device__ __forceinline__ int swizzled(int row, int chunk) {
  constexpr int P = C % 8 == 0 ? 8 : C % 4 == 0 ? 4 : 2;  // the largest power of two up to 8 that divides C
  return (row * C + (chunk ^ (row / (8 / P) % P))) * CHUNK;
}
__device__ __forceinline__ int at(int row, int chunk) { return swizzled<D / CHUNK>(row, chunk); }

// Start copying rows first … first + ROWS of a matrix whose rows are `stride` apart; rows from `rows` on become zeros.
template <int ROWS>
__device__ __forceinline__ void load_tile(element* tile, const element* matrix, long long stride, int first, int rows) {
  for (int i = threadIdx.x; i < ROWS * (D / CHUNK); i += THREADS) {
    const int row = i / (D / CHUNK), chunk = i % (D / CHUNK);
    const bool valid = first + row < rows;
    cp_async16(tile + at(row, chunk), matrix + (valid ? first + row : 0) * stride + chunk * CHUNK, valid);
  }
}

// ---- fragments ------------------------------------------------------------------------------------------------------
__device__ __forceinline__ void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  const u32 b[2] = {b0, b1};
#if defined(ELEMENT_BFLOAT16)
  mma_bf16_16816(d, a, b);
#elif defined(ELEMENT_FLOAT16)
  mma_fp16_16816(d, a, b);
#else
  mma_tf32_1688(d, a, b);
#endif
}
__device__ __forceinline__ void round_tf32(u32 (&r)[4]) {
#if defined(ELEMENT_FLOAT32)
#pragma unroll
  for (int i = 0; i < 4; ++i) r[i] = to_tf32(__uint_as_float(r[i]));
#endif
}
// The left operand: 16 rows and one step of columns of a tile of C chunks a row.
template <int C>
__device__ __forceinline__ void load_left(u32 (&a)[4], const element* tile, int row, int step) {
  const int lane = threadIdx.x % 32;
  ldmatrix_x4(a, tile + swizzled<C>(row + lane % 16, 2 * step + lane / 16));
  round_tf32(a);
}
// The same where the right operand comes from load_right_transposed: TF32 sums in the order 0, 2, 4, 6, 1, 3, 5, 7.
template <int C>
__device__ __forceinline__ void load_left_in_sum_order(u32 (&a)[4], const element* tile, int row, int step) {
#if defined(ELEMENT_FLOAT32)
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int column = step * STEP + 2 * (lane % 4) + i / 2;
    a[i] = to_tf32(tile[swizzled<C>(row + lane / 4 + i % 2 * 8, column / CHUNK) + column % CHUNK]);
  }
#else
  load_left<C>(a, tile, row, step);
#endif
}
// The right operand from rows that are its columns: 16 of them (b[0], b[1] for the first 8), one step of numbers.
__device__ __forceinline__ void load_right(u32 (&b)[4], const element* tile, int row, int step) {
  const int lane = threadIdx.x % 32;
  ldmatrix_x4(b, tile + at(row + (lane & 7) + (lane & 16) / 2, 2 * step + (lane >> 3 & 1)));
  round_tf32(b);
}
// The right operand from rows that are its rows: one step of them, 16 columns. ldmatrix transposes 16-bit numbers only;
// TF32 numbers are fetched one by one, and rows 2t and 2t+1 take the places of rows t and t+4. A sum may run in any
// order, as long as the left operand (accumulator_as_left) keeps the same one.
__device__ __forceinline__ void load_right_transposed(u32 (&b)[4], const element* tile, int row, int column) {
  const int lane = threadIdx.x % 32;
#if defined(ELEMENT_FLOAT32)
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int r = row + 2 * (lane % 4) + i % 2, c = column + 8 * (i / 2) + lane / 4;
    b[i] = to_tf32(tile[at(r, c / CHUNK) + c % CHUNK]);
  }
#else
  ldmatrix_x4_trans(b, tile + at(row + lane % 16, column / CHUNK + lane / 16));
#endif
}
// An accumulator's registers hold just what a left operand's should: the probabilities never leave them.
__device__ __forceinline__ void accumulator_as_left(u32 (&a)[4], const float (*s)[4]) {
#if defined(ELEMENT_BFLOAT16)
  a[0] = pack_bf16(s[0][0], s[0][1]), a[1] = pack_bf16(s[0][2], s[0][3]);
  a[2] = pack_bf16(s[1][0], s[1][1]), a[3] = pack_bf16(s[1][2], s[1][3]);
#elif defined(ELEMENT_FLOAT16)
  a[0] = pack_fp16(s[0][0], s[0][1]), a[1] = pack_fp16(s[0][2], s[0][3]);
  a[2] = pack_fp16(s[1][0], s[1][1]), a[3] = pack_fp16(s[1][2], s[1][3]);
#else
  a[0] = to_tf32(s[0][0]), a[1] = to_tf32(s[0][2]);
  a[2] = to_tf32(s[0][1]), a[3] = to_tf32(s[0][3]);
#endif
}
// Two neighbouring results to memory.
__device__ __forceinline__ void store_pair(element* to, float x, float y) {
#if defined(ELEMENT_FLOAT32)
  *reinterpret_cast<float2*>(to) = make_float2(x, y);
#else
  *reinterpret_cast<u32*>(to) = narrow(x) | (u32)narrow(y) << 16;
#endif
}

// A warp's accumulator of COLUMNS columns for each row that it owns; entry [f][n][i] belongs to row own_row(f, i) of the
// block's rows and to column stream_column(n, i).
#define ACCUMULATOR(name, COLUMNS) float name[FRAGMENTS][(COLUMNS) / 8][4]
__device__ __forceinline__ int warp_row() { return threadIdx.x / 32 * 16 * FRAGMENTS; }
__device__ __forceinline__ int own_row(int f, int i) { return warp_row() + 16 * f + threadIdx.x % 32 / 4 + i / 2 * 8; }
__device__ __forceinline__ int stream_column(int n, int i) { return 8 * n + 2 * (threadIdx.x % 4) + i % 2; }
template <int N>
__device__ __forceinline__ void clear(float (&x)[FRAGMENTS][N][4]) {
#pragma unroll
  for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) x[f][n][i] = 0.f;
}

// s = own · streamᵀ: own (OWN, D), stream (STREAM, D); each warp has its rows of the (OWN, STREAM) product.
__device__ __forceinline__ void product_abt(float (&s)[FRAGMENTS][STREAM / 8][4], const element* own,
                                            const element* stream) {
  clear(s);
#pragma unroll
  for (int step = 0; step < D / STEP; ++step) {
    u32 a[FRAGMENTS][4];
#pragma unroll
    for (int f = 0; f < FRAGMENTS; ++f) load_left<D / CHUNK>(a[f], own, warp_row() + 16 * f, step);
#pragma unroll
    for (int n = 0; n < STREAM / 16; ++n) {
      u32 b[4];
      load_right(b, stream, 16 * n, step);
#pragma unroll
      for (int f = 0; f < FRAGMENTS; ++f) {
        mma(s[f][2 * n], a[f], b[0], b[1]);
        mma(s[f][2 * n + 1], a[f], b[2], b[3]);
      }
    }
  }
}
// total += p · stream: p (OWN, STREAM) in registers, rounded on the way; stream (STREAM, D).
__device__ __forceinline__ void add_product_ab(float (&total)[FRAGMENTS][D / 8][4],
                                               const float (&p)[FRAGMENTS][STREAM / 8][4], const element* stream) {
#pragma unroll
  for (int step = 0; step < STREAM / STEP; ++step) {
    u32 a[FRAGMENTS][4];
#pragma unroll
    for (int f = 0; f < FRAGMENTS; ++f) accumulator_as_left(a[f], &p[f][step * STEP / 8]);
#pragma unroll
    for (int n = 0; n < D / 16; ++n) {
      u32 b[4];
      load_right_transposed(b, stream, step * STEP, 16 * n);
#pragma unroll
      for (int f = 0; f < FRAGMENTS; ++f) {
        mma(total[f][2 * n], a[f], b[0], b[1]);
        mma(total[f][2 * n + 1], a[f], b[2], b[3]);
      }
    }
  }
}
// Rows first … of a result (…, D) times `factor`; rows from `rows` on do not exist.
__device__ __forceinline__ void store_rows(element* matrix, long long stride, const float (&x)[FRAGMENTS][D / 8][4],
                                           const float (&factor)[FRAGMENTS][2], int first, int rows) {
#pragma unroll
  for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first + own_row(f, 2 * half);
      if (row < rows)
#pragma unroll
        for (int n = 0; n < D / 8; ++n)
          store_pair(matrix + row * stride + stream_column(n, 0), x[f][n][2 * half] * factor[f][half],
                     x[f][n][2 * half + 1] * factor[f][half]);
    }
}

// ---- masks ----------------------------------------------------------------------------------------------------------
// Whether queries t0 … t1 may look at all of the keys s0 … s1 (ends not included): then nothing need be asked one by one.
__device__ __forceinline__ bool allowed_all(const Problem& p, const unsigned char* padding, int t0, int t1, int s0,
                                            int s1) {
  const int nearest = t0 + p.keys - p.queries - (s1 - 1), farthest = t1 - 1 + p.keys - p.queries - s0;
  return t1 <= p.queries && s1 <= p.keys && (!p.causal || nearest >= 0) &&
         (!p.window || (farthest < p.window && nearest > -p.window)) && !padding;
}
// Scores of pairs that must not meet become −∞. A warp owns rows from own0 on, queries or (KEYS_OWNED) keys; the columns
// begin at stream0.
template <bool KEYS_OWNED>
__device__ __forceinline__ void mask_scores(float (&s)[FRAGMENTS][STREAM / 8][4], const Problem& p,
                                            const unsigned char* padding, int own0, int stream0) {
  const int t0 = KEYS_OWNED ? stream0 : own0, t1 = t0 + (KEYS_OWNED ? STREAM : OWN);
  const int s0 = KEYS_OWNED ? own0 : stream0, s1 = s0 + (KEYS_OWNED ? OWN : STREAM);
  if (allowed_all(p, padding, t0, t1, s0, s1)) return;
#pragma unroll
  for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
    for (int n = 0; n < STREAM / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int own = own0 + own_row(f, i), stream = stream0 + stream_column(n, i);
        const int query = KEYS_OWNED ? stream : own, key = KEYS_OWNED ? own : stream;
        if (query >= p.queries || key >= p.keys || !allowed(p, padding, query, key)) s[f][n][i] = NOTHING;
      }
}

// Dropout is compiled in with -DDROPOUT=1 only: its generator costs more than the rest of a score.
#ifndef DROPOUT
#define DROPOUT 0
#endif
