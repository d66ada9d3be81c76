// attention.cuh -- what every rung of the attention ladder is told, and the two rules they all keep: the mask and dropout.
#pragma once
#include "common.cuh"

// The host fills these in (minigpt/kernels/attention.py). Query t of T stands at position t + S - T of the S keys.
struct Problem {
  int batch, queries, keys;  // B, T, S
  int heads, groups, width;  // H, G, D: H / G consecutive query heads share a key-value head
  int causal, window;        // window 0: none. |i - j| < window, see minigpt/ops/attention.py's Mask
  float scale;               // s in softmax(s Q K^T)
  unsigned drop_below;       // dropout: an entry whose 32-bit draw is below this falls; 0 keeps all
  float keep;                // what survives is multiplied with this, 1 / (1 - rate)
};
// Where row t of head h of batch b begins: base + b batch + t row + h head. Only the last axis is contiguous, so views
// of one fused projection need no copy. In elements.
struct View {
  long long batch, row, head;
};
__device__ __forceinline__ long long at(const View& v, int b, int t, int h) {
  return b * v.batch + t * v.row + h * v.head;
}

#define MASKED (-1e30f)  // a score that the mask rules out; finite, so that no infinity meets another

// May query i look at key j? `padding` is this batch row's (S) bytes, 0 at keys that do not count, or null.
__device__ __forceinline__ bool allowed(const Problem& p, const unsigned char* padding, int i, int j) {
  const int distance = i + p.keys - p.queries - j;
  if (p.causal && distance < 0) return false;
  if (p.window && (distance >= p.window || distance <= -p.window)) return false;
  return !padding || padding[j];
}
// The keys that queries [q0, q1) may look at lie in [first_key, last_key); tiles outside are not even loaded.
__device__ __forceinline__ int first_key(const Problem& p, int q0) {
  return p.window ? max(0, q0 + p.keys - p.queries - p.window + 1) : 0;
}
__device__ __forceinline__ int last_key(const Problem& p, int q1) {
  const int reach = q1 + p.keys - p.queries;  // one past the position of the last query
  if (p.causal) return min(p.keys, reach);
  return p.window ? min(p.keys, reach - 1 + p.window) : p.keys;
}
// The queries that may look at keys [k0, k1) lie in [first_query, last_query).
__device__ __forceinline__ int first_query(const Problem& p, int k0) {
  const int reach = k0 - (p.keys - p.queries);
  if (p.causal) return max(0, reach);
  return p.window ? max(0, reach - p.window + 1) : 0;
}
__device__ __forceinline__ int last_query(const Problem& p, int k1) {
  return p.window ? min(p.queries, k1 - 1 - (p.keys - p.queries) + p.window) : p.queries;
}

// Dropout's multiplier for one entry of the (H, T, S) probabilities of a batch row: the very draw of
// minigpt/ops/dropout.py, SplitMix64 on a counter, one 64-bit draw for two entries. `state` is where the row starts.
typedef unsigned long long u64;
__device__ __forceinline__ float dropout(const Problem& p, u64 state, int h, int i, int j) {
  const u64 entry = ((u64)h * p.queries + i) * p.keys + j;
  u64 z = state + (entry >> 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z ^= z >> 31;
  const unsigned draw = (unsigned)(entry & 1 ? z >> 32 : z);
  return draw < p.drop_below ? 0.f : p.keep;
}
// Which batch row and head a block works on, and what belongs to them. `n` counts B H query heads or B G key-value heads.
struct Place {
  int b, h, g;                   // batch row, query head, key-value head
  const unsigned char* padding;  // (S) of this batch row, or null
  u64 state;                     // its dropout generator's start
};
__device__ __forceinline__ Place query_head(const Problem& p, int n, const unsigned char* padding, const u64* states) {
  const int b = n / p.heads, h = n % p.heads;
  return {b, h, h / (p.heads / p.groups), padding ? padding + (long long)b * p.keys : padding, states ? states[b] : 0};
}
__device__ __forceinline__ Place key_head(const Problem& p, int n, const unsigned char* padding, const u64* states) {
  const int b = n / p.groups, g = n % p.groups;
  return {b, g * (p.heads / p.groups), g, padding ? padding + (long long)b * p.keys : padding, states ? states[b] : 0};
}
