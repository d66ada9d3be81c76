// Attention forward on tensor cores (rung 4): O = softmax(s Q Kᵀ + mask) V, bfloat16, float16 or TF32, sm_80 and later.
//
// What it changes from the flash rung: the two products run on tensor cores (mma.sync), tiles come in by asynchronous
// copies while the previous tile is worked on, and probabilities stay in registers, since an accumulator is laid out
// like a left operand. What moves: Q, O once, K and V once for every OWN queries, through shared memory; nothing of
// size T × S. What limits it: the tensor cores, next to them the shared-memory reads of the operands (each K and V
// fragment serves FRAGMENTS products) and one exponential for each score.
//
// One block: OWN = 64·FRAGMENTS queries of one head; the longest causal rows start first.
#include "mma.cuh"

// One step of the online softmax: new scores s arrive for a warp's rows. Raises `largest`, scales `total` and `sum` down
// to it, and turns s into exp(scale (s − largest)); masked scores are −∞ and become 0.
__device__ __forceinline__ void softmax_step(float (&s)[FRAGMENTS][STREAM / 8][4], float (&largest)[FRAGMENTS][2],
                                             float (&sum)[FRAGMENTS][2], float (&total)[FRAGMENTS][D / 8][4],
                                             float scale_log2) {
#pragma unroll
  for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = largest[f][half];
#pragma unroll
      for (int n = 0; n < STREAM / 8; ++n) top = fmaxf(top, fmaxf(s[f][n][2 * half], s[f][n][2 * half + 1]));
      top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));  // the 4 lanes that share a row
      top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
      const float base = top == NOTHING ? 0.f : top * scale_log2;  // a row that has seen nothing yet: exp(−∞) = 0
      const float down = fast_exp2(largest[f][half] * scale_log2 - base);
      largest[f][half] = top;
      sum[f][half] *= down;
#pragma unroll
      for (int n = 0; n < D / 8; ++n) total[f][n][2 * half] *= down, total[f][n][2 * half + 1] *= down;
#pragma unroll
      for (int n = 0; n < STREAM / 8; ++n)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          s[f][n][i] = fast_exp2(s[f][n][i] * scale_log2 - base);
          sum[f][half] += s[f][n][i];  // this lane's part; the lanes are added up at the end
        }
    }
}

// Grid (⌈T/OWN⌉, H, B).
extern "C" __global__ void __launch_bounds__(THREADS)
mma_forward(Problem p, const element* q, View qv, const element* k, View kv, const element* v, View vv,
            const unsigned char* padding, const u64* states, element* o, View ov, float* lse) {
  DYNAMIC_SHARED(element, shared);
  element* q_tile = shared;                     // (OWN, D)
  element* k_tiles = q_tile + OWN * D;          // 2 × (STREAM, D)
  element* v_tiles = k_tiles + 2 * STREAM * D;  // 2 × (STREAM, D)
  const int b = blockIdx.z, h = blockIdx.y, g = h / (p.heads / p.groups);
  const int t0 = (gridDim.x - 1 - blockIdx.x) * OWN;
  q += at(qv, b, 0, h), k += at(kv, b, 0, g), v += at(vv, b, 0, g), o += at(ov, b, 0, h);
  if (padding) padding += (long long)b * p.keys;
  const u64 state = DROPOUT ? states[b] : 0;
  const int first = first_key(p, t0) / STREAM;
  const int last = (last_key(p, min(t0 + OWN, p.queries)) + STREAM - 1) / STREAM;

  ACCUMULATOR(total, D);
  float largest[FRAGMENTS][2], sum[FRAGMENTS][2];
  clear(total);
#pragma unroll
  for (int f = 0; f < FRAGMENTS; ++f) largest[f][0] = largest[f][1] = NOTHING, sum[f][0] = sum[f][1] = 0.f;

  if (first < last) {
    load_tile<OWN>(q_tile, q, qv.row, t0, p.queries);
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
    cp_async_commit();  // one group a tile, the last one empty
    cp_async_wait<1>();
    __syncthreads();  // everyone's copies of this tile have landed

    ACCUMULATOR(s, STREAM);
    product_abt(s, q_tile, k_tiles + buffer);  // S = Q Kᵀ
    mask_scores<false>(s, p, padding, t0, s0);
    softmax_step(s, largest, sum, total, p.scale * LOG2_E);
    if (DROPOUT) {  // of P, not of its sum
#pragma unroll
      for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
        for (int n = 0; n < STREAM / 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i)
            s[f][n][i] *= dropout(p, state, h, t0 + own_row(f, i), s0 + stream_column(n, i));
    }
    add_product_ab(total, s, v_tiles + buffer);  // O += P V
    __syncthreads();  // everyone is done with this buffer before it is filled again
  }
  cp_async_wait<0>();

  float inverse[FRAGMENTS][2];
#pragma unroll
  for (int f = 0; f < FRAGMENTS; ++f)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float x = sum[f][half];
      x += __shfl_xor_sync(0xffffffffu, x, 1);
      x += __shfl_xor_sync(0xffffffffu, x, 2);
      inverse[f][half] = x > 0.f ? 1.f / x : 0.f;  // a query with nothing to look at gets zeros
      const int t = t0 + own_row(f, 2 * half);
      if (t < p.queries && threadIdx.x % 4 == 0)  // +∞ where there is nothing: exp(s − ∞) is 0 in the backward pass
        lse[((long long)b * p.heads + h) * p.queries + t] = x > 0.f ? largest[f][half] * p.scale + logf(x) : -NOTHING;
    }
  store_rows(o, ov.row, total, inverse, t0, p.queries);
}
