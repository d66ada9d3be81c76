// Sums over the rows of a matrix, in two stages, both in a fixed order: gradients of biases and gains.
//
// What it changes from an array library's sum over the first axis: the rows are shared out among many blocks (a library
// may give a block a few columns and all rows), and 16-bit numbers are read as they are, not as a float32 copy. What
// moves: the matrix once. What limits it: memory.
#include "element.cuh"
#define THREADS 256

// partial: (gridDim.y, width).
extern "C" __global__ void __launch_bounds__(THREADS)
column_sums(const element* x, real* partial, long long rows, int width) {
  real sum[PACK] = {};
  own_columns(rows, width, [&](long long at) {
    real v[PACK];
    load(v, x + at);
#pragma unroll
    for (int i = 0; i < PACK; ++i) sum[i] += v[i];
  });
  store_partial(partial, width, sum);
}

// Second stage: partial is (parts, stride); its first `width` columns are added to `first`, the next to `second`, which
// may be null. A block takes 32 columns, and its 8 rows of threads every eighth part.
extern "C" __global__ void __launch_bounds__(THREADS)
add_sums(const real* partial, real* first, real* second, int parts, int stride, int width) {
  __shared__ real sums[8][32];
  const int c = blockIdx.x * 32 + threadIdx.x, all = second ? 2 * width : width;
  real sum = 0;
  if (c < all)
    for (int part = threadIdx.y; part < parts; part += 8) sum += partial[part * (long long)stride + c];
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y || c >= all) return;
  for (int y = 1; y < 8; ++y) sum += sums[y][threadIdx.x];
  (c < width ? first[c] : second[c - width]) += sum;
}

// Σ x² of many numbers: partial is (gridDim.x), and whoever asks adds those up.
extern "C" __global__ void __launch_bounds__(THREADS) squares(const real* x, real* partial, long long size) {
  __shared__ real scratch[THREADS / 32];
  real sum = 0;
  for (long long i = blockIdx.x * (long long)THREADS + threadIdx.x; i < size; i += gridDim.x * (long long)THREADS)
    sum += x[i] * x[i];
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
