// flash.cu -- rung 3: the online softmax (Milakov & Gimelshein 2018; FlashAttention, Dao et al. 2022, 2023), in fp32.
//
// What changes: the T x S scores are never in memory. A block owns BR queries and walks over the keys in tiles of BC; the
// softmax of the keys seen so far is kept as a running maximum m and sum l, and the output so far is rescaled by
// exp(m_old - m_new) whenever the maximum grows. One number for each query, log(sum exp) = m + log l, is kept for the
// backward pass, which computes the scores again instead of reading them.
// What moves: Q and O once; K and V once for every block of queries, T / BR times, mostly from the L2 cache. No T x S.
// Backward: one kernel where a block owns keys and walks over queries (dK, dV), one where it owns queries and walks over
// keys (dQ): seven products of tiles, and every sum in a fixed order. Or the first kernel alone adds to dQ with atomics:
// five products, but in an order that changes from run to run.
// What limits it: fp32 multiply-adds. A tile does 4 BR BC D operations on 4 (BR + 2 BC) D bytes of shared-memory fills,
// so memory waits for arithmetic; only tensor cores (the next rung) make the arithmetic itself faster.
#include "attention.cuh"

#ifndef HEAD_DIM  // D, a multiple of 8
#define HEAD_DIM 64
#endif
#ifndef BR  // queries in a tile
#define BR 64
#endif
#ifndef BC  // keys in a tile
#define BC 64
#endif
#define TX 16  // threads across the columns of a tile: a row is reduced by 16 neighbouring lanes
#define TY 16  // threads across the rows
#define NT (TX * TY)
#define D HEAD_DIM
#define DN ((D + TX - 1) / TX)  // columns of a (., D) tile that a thread owns; zeros beyond D
#define DS (DN * TX + 4)        // row stride of such a tile in shared memory: aligned to float4, spread over the banks
#define PS (BC + 4)             // row stride of the score tile
#define RM (BR / TY)            // rows of the score tile that a thread owns
#define RN (BC / TX)            // columns of it
#define CM (BC / TY)            // rows of a (BC, D) tile that a thread owns

__device__ __forceinline__ float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
__device__ __forceinline__ void store4(float* p, float4 v) { *reinterpret_cast<float4*>(p) = v; }

// Copy rows [row0, row0 + ROWS) of an (N, D) matrix with rows `stride` apart into shared memory, zeros outside of it.
template <int ROWS>
__device__ __forceinline__ void load_tile(float* tile, const float* matrix, long long stride, int row0, int n) {
  for (int i = threadIdx.x; i < ROWS * (DN * TX / 4); i += NT) {
    const int r = i / (DN * TX / 4), c = i % (DN * TX / 4) * 4;
    float4 v = make_float4(0.f, 0.f, 0.f, 0.f);
    if (row0 + r < n && c < D) v = load4(matrix + (row0 + r) * stride + c);
    store4(tile + r * DS + c, v);
  }
}
// Maximum and sum over the TX lanes that share a row.
__device__ __forceinline__ float row_max(float x) {
#pragma unroll
  for (int o = TX / 2; o; o >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, o));
  return x;
}
__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
  for (int o = TX / 2; o; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
  return x;
}
// acc[m][n] = sum_d a[ty + TY m][d] b[tx + TX n][d]: rows of one tile against rows of another.
template <int M, int N>
__device__ __forceinline__ void rows_times_rows(float (&acc)[M][N], const float* a, const float* b, int ty, int tx) {
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int n = 0; n < N; ++n) acc[m][n] = 0.f;
#pragma unroll 2
  for (int d = 0; d < D; d += 4) {
    float4 x[M], y[N];
#pragma unroll
    for (int m = 0; m < M; ++m) x[m] = load4(a + (ty + TY * m) * DS + d);
#pragma unroll
    for (int n = 0; n < N; ++n) y[n] = load4(b + (tx + TX * n) * DS + d);
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
      for (int n = 0; n < N; ++n)
        acc[m][n] += x[m].x * y[n].x + x[m].y * y[n].y + x[m].z * y[n].z + x[m].w * y[n].w;
  }
}
// acc[m][n] += sum_j w[ty + TY m][j] x[j][tx + TX n]: a score tile times a (BC, D) tile.
template <int M>
__device__ __forceinline__ void scores_times_rows(float (&acc)[M][DN], const float* w, const float* x, int ty, int tx) {
  for (int j = 0; j < BC; ++j) {
    float y[DN];
#pragma unroll
    for (int n = 0; n < DN; ++n) y[n] = x[j * DS + tx + TX * n];
#pragma unroll
    for (int m = 0; m < M; ++m) {
      const float s = w[(ty + TY * m) * PS + j];
#pragma unroll
      for (int n = 0; n < DN; ++n) acc[m][n] += s * y[n];
    }
  }
}

// acc[m][n] += sum_i w[i][ty + TY m] x[i][tx + TX n]: a score tile, transposed, times a (BR, D) tile.
template <int M>
__device__ __forceinline__ void scores_transposed_times_rows(float (&acc)[M][DN], const float* w, const float* x, int ty,
                                                             int tx) {
  for (int i = 0; i < BR; ++i) {
    float y[DN];
#pragma unroll
    for (int n = 0; n < DN; ++n) y[n] = x[i * DS + tx + TX * n];
#pragma unroll
    for (int m = 0; m < M; ++m) {
      const float s = w[i * PS + ty + TY * m];
#pragma unroll
      for (int n = 0; n < DN; ++n) acc[m][n] += s * y[n];
    }
  }
}
template <int M, int N>
__device__ __forceinline__ void zero(float (&acc)[M][N]) {
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int n = 0; n < N; ++n) acc[m][n] = 0.f;
}
// A thread's part of a score tile into shared memory.
__device__ __forceinline__ void store_scores(float* tile, const float (&s)[RM][RN], int ty, int tx) {
#pragma unroll
  for (int r = 0; r < RM; ++r)
#pragma unroll
    for (int c = 0; c < RN; ++c) tile[(ty + TY * r) * PS + tx + TX * c] = s[r][c];
}
// A thread's part of an (., D) tile into rows [row0, n) of an array.
template <int M>
__device__ __forceinline__ void store_rows(float* matrix, long long stride, const float (&acc)[M][DN], int row0, int n,
                                           int ty, int tx) {
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int c = 0; c < DN; ++c)
      if (row0 + ty + TY * m < n && tx + TX * c < D) matrix[(row0 + ty + TY * m) * stride + tx + TX * c] = acc[m][c];
}

// O = A V with A = dropout(softmax(s Q K^T)), and lse = log sum exp. Grid (ceil(T / BR), B H), NT threads.
extern "C" __global__ void __launch_bounds__(NT)
flash_forward(Problem p, const float* q, View qv, const float* k, View kv, const float* v, View vv,
              const unsigned char* padding, const u64* states, float* o, View ov, float* lse) {
  DYNAMIC_SHARED(float, smem);
  float* qs = smem;          // BR x DS
  float* ks = qs + BR * DS;  // BC x DS
  float* vs = ks + BC * DS;  // BC x DS
  float* ps = vs + BC * DS;  // BR x PS, probabilities of the tile before they are divided by l
  const int tx = threadIdx.x % TX, ty = threadIdx.x / TX, q0 = blockIdx.x * BR;
  const Place place = query_head(p, blockIdx.y, padding, states);
  q += at(qv, place.b, 0, place.h);
  k += at(kv, place.b, 0, place.g);
  v += at(vv, place.b, 0, place.g);

  float acc[RM][DN], m_i[RM], l_i[RM];
  zero(acc);
#pragma unroll
  for (int r = 0; r < RM; ++r) {
    m_i[r] = MASKED;
    l_i[r] = 0.f;
  }
  load_tile<BR>(qs, q, qv.row, q0, p.queries);
  const int end = last_key(p, min(q0 + BR, p.queries));
  for (int k0 = first_key(p, q0) / BC * BC; k0 < end; k0 += BC) {
    load_tile<BC>(ks, k, kv.row, k0, p.keys);
    load_tile<BC>(vs, v, vv.row, k0, p.keys);
    __syncthreads();  // the tiles are in
    float s[RM][RN];
    rows_times_rows<RM, RN>(s, qs, ks, ty, tx);
#pragma unroll
    for (int r = 0; r < RM; ++r) {
      const int i = q0 + ty + TY * r;
      float largest = m_i[r];
#pragma unroll
      for (int c = 0; c < RN; ++c) {
        const int j = k0 + tx + TX * c;
        s[r][c] = j < p.keys && allowed(p, place.padding, i, j) ? s[r][c] * p.scale : MASKED;
        largest = fmaxf(largest, s[r][c]);
      }
      largest = row_max(largest);
      const float shrink = __expf(m_i[r] - largest);
      float sum = 0.f;
#pragma unroll
      for (int c = 0; c < RN; ++c) {
        s[r][c] = s[r][c] == MASKED ? 0.f : __expf(s[r][c] - largest);
        sum += s[r][c];  // l sums all of a row: softmax comes before dropout
        if (p.drop_below) s[r][c] *= dropout(p, place.state, place.h, i, k0 + tx + TX * c);
      }
      l_i[r] = l_i[r] * shrink + row_sum(sum);
      m_i[r] = largest;
#pragma unroll
      for (int c = 0; c < DN; ++c) acc[r][c] *= shrink;
    }
    store_scores(ps, s, ty, tx);
    __syncthreads();  // the probabilities are in
    scores_times_rows<RM>(acc, ps, vs, ty, tx);
    __syncthreads();  // ks, vs and ps may be overwritten
  }
#pragma unroll
  for (int r = 0; r < RM; ++r) {
    const int i = q0 + ty + TY * r;
    const float inverse = l_i[r] > 0.f ? 1.f / l_i[r] : 0.f;  // nothing to look at: zeros
#pragma unroll
    for (int c = 0; c < DN; ++c) acc[r][c] *= inverse;
    if (tx == 0 && i < p.queries)
      lse[(long long)blockIdx.y * p.queries + i] = l_i[r] > 0.f ? m_i[r] + __logf(l_i[r]) : 0.f;
  }
  store_rows(o + at(ov, place.b, 0, place.h), ov.row, acc, q0, p.queries, ty, tx);
}

// delta = sum_d dO O of every query, which is the softmax gradient's sum_j dA_ij A_ij. Grid (ceil(T / 8), B H), NT threads:
// one warp for a query.
extern "C" __global__ void __launch_bounds__(NT)
flash_delta(Problem p, const float* o, View ov, const float* dout, View dov, float* delta) {
  const int i = blockIdx.x * (NT / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  const int b = blockIdx.y / p.heads, h = blockIdx.y % p.heads;
  float sum = 0.f;
  if (i < p.queries)
    for (int d = lane; d < D; d += 32) sum += o[at(ov, b, i, h) + d] * dout[at(dov, b, i, h) + d];
#pragma unroll
  for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
  if (lane == 0 && i < p.queries) delta[(long long)blockIdx.y * p.queries + i] = sum;
}

// The tile's A = m P (into `a`) and s dZ = s P (m dO V^T - delta) (into `dz`), both from tiles in shared memory:
// P = exp(s Q K^T - lse) again, instead of reading it from memory.
__device__ __forceinline__ void recompute(float (&a)[RM][RN], float (&dz)[RM][RN], const Problem& p, const Place& place,
                                          int h, const float* qs, const float* ks, const float* gs, const float* vs,
                                          const float* lse, const float* delta, int q0, int k0, int ty, int tx) {
  rows_times_rows<RM, RN>(a, qs, ks, ty, tx);   // Q K^T
  rows_times_rows<RM, RN>(dz, gs, vs, ty, tx);  // dA = dO V^T
#pragma unroll
  for (int r = 0; r < RM; ++r) {
    const int i = q0 + ty + TY * r;
    const float log_sum = i < p.queries ? lse[i] : 0.f, dot = i < p.queries ? delta[i] : 0.f;
#pragma unroll
    for (int c = 0; c < RN; ++c) {
      const int j = k0 + tx + TX * c;
      const bool on = i < p.queries && j < p.keys && allowed(p, place.padding, i, j);
      const float m = p.drop_below ? dropout(p, place.state, h, i, j) : 1.f;
      const float probability = on ? __expf(a[r][c] * p.scale - log_sum) : 0.f;
      a[r][c] = probability * m;
      dz[r][c] = probability * (m * dz[r][c] - dot) * p.scale;
    }
  }
}

// dK = sum s dZ^T Q and dV = sum A^T dO over all queries of the H / G heads that a key-value head serves; where dq is not
// null, dQ += s dZ K with atomics too. Grid (ceil(S / BC), B G), NT threads.
extern "C" __global__ void __launch_bounds__(NT)
flash_backward_keys(Problem p, const float* q, View qv, const float* k, View kv, const float* v, View vv,
                    const unsigned char* padding, const u64* states, const float* dout, View dov, const float* lse,
                    const float* delta, float* dq, View dqv, float* dk, View dkv, float* dv, View dvv) {
  DYNAMIC_SHARED(float, smem);
  float* ks = smem;          // BC x DS
  float* vs = ks + BC * DS;  // BC x DS
  float* qs = vs + BC * DS;  // BR x DS
  float* gs = qs + BR * DS;  // BR x DS, dO
  float* ps = gs + BR * DS;  // BR x PS, A and then s dZ
  const int tx = threadIdx.x % TX, ty = threadIdx.x / TX, k0 = blockIdx.x * BC;
  const Place place = key_head(p, blockIdx.y, padding, states);
  float dka[CM][DN], dva[CM][DN];
  zero(dka);
  zero(dva);
  load_tile<BC>(ks, k + at(kv, place.b, 0, place.g), kv.row, k0, p.keys);
  load_tile<BC>(vs, v + at(vv, place.b, 0, place.g), vv.row, k0, p.keys);
  const int start = first_query(p, k0) / BR * BR, end = last_query(p, min(k0 + BC, p.keys));
  for (int h = place.h; h < place.h + p.heads / p.groups; ++h) {
    const long long row = ((long long)place.b * p.heads + h) * p.queries;  // of lse and delta
    for (int q0 = start; q0 < end; q0 += BR) {
      load_tile<BR>(qs, q + at(qv, place.b, 0, h), qv.row, q0, p.queries);
      load_tile<BR>(gs, dout + at(dov, place.b, 0, h), dov.row, q0, p.queries);
      __syncthreads();  // the tiles are in
      float a[RM][RN], dz[RM][RN];
      recompute(a, dz, p, place, h, qs, ks, gs, vs, lse + row, delta + row, q0, k0, ty, tx);
      store_scores(ps, a, ty, tx);
      __syncthreads();                                         // A is in
      scores_transposed_times_rows<CM>(dva, ps, gs, ty, tx);  // O = A V: dV += A^T dO
      __syncthreads();                                         // ps may be overwritten
      store_scores(ps, dz, ty, tx);
      __syncthreads();                                         // s dZ is in
      scores_transposed_times_rows<CM>(dka, ps, qs, ty, tx);  // Z = s Q K^T: dK += s dZ^T Q
      if (dq) {
        float dqa[RM][DN];
        zero(dqa);
        scores_times_rows<RM>(dqa, ps, ks, ty, tx);  // Z = s Q K^T: dQ += s dZ K
#pragma unroll
        for (int r = 0; r < RM; ++r)
#pragma unroll
          for (int c = 0; c < DN; ++c)
            if (q0 + ty + TY * r < p.queries && tx + TX * c < D)
              atomicAdd(&dq[at(dqv, place.b, q0 + ty + TY * r, h) + tx + TX * c], dqa[r][c]);
      }
      __syncthreads();  // qs, gs and ps may be overwritten
    }
  }
  store_rows(dk + at(dkv, place.b, 0, place.g), dkv.row, dka, k0, p.keys, ty, tx);
  store_rows(dv + at(dvv, place.b, 0, place.g), dvv.row, dva, k0, p.keys, ty, tx);
}

// dQ = s dZ K, without atomics. Grid (ceil(T / BR), B H), NT threads.
extern "C" __global__ void __launch_bounds__(NT)
flash_backward_queries(Problem p, const float* q, View qv, const float* k, View kv, const float* v, View vv,
                       const unsigned char* padding, const u64* states, const float* dout, View dov, const float* lse,
                       const float* delta, float* dq, View dqv) {
  DYNAMIC_SHARED(float, smem);
  float* qs = smem;          // BR x DS
  float* gs = qs + BR * DS;  // BR x DS, dO
  float* ks = gs + BR * DS;  // BC x DS
  float* vs = ks + BC * DS;  // BC x DS
  float* ps = vs + BC * DS;  // BR x PS, s dZ
  const int tx = threadIdx.x % TX, ty = threadIdx.x / TX, q0 = blockIdx.x * BR;
  const Place place = query_head(p, blockIdx.y, padding, states);
  const long long row = (long long)blockIdx.y * p.queries;
  float dqa[RM][DN];
  zero(dqa);
  load_tile<BR>(qs, q + at(qv, place.b, 0, place.h), qv.row, q0, p.queries);
  load_tile<BR>(gs, dout + at(dov, place.b, 0, place.h), dov.row, q0, p.queries);
  const int end = last_key(p, min(q0 + BR, p.queries));
  for (int k0 = first_key(p, q0) / BC * BC; k0 < end; k0 += BC) {
    load_tile<BC>(ks, k + at(kv, place.b, 0, place.g), kv.row, k0, p.keys);
    load_tile<BC>(vs, v + at(vv, place.b, 0, place.g), vv.row, k0, p.keys);
    __syncthreads();  // the tiles are in
    float a[RM][RN], dz[RM][RN];
    recompute(a, dz, p, place, place.h, qs, ks, gs, vs, lse + row, delta + row, q0, k0, ty, tx);
    store_scores(ps, dz, ty, tx);
    __syncthreads();                             // s dZ is in
    scores_times_rows<RM>(dqa, ps, ks, ty, tx);  // Z = s Q K^T: dQ += s dZ K
    __syncthreads();                             // ks, vs and ps may be overwritten
  }
  store_rows(dq + at(dqv, place.b, 0, place.h), dqv.row, dqa, q0, p.queries, ty, tx);
}
