// tiled.cu -- rung 2: the same products, but a block loads each operand once into shared memory for all of its threads.
//
// What changes: a block of 256 threads computes a 64 x 64 tile of a result. It walks over the inner dimension 16 at a time:
// the threads together load 64 x 16 and 16 x 64 numbers into shared memory, and each of them then multiplies 4 numbers
// with 4 numbers out of registers, 16 multiply-adds for 8 loads. Softmax takes one warp for a row. Tiles that the mask
// rules out altogether are not computed.
// What moves: each operand once for every 64 rows or columns of the result, 64 times less than in rung 1; but the T x S
// probabilities still pass through memory, four times forward and seven times backward.
// What limits it: that T x S traffic once T is large (T S floats against T D), shared-memory loads while it is not.
#include "attention.cuh"

#define TILE 64  // rows and columns of a result that a block computes
#define STEP 16  // of the inner dimension at a time
#define THREADS 256
#define ROW (TILE + 4)  // row stride in shared memory: aligned to float4, spread over the banks

// acc += the block's tile (from row m0 and column n0 on) of A B, inner dimension from `from` to `to`. a(m, k) and b(k, n)
// read one number, 0 outside. A_BY_K, B_BY_K: whether neighbours in memory are neighbours in k; neighbouring threads then
// load those, so that a warp's loads fall together.
template <bool A_BY_K, bool B_BY_K, class A, class B>
__device__ __forceinline__ void product(float (&acc)[4][4], int m0, int n0, int from, int to, A a, B b) {
  DYNAMIC_SHARED(float, smem);
  float* as = smem;             // STEP x ROW, columns of A
  float* bs = as + STEP * ROW;  // STEP x ROW, rows of B
  const int t = threadIdx.x, tx = t % 16, ty = t / 16;
  for (int k0 = from; k0 < to; k0 += STEP) {
#pragma unroll
    for (int e = t; e < TILE * STEP; e += THREADS) {
      const int ka = A_BY_K ? e % STEP : e / TILE, m = A_BY_K ? e / STEP : e % TILE;
      const int kb = B_BY_K ? e % STEP : e / TILE, n = B_BY_K ? e / STEP : e % TILE;
      as[ka * ROW + m] = k0 + ka < to ? a(m0 + m, k0 + ka) : 0.f;
      bs[kb * ROW + n] = k0 + kb < to ? b(k0 + kb, n0 + n) : 0.f;
    }
    __syncthreads();  // the tiles are in
#pragma unroll
    for (int k = 0; k < STEP; ++k) {
      const float4 x = *reinterpret_cast<const float4*>(as + k * ROW + 4 * ty);
      const float4 y = *reinterpret_cast<const float4*>(bs + k * ROW + 4 * tx);
      const float xs[4] = {x.x, x.y, x.z, x.w}, ys[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
      for (int m = 0; m < 4; ++m)
#pragma unroll
        for (int n = 0; n < 4; ++n) acc[m][n] += xs[m] * ys[n];
    }
    __syncthreads();  // they may be overwritten
  }
}
// Hand every number of the block's tile to f(row, column, value).
template <class F>
__device__ __forceinline__ void each(const float (&acc)[4][4], int m0, int n0, int rows, int columns, F f) {
  const int m1 = m0 + 4 * (threadIdx.x / 16), n1 = n0 + 4 * (threadIdx.x % 16);
#pragma unroll
  for (int m = 0; m < 4; ++m)
#pragma unroll
    for (int n = 0; n < 4; ++n)
      if (m1 + m < rows && n1 + n < columns) f(m1 + m, n1 + n, acc[m][n]);
}
// Row i of a head's T x S matrix.
__device__ __forceinline__ long long score_row(const Problem& p, int b, int h, int i) {
  return (((long long)b * p.heads + h) * p.queries + i) * p.keys;
}

// Z = s Q K^T, MASKED where the mask says so. Grid (ceil(S / 64), ceil(T / 64), B H), 256 threads; so all of them.
extern "C" __global__ void __launch_bounds__(THREADS)
tiled_scores(Problem p, const float* q, View qv, const float* k, View kv, const unsigned char* padding, float* scores) {
  const int i0 = blockIdx.y * TILE, j0 = blockIdx.x * TILE, i1 = min(i0 + TILE, p.queries);
  const Place place = query_head(p, blockIdx.z, padding, nullptr);
  q += at(qv, place.b, 0, place.h);
  k += at(kv, place.b, 0, place.g);
  float acc[4][4] = {};
  if (j0 < last_key(p, i1) && j0 + TILE > first_key(p, i0))
    product<true, true>(
        acc, i0, j0, 0, p.width, [&](int i, int d) { return i < p.queries ? q[i * qv.row + d] : 0.f; },
        [&](int d, int j) { return j < p.keys ? k[j * kv.row + d] : 0.f; });
  scores += score_row(p, place.b, place.h, 0);
  each(acc, i0, j0, p.queries, p.keys, [&](int i, int j, float z) {
    scores[(long long)i * p.keys + j] = allowed(p, place.padding, i, j) ? z * p.scale : MASKED;
  });
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int o = 16; o; o >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, o));
  return x;
}
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int o = 16; o; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
  return x;
}
// P = softmax(Z) in place, one warp for a row; a row of MASKED becomes zeros. Grid (ceil(T / 8), B H).
extern "C" __global__ void __launch_bounds__(THREADS) tiled_softmax(Problem p, float* scores) {
  const int i = blockIdx.x * (THREADS / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (i >= p.queries) return;  // the whole warp leaves
  float* row = scores + ((long long)blockIdx.y * p.queries + i) * p.keys;
  float largest = MASKED, sum = 0.f;
  for (int j = lane; j < p.keys; j += 32) largest = fmaxf(largest, row[j]);
  largest = warp_max(largest);
  for (int j = lane; j < p.keys; j += 32) {
    row[j] = row[j] == MASKED ? 0.f : __expf(row[j] - largest);
    sum += row[j];
  }
  sum = warp_sum(sum);
  const float inverse = sum > 0.f ? 1.f / sum : 0.f;
  for (int j = lane; j < p.keys; j += 32) row[j] *= inverse;
}

// O = A V with A = m P. Grid (ceil(D / 64), ceil(T / 64), B H).
extern "C" __global__ void __launch_bounds__(THREADS)
tiled_output(Problem p, const float* probabilities, const float* v, View vv, const u64* states, float* o, View ov) {
  const int i0 = blockIdx.y * TILE, d0 = blockIdx.x * TILE;
  const Place place = query_head(p, blockIdx.z, nullptr, states);
  probabilities += score_row(p, place.b, place.h, 0);
  v += at(vv, place.b, 0, place.g);
  float acc[4][4] = {};
  product<true, false>(
      acc, i0, d0, first_key(p, i0), last_key(p, min(i0 + TILE, p.queries)),
      [&](int i, int j) {
        if (i >= p.queries) return 0.f;
        const float m = p.drop_below ? dropout(p, place.state, place.h, i, j) : 1.f;
        return m * probabilities[(long long)i * p.keys + j];
      },
      [&](int j, int d) { return d < p.width ? v[j * vv.row + d] : 0.f; });
  o += at(ov, place.b, 0, place.h);
  each(acc, i0, d0, p.queries, p.width, [&](int i, int d, float y) { o[i * ov.row + d] = y; });
}

// O = A V, A = m P:  dP = m dO V^T. Grid (ceil(S / 64), ceil(T / 64), B H).
extern "C" __global__ void __launch_bounds__(THREADS)
tiled_dprobabilities(Problem p, const float* dout, View dov, const float* v, View vv, const u64* states,
                     float* dprobabilities) {
  const int i0 = blockIdx.y * TILE, j0 = blockIdx.x * TILE, i1 = min(i0 + TILE, p.queries);
  const Place place = query_head(p, blockIdx.z, nullptr, states);
  dout += at(dov, place.b, 0, place.h);
  v += at(vv, place.b, 0, place.g);
  float acc[4][4] = {};
  if (j0 < last_key(p, i1) && j0 + TILE > first_key(p, i0))  // elsewhere P is 0, and dP may be anything finite
    product<true, true>(
        acc, i0, j0, 0, p.width, [&](int i, int d) { return i < p.queries ? dout[i * dov.row + d] : 0.f; },
        [&](int d, int j) { return j < p.keys ? v[j * vv.row + d] : 0.f; });
  dprobabilities += score_row(p, place.b, place.h, 0);
  each(acc, i0, j0, p.queries, p.keys, [&](int i, int j, float x) {
    const float m = p.drop_below ? dropout(p, place.state, place.h, i, j) : 1.f;
    dprobabilities[(long long)i * p.keys + j] = m * x;
  });
}

// P = softmax(Z):  s dZ = s P (dP - rowsum(dP P)), in place of dP, one warp for a row. Grid (ceil(T / 8), B H).
extern "C" __global__ void __launch_bounds__(THREADS)
tiled_softmax_backward(Problem p, const float* probabilities, float* dscores) {
  const int i = blockIdx.x * (THREADS / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (i >= p.queries) return;
  const long long start = ((long long)blockIdx.y * p.queries + i) * p.keys;
  const float* row = probabilities + start;
  float* drow = dscores + start;
  float dot = 0.f;
  for (int j = lane; j < p.keys; j += 32) dot += drow[j] * row[j];
  dot = warp_sum(dot);
  for (int j = lane; j < p.keys; j += 32) drow[j] = row[j] * (drow[j] - dot) * p.scale;
}

// Z = s Q K^T:  dQ = s dZ K. Grid (ceil(D / 64), ceil(T / 64), B H).
extern "C" __global__ void __launch_bounds__(THREADS)
tiled_dq(Problem p, const float* dscores, const float* k, View kv, float* dq, View dqv) {
  const int i0 = blockIdx.y * TILE, d0 = blockIdx.x * TILE;
  const Place place = query_head(p, blockIdx.z, nullptr, nullptr);
  dscores += score_row(p, place.b, place.h, 0);
  k += at(kv, place.b, 0, place.g);
  float acc[4][4] = {};
  product<true, false>(
      acc, i0, d0, first_key(p, i0), last_key(p, min(i0 + TILE, p.queries)),
      [&](int i, int j) { return i < p.queries ? dscores[(long long)i * p.keys + j] : 0.f; },
      [&](int j, int d) { return d < p.width ? k[j * kv.row + d] : 0.f; });
  dq += at(dqv, place.b, 0, place.h);
  each(acc, i0, d0, p.queries, p.width, [&](int i, int d, float x) { dq[i * dqv.row + d] = x; });
}

// Z = s Q K^T:  dK = s dZ^T Q, summed over the heads that these keys served. Grid (ceil(D / 64), ceil(S / 64), B G).
extern "C" __global__ void __launch_bounds__(THREADS)
tiled_dk(Problem p, const float* dscores, const float* q, View qv, float* dk, View dkv) {
  const int j0 = blockIdx.y * TILE, d0 = blockIdx.x * TILE;
  const Place place = key_head(p, blockIdx.z, nullptr, nullptr);
  float acc[4][4] = {};
  for (int h = place.h; h < place.h + p.heads / p.groups; ++h) {
    const float* z = dscores + score_row(p, place.b, h, 0);
    const float* x = q + at(qv, place.b, 0, h);
    product<false, false>(
        acc, j0, d0, first_query(p, j0), last_query(p, min(j0 + TILE, p.keys)),
        [&](int j, int i) { return j < p.keys ? z[(long long)i * p.keys + j] : 0.f; },
        [&](int i, int d) { return d < p.width ? x[i * qv.row + d] : 0.f; });
  }
  dk += at(dkv, place.b, 0, place.g);
  each(acc, j0, d0, p.keys, p.width, [&](int j, int d, float x) { dk[j * dkv.row + d] = x; });
}

// O = A V, A = m P:  dV = A^T dO, summed over the heads that these values served. Grid (ceil(D / 64), ceil(S / 64), B G).
extern "C" __global__ void __launch_bounds__(THREADS)
tiled_dv(Problem p, const float* probabilities, const float* dout, View dov, const u64* states, float* dv, View dvv) {
  const int j0 = blockIdx.y * TILE, d0 = blockIdx.x * TILE;
  const Place place = key_head(p, blockIdx.z, nullptr, states);
  float acc[4][4] = {};
  for (int h = place.h; h < place.h + p.heads / p.groups; ++h) {
    const float* probability = probabilities + score_row(p, place.b, h, 0);
    const float* x = dout + at(dov, place.b, 0, h);
    product<false, false>(
        acc, j0, d0, first_query(p, j0), last_query(p, min(j0 + TILE, p.keys)),
        [&](int j, int i) {
          if (j >= p.keys) return 0.f;
          const float m = p.drop_below ? dropout(p, place.state, h, i, j) : 1.f;
          return m * probability[(long long)i * p.keys + j];
        },
        [&](int i, int d) { return d < p.width ? x[i * dov.row + d] : 0.f; });
  }
  dv += at(dvv, place.b, 0, place.g);
  each(acc, j0, d0, p.keys, p.width, [&](int j, int d, float x) { dv[j * dvv.row + d] = x; });
}
