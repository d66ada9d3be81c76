// Dropout, with a bias and a residual sum on the way: y = residual + m (x + b), in the one kernel that writes y.
//
// What it changes from array operations: no array of multipliers is made or kept. Each is drawn where it is used, by the
// very generator of minigpt/ops/dropout.py, and drawn again in the backward pass. What moves: x, the residual and y once
// each. What limits it: memory; a draw for two numbers is a dozen integer operations.
#include "residual.cuh"
#define THREADS 256

// x, y: (rows, width), of which each `entries / width` rows are one row of the batch, whose entries count from `first`.
// bias, residual and states may be null; without states nothing is dropped. y may be x.
extern "C" __global__ void __launch_bounds__(THREADS)
dropout(const element* x, const real* bias, const element* residual, const u64* states, element* y, long long rows,
        int width, long long entries, long long first, unsigned drop_below, real keep) {
  const Residual s = {bias, residual, states, entries, first, drop_below, keep};
  real b[PACK];
  own_bias(b, bias, width);
  own_columns(rows, width, [&](long long at) {
    real a[PACK];
    load(a, x + at);
    add_residual(a, b, at, s);
    store(y + at, a);
  });
}
