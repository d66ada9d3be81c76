// naive.cu -- rung 1: the definition. One thread computes one number, straight from the formula, in fp32.
//
// What it does: the T x S probabilities P of every head are written to memory, and every product of the forward and the
// backward pass is a kernel in which a thread loops over one dot product or one sum.
// What moves: each thread reads both operands of each multiply-add from memory; caches catch what neighbours share, but
// nothing is reused on purpose. Besides, T x S floats pass through memory four times forward (scores out, softmax in and
// out, weighted sum in) and seven times backward.
// What limits it: memory instructions. There are two loads for every multiply-add, so the arithmetic units idle.
#include "attention.cuh"

#define COLUMNS 32  // a block of 32 x 8 threads covers 8 rows and 32 columns of a result
#define ROWS 8

// Z = s Q K^T, MASKED where the mask says so. Grid (ceil(S / 32), ceil(T / 8), B H).
extern "C" __global__ void naive_scores(Problem p, const float* q, View qv, const float* k, View kv,
                                        const unsigned char* padding, float* scores) {
  const int j = blockIdx.x * COLUMNS + threadIdx.x, i = blockIdx.y * ROWS + threadIdx.y;
  if (i >= p.queries || j >= p.keys) return;
  const Place place = query_head(p, blockIdx.z, padding, nullptr);
  q += at(qv, place.b, i, place.h);
  k += at(kv, place.b, j, place.g);
  float sum = 0.f;
  for (int d = 0; d < p.width; ++d) sum += q[d] * k[d];
  const long long entry = ((long long)blockIdx.z * p.queries + i) * p.keys + j;
  scores[entry] = allowed(p, place.padding, i, j) ? sum * p.scale : MASKED;
}

// P = softmax(Z) in place, one thread for a row; a row of MASKED becomes zeros. Grid (ceil(T / 256), B H), 256 threads.
extern "C" __global__ void naive_softmax(Problem p, float* scores) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= p.queries) return;
  float* row = scores + ((long long)blockIdx.y * p.queries + i) * p.keys;
  float largest = MASKED, sum = 0.f;
  for (int j = 0; j < p.keys; ++j) largest = fmaxf(largest, row[j]);
  for (int j = 0; j < p.keys; ++j) {
    row[j] = row[j] == MASKED ? 0.f : __expf(row[j] - largest);
    sum += row[j];
  }
  const float inverse = sum > 0.f ? 1.f / sum : 0.f;
  for (int j = 0; j < p.keys; ++j) row[j] *= inverse;
}

// O = A V with A = m P. Grid (ceil(D / 32), ceil(T / 8), B H).
extern "C" __global__ void naive_output(Problem p, const float* probabilities, const float* v, View vv, const u64* states,
                                        float* o, View ov) {
  const int d = blockIdx.x * COLUMNS + threadIdx.x, i = blockIdx.y * ROWS + threadIdx.y;
  if (i >= p.queries || d >= p.width) return;
  const Place place = query_head(p, blockIdx.z, nullptr, states);
  const float* row = probabilities + ((long long)blockIdx.z * p.queries + i) * p.keys;
  float sum = 0.f;
  for (int j = 0; j < p.keys; ++j) {
    const float m = p.drop_below ? dropout(p, place.state, place.h, i, j) : 1.f;
    sum += m * row[j] * v[at(vv, place.b, j, place.g) + d];
  }
  o[at(ov, place.b, i, place.h) + d] = sum;
}

// O = A V, A = m P:  dP = m dO V^T. Grid (ceil(S / 32), ceil(T / 8), B H).
extern "C" __global__ void naive_dprobabilities(Problem p, const float* dout, View dov, const float* v, View vv,
                                                const u64* states, float* dprobabilities) {
  const int j = blockIdx.x * COLUMNS + threadIdx.x, i = blockIdx.y * ROWS + threadIdx.y;
  if (i >= p.queries || j >= p.keys) return;
  const Place place = query_head(p, blockIdx.z, nullptr, states);
  dout += at(dov, place.b, i, place.h);
  v += at(vv, place.b, j, place.g);
  float sum = 0.f;
  for (int d = 0; d < p.width; ++d) sum += dout[d] * v[d];
  const float m = p.drop_below ? dropout(p, place.state, place.h, i, j) : 1.f;
  dprobabilities[((long long)blockIdx.z * p.queries + i) * p.keys + j] = m * sum;
}

// P = softmax(Z):  s dZ = s P (dP - rowsum(dP P)), in place of dP. Grid (ceil(T / 256), B H), 256 threads.
extern "C" __global__ void naive_softmax_backward(Problem p, const float* probabilities, float* dscores) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= p.queries) return;
  const long long start = ((long long)blockIdx.y * p.queries + i) * p.keys;
  const float* row = probabilities + start;
  float* drow = dscores + start;
  float dot = 0.f;
  for (int j = 0; j < p.keys; ++j) dot += drow[j] * row[j];
  for (int j = 0; j < p.keys; ++j) drow[j] = row[j] * (drow[j] - dot) * p.scale;
}

// Z = s Q K^T:  dQ = s dZ K. Grid (ceil(D / 32), ceil(T / 8), B H).
extern "C" __global__ void naive_dq(Problem p, const float* dscores, const float* k, View kv, float* dq, View dqv) {
  const int d = blockIdx.x * COLUMNS + threadIdx.x, i = blockIdx.y * ROWS + threadIdx.y;
  if (i >= p.queries || d >= p.width) return;
  const Place place = query_head(p, blockIdx.z, nullptr, nullptr);
  const float* row = dscores + ((long long)blockIdx.z * p.queries + i) * p.keys;
  float sum = 0.f;
  for (int j = 0; j < p.keys; ++j) sum += row[j] * k[at(kv, place.b, j, place.g) + d];
  dq[at(dqv, place.b, i, place.h) + d] = sum;
}

// Z = s Q K^T:  dK = s dZ^T Q, summed over the heads that this key served. Grid (ceil(D / 32), ceil(S / 8), B G).
extern "C" __global__ void naive_dk(Problem p, const float* dscores, const float* q, View qv, float* dk, View dkv) {
  const int d = blockIdx.x * COLUMNS + threadIdx.x, j = blockIdx.y * ROWS + threadIdx.y;
  if (j >= p.keys || d >= p.width) return;
  const Place place = key_head(p, blockIdx.z, nullptr, nullptr);
  float sum = 0.f;
  for (int h = place.h; h < place.h + p.heads / p.groups; ++h) {
    const float* column = dscores + ((long long)place.b * p.heads + h) * p.queries * p.keys + j;
    for (int i = 0; i < p.queries; ++i) sum += column[(long long)i * p.keys] * q[at(qv, place.b, i, h) + d];
  }
  dk[at(dkv, place.b, j, place.g) + d] = sum;
}

// O = A V, A = m P:  dV = A^T dO, summed over the heads that this value served. Grid (ceil(D / 32), ceil(S / 8), B G).
extern "C" __global__ void naive_dv(Problem p, const float* probabilities, const float* dout, View dov, const u64* states,
                                    float* dv, View dvv) {
  const int d = blockIdx.x * COLUMNS + threadIdx.x, j = blockIdx.y * ROWS + threadIdx.y;
  if (j >= p.keys || d >= p.width) return;
  const Place place = key_head(p, blockIdx.z, nullptr, states);
  float sum = 0.f;
  for (int h = place.h; h < place.h + p.heads / p.groups; ++h) {
    const float* column = probabilities + ((long long)place.b * p.heads + h) * p.queries * p.keys + j;
    for (int i = 0; i < p.queries; ++i) {
      const float m = p.drop_below ? dropout(p, place.state, h, i, j) : 1.f;
      sum += m * column[(long long)i * p.keys] * dout[at(dov, place.b, i, h) + d];
    }
  }
  dv[at(dvv, place.b, j, place.g) + d] = sum;
}
