// flash.cu -- rung 3: the online softmax (Milakov & Gimelshein 2018; FlashAttention, Dao et al. 2022, 2023), in fp32.
//
// What changes: the T x S scores are never in memory. A block owns BR queries and walks over the keys in tiles of BC; the
// softmax of the keys seen so far is kept as a running maximum m and sum l, and the output so far is rescaled by
// exp(m_old - m_new) whenever the maximum grows. One number for each query, log(sum exp) = m + log l, is kept for the
// backward pass, which computes the scores again instead of reading them.
// What moves: Q and O once; K and V once for every block of queries, T / BR times, mostly from the L2 cache. No T x S.
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
#define MASKED (-1e30f)         // a score that the mask rules out; finite, so that no infinity meets another

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
#pragma unroll 4
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

// O = dropout(softmax(s Q K^T)) V and lse = log sum exp. Grid (ceil(T / BR), B H), NT threads.
extern "C" __global__ void __launch_bounds__(NT)
flash_forward(Problem p, const float* q, View qv, const float* k, View kv, const float* v, View vv,
              const unsigned char* padding, const u64* states, float* o, View ov, float* lse) {
  DYNAMIC_SHARED(float, smem);
  float* qs = smem;          // BR x DS
  float* ks = qs + BR * DS;  // BC x DS
  float* vs = ks + BC * DS;  // BC x DS
  float* ps = vs + BC * DS;  // BR x PS, probabilities of the tile before they are divided by l
  const int tx = threadIdx.x % TX, ty = threadIdx.x / TX;
  const int q0 = blockIdx.x * BR, b = blockIdx.y / p.heads, h = blockIdx.y % p.heads, g = h / (p.heads / p.groups);
  q += at(qv, b, 0, h);
  k += at(kv, b, 0, g);
  v += at(vv, b, 0, g);
  if (padding) padding += (long long)b * p.keys;
  const u64 state = states ? states[b] : 0;

  float acc[RM][DN], m_i[RM], l_i[RM];
#pragma unroll
  for (int r = 0; r < RM; ++r) {
    m_i[r] = MASKED;
    l_i[r] = 0.f;
#pragma unroll
    for (int c = 0; c < DN; ++c) acc[r][c] = 0.f;
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
        s[r][c] = j < p.keys && allowed(p, padding, i, j) ? s[r][c] * p.scale : MASKED;
        largest = fmaxf(largest, s[r][c]);
      }
      largest = row_max(largest);
      const float shrink = __expf(m_i[r] - largest);
      float sum = 0.f;
#pragma unroll
      for (int c = 0; c < RN; ++c) {
        const int j = k0 + tx + TX * c;
        float e = s[r][c] == MASKED ? 0.f : __expf(s[r][c] - largest);
        sum += e;  // l sums what softmax divides by; only the entry itself is dropped
        if (p.drop_below) e *= dropout(p, state, h, i, j);
        ps[(ty + TY * r) * PS + tx + TX * c] = e;
      }
      l_i[r] = l_i[r] * shrink + row_sum(sum);
      m_i[r] = largest;
#pragma unroll
      for (int c = 0; c < DN; ++c) acc[r][c] *= shrink;
    }
    __syncthreads();  // the probabilities are in
    scores_times_rows<RM>(acc, ps, vs, ty, tx);
    __syncthreads();  // ks, vs and ps may be overwritten
  }
#pragma unroll
  for (int r = 0; r < RM; ++r) {
    const int i = q0 + ty + TY * r;
    if (i >= p.queries) continue;
    const float inverse = l_i[r] > 0.f ? 1.f / l_i[r] : 0.f;  // nothing to look at: zeros
#pragma unroll
    for (int c = 0; c < DN; ++c)
      if (tx + TX * c < D) o[at(ov, b, i, h) + tx + TX * c] = acc[r][c] * inverse;
    if (tx == 0) lse[(long long)blockIdx.y * p.queries + i] = l_i[r] > 0.f ? m_i[r] + __logf(l_i[r]) : 0.f;
  }
}
