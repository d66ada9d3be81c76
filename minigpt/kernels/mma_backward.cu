// Attention backward on tensor cores (rung 4): dQ, dK and dV from dO and the forward pass's log-sum-exp.
//
// With P = exp(s Q Kᵀ − lse), recomputed tile by tile, M the dropout multipliers and δ = rowsum(dO ∘ O):
//     dV = (M P)ᵀ dO,   dP = M (dO Vᵀ),   dZ = P (dP − δ),   dQ = s dZ K,   dK = s dZᵀ Q.
// rowsum(P ∘ dP) = rowsum(dO ∘ O) is known before the sum over keys is made, so no pass needs a whole row.
//
// Two kernels that mirror each other. mma_backward_keys owns keys: K, V stay, Q and dO pass by, and it works on the
// transposes Sᵀ = K Qᵀ and dPᵀ = V dOᵀ, so that P and dZ are left operands in the registers where they were made.
// mma_backward_queries owns queries: Q, dO stay, K and V pass by. Every sum has one owner and a fixed order, so the same
// input gives the same bits: 7 products instead of 5, since both recompute P and dP. With -DATOMIC_DQ the first kernel
// makes dQ too: 5 products, dZ goes through shared memory, and sums over key blocks arrive in any order.
//
// What moves: what a kernel owns once, what passes by once for every OWN rows. What limits it: tensor cores and the
// shared-memory reads that feed them; registers, which hold two or three accumulators.
#include "mma.cuh"

// δ = rowsum(dO ∘ O), (B, H, T): one warp for each row. Grid (⌈T/WARPS⌉, H, B).
extern "C" __global__ void __launch_bounds__(THREADS)
mma_delta(Problem p, const element* o, View ov, const element* dout, View dov, float* delta) {
  const int t = blockIdx.x * WARPS + threadIdx.x / 32, h = blockIdx.y, b = blockIdx.z, lane = threadIdx.x % 32;
  if (t >= p.queries) return;  // a whole warp
  o += at(ov, b, t, h), dout += at(dov, b, t, h);
  float sum = 0.f;
  for (int d = lane; d < D; d += 32) sum += widen(o[d]) * widen(dout[d]);
#pragma unroll
  for (int other = 16; other; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
  if (lane == 0) delta[((long long)b * p.heads + h) * p.queries + t] = sum;
}

// Grid (⌈S/OWN⌉, G, B). dq_sum is for ATOMIC_DQ only, (B, H, T, D) float32.
extern "C" __global__ void __launch_bounds__(THREADS)
mma_backward_keys(Problem p, const element* q, View qv, const element* k, View kv, const element* v, View vv,
                  const unsigned char* padding, const u64* states, const element* dout, View dov, const float* lse,
                  const float* delta, element* dk, View dkv, element* dv, View dvv, float* dq_sum) {
  DYNAMIC_SHARED(element, shared);
  element* k_tile = shared;                      // (OWN, D)
  element* v_tile = k_tile + OWN * D;            // (OWN, D)
  element* q_tiles = v_tile + OWN * D;           // 2 × (STREAM, D)
  element* do_tiles = q_tiles + 2 * STREAM * D;  // 2 × (STREAM, D)
  float* row_numbers = reinterpret_cast<float*>(do_tiles + 2 * STREAM * D);  // 2 × (lse of STREAM queries, their δ)
  const int b = blockIdx.z, g = blockIdx.y, repeats = p.heads / p.groups, s0 = blockIdx.x * OWN;
  q += at(qv, b, 0, 0), dout += at(dov, b, 0, 0), k += at(kv, b, 0, g), v += at(vv, b, 0, g);
  if (padding) padding += (long long)b * p.keys;
  const u64 state = DROPOUT ? states[b] : 0;
  const int first = first_query(p, s0) / STREAM;
  const int tiles = max(0, (last_query(p, min(s0 + OWN, p.keys)) + STREAM - 1) / STREAM - first);
  const int count = tiles * repeats;  // the query tiles of the first head of the group, then of the next, …

  auto load = [&](int n) {
    const int h = g * repeats + n / tiles, t0 = (first + n % tiles) * STREAM, buffer = n % 2 * STREAM * D;
    load_tile<STREAM>(q_tiles + buffer, q + h * qv.head, qv.row, t0, p.queries);
    load_tile<STREAM>(do_tiles + buffer, dout + h * dov.head, dov.row, t0, p.queries);
  };
  auto row_number = [&](int n) {  // thread i's number of tile n: lse of query i, or δ of query i − STREAM
    const int h = g * repeats + n / tiles, i = threadIdx.x, t = (first + n % tiles) * STREAM + i % STREAM;
    const long long at_row = ((long long)b * p.heads + h) * p.queries + t;
    return n < count && i < 2 * STREAM && t < p.queries ? (i < STREAM ? lse[at_row] * LOG2_E : delta[at_row]) : 0.f;
  };

  ACCUMULATOR(dk_sum, D);
  ACCUMULATOR(dv_sum, D);
  clear(dk_sum);
  clear(dv_sum);
  if (count) {
    load_tile<OWN>(k_tile, k, kv.row, s0, p.keys);
    load_tile<OWN>(v_tile, v, vv.row, s0, p.keys);
    load(0);
    if (threadIdx.x < 2 * STREAM) row_numbers[threadIdx.x] = row_number(0);
  }
  cp_async_commit();
  for (int n = 0; n < count; ++n) {
    const int h = g * repeats + n / tiles, t0 = (first + n % tiles) * STREAM;
    const element *q_tile = q_tiles + n % 2 * STREAM * D, *do_tile = do_tiles + n % 2 * STREAM * D;
    const float *lse2 = row_numbers + n % 2 * 2 * STREAM, *deltas = lse2 + STREAM;
    if (n + 1 < count) load(n + 1);
    const float next_number = row_number(n + 1);  // waits in a register
    cp_async_commit();  // one group a tile, the last one empty
    cp_async_wait<1>();
    __syncthreads();  // everyone's copies of this tile have landed

    ACCUMULATOR(a, STREAM);
    ACCUMULATOR(dz, STREAM);
    product_abt(a, k_tile, q_tile);    // Sᵀ = K Qᵀ
    product_abt(dz, v_tile, do_tile);  // (dO Vᵀ)ᵀ
    mask_scores<true>(a, p, padding, s0, t0);
#pragma unroll
    for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
      for (int c = 0; c < STREAM / 8; ++c)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int t = stream_column(c, i);
          const float x = fast_exp2(a[f][c][i] * (p.scale * LOG2_E) - lse2[t]);  // P = exp(s Q Kᵀ − lse)
          const float m = DROPOUT ? dropout(p, state, h, t0 + t, s0 + own_row(f, i)) : 1.f;
          a[f][c][i] = m * x;                               // A = M P
          dz[f][c][i] = x * (m * dz[f][c][i] - deltas[t]);  // dZ = P (dP − δ)
        }
    add_product_ab(dv_sum, a, do_tile);  // dV += Aᵀ dO
    add_product_ab(dk_sum, dz, q_tile);  // dK/s += dZᵀ Q
#if defined(ATOMIC_DQ)
    element* dz_tile = reinterpret_cast<element*>(row_numbers + 4 * STREAM);  // (STREAM, OWN)
#pragma unroll
    for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
      for (int c = 0; c < STREAM / 8; ++c)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = stream_column(c, i), column = own_row(f, i);
          dz_tile[swizzled<OWN / CHUNK>(row, column / CHUNK) + column % CHUNK] = narrow(dz[f][c][i]);
        }
    __syncthreads();  // all of dZ is in
    float* to = dq_sum + ((long long)b * p.heads + h) * p.queries * D;
    for (int item = threadIdx.x / 32; item < STREAM / 16 * (D / 16); item += WARPS) {  // 16 × 16 parts of dZ K
      const int row = item / (D / 16) * 16, column = item % (D / 16) * 16;
      float part[2][4] = {};
#pragma unroll
      for (int step = 0; step < OWN / STEP; ++step) {
        u32 left[4], right[4];
        load_left_in_sum_order<OWN / CHUNK>(left, dz_tile, row, step);
        load_right_transposed(right, k_tile, step * STEP, column);
        mma(part[0], left, right[0], right[1]);
        mma(part[1], left, right[2], right[3]);
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int t = t0 + row + threadIdx.x % 32 / 4 + i % 4 / 2 * 8, d = column + stream_column(i / 4, i);
        if (t < p.queries) atomicAdd(to + (long long)t * D + d, p.scale * part[i / 4][i % 4]);
      }
    }
#endif
    if (threadIdx.x < 2 * STREAM) row_numbers[(n + 1) % 2 * 2 * STREAM + threadIdx.x] = next_number;
    __syncthreads();  // everyone is done with this buffer before it is filled again
  }
  cp_async_wait<0>();
  float once[FRAGMENTS][2], scales[FRAGMENTS][2];
#pragma unroll
  for (int f = 0; f < FRAGMENTS; ++f) once[f][0] = once[f][1] = 1.f, scales[f][0] = scales[f][1] = p.scale;
  store_rows(dv + at(dvv, b, 0, g), dvv.row, dv_sum, once, s0, p.keys);
  store_rows(dk + at(dkv, b, 0, g), dkv.row, dk_sum, scales, s0, p.keys);
}

// Grid (⌈T/OWN⌉, H, B).
extern "C" __global__ void __launch_bounds__(THREADS)
mma_backward_queries(Problem p, const element* q, View qv, const element* k, View kv, const element* v, View vv,
                     const unsigned char* padding, const u64* states, const element* dout, View dov, const float* lse,
                     const float* delta, element* dq, View dqv) {
  DYNAMIC_SHARED(element, shared);
  element* q_tile = shared;                     // (OWN, D)
  element* do_tile = q_tile + OWN * D;          // (OWN, D)
  element* k_tiles = do_tile + OWN * D;         // 2 × (STREAM, D)
  element* v_tiles = k_tiles + 2 * STREAM * D;  // 2 × (STREAM, D)
  const int b = blockIdx.z, h = blockIdx.y, g = h / (p.heads / p.groups);
  const int t0 = (gridDim.x - 1 - blockIdx.x) * OWN;  // the longest causal rows start first
  q += at(qv, b, 0, h), dout += at(dov, b, 0, h), k += at(kv, b, 0, g), v += at(vv, b, 0, g);
  if (padding) padding += (long long)b * p.keys;
  const u64 state = DROPOUT ? states[b] : 0;
  const int first = first_key(p, t0) / STREAM;
  const int last = (last_key(p, min(t0 + OWN, p.queries)) + STREAM - 1) / STREAM;

  float row_lse[FRAGMENTS][2], row_delta[FRAGMENTS][2], scales[FRAGMENTS][2];
#pragma unroll
  for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int t = t0 + own_row(f, 2 * half);
      const long long i = ((long long)b * p.heads + h) * p.queries + t;
      row_lse[f][half] = t < p.queries ? lse[i] * LOG2_E : 0.f;
      row_delta[f][half] = t < p.queries ? delta[i] : 0.f;
      scales[f][half] = p.scale;
    }
  ACCUMULATOR(dq_sum, D);
  clear(dq_sum);
  if (first < last) {
    load_tile<OWN>(q_tile, q, qv.row, t0, p.queries);
    load_tile<OWN>(do_tile, dout, dov.row, t0, p.queries);
    load_tile<STREAM>(k_tiles, k, kv.row, first * STREAM, p.keys);
    load_tile<STREAM>(v_tiles, v, vv.row, first * STREAM, p.keys);
  }
  cp_async_commit();
  for (int tile = first; tile < last; ++tile) {
    const int buffer = (tile - first) % 2 * STREAM * D, next = STREAM * D - buffer, s0 = tile * STREAM;
    if (tile + 1 < last) {
      load_tile<STREAM>(k_tiles + next, k, kv.row, s0 + STREAM, p.keys);
      load_tile<STREAM>(v_tiles + next, v, vv.row, s0 + STREAM, p.keys);
    }
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();  // everyone's copies of this tile have landed

    ACCUMULATOR(a, STREAM);
    ACCUMULATOR(dz, STREAM);
    product_abt(a, q_tile, k_tiles + buffer);    // S = Q Kᵀ
    product_abt(dz, do_tile, v_tiles + buffer);  // dO Vᵀ
    mask_scores<false>(a, p, padding, t0, s0);
#pragma unroll
    for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
      for (int n = 0; n < STREAM / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int t = t0 + own_row(f, i), s = s0 + stream_column(n, i);
          const float x = fast_exp2(a[f][n][i] * (p.scale * LOG2_E) - row_lse[f][i / 2]);  // P
          const float m = DROPOUT ? dropout(p, state, h, t, s) : 1.f;
          dz[f][n][i] = x * (m * dz[f][n][i] - row_delta[f][i / 2]);  // dZ = P (dP − δ)
        }
    add_product_ab(dq_sum, dz, k_tiles + buffer);  // dQ/s += dZ K
    __syncthreads();  // everyone is done with this buffer before it is filled again
  }
  cp_async_wait<0>();
  store_rows(dq + at(dqv, b, 0, h), dqv.row, dq_sum, scales, t0, p.queries);
}
