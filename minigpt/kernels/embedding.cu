// The gradient of an embedding, dE_v = s Σ_{n: id_n = v} dy_n, with the ids sorted beforehand (stably): equal ids stand side
// by side, a run. Blocks take CHUNK sorted ids each, so that a token that occurs ten thousand times keeps nobody waiting.
// A run inside of a chunk is added to its row of dE at once. One that goes on over an edge leaves its part, and the second
// kernel adds those parts from left to right. Nobody else touches that row of dE, so no atomic addition is needed and the
// bits are the same every time.
//
// What moves: dy once, gathered row by row; each row of dE that occurs once. What limits it: memory.
#include "element.cuh"
#define THREADS 128
#define CHUNK 32

// ids: (N,) sorted; order: (N,) where they stood; dy: (N, C); dtable: (V, C), added to. partial: (chunks, 2, C), of each
// chunk what belongs to the run before it, and what belongs to a run that goes on behind it.
extern "C" __global__ void __launch_bounds__(THREADS)
embedding_backward(const long long* ids, const long long* order, const element* dy, real* dtable, real* partial,
                   long long count, int width, real scale) {
  const long long begin = blockIdx.x * (long long)CHUNK, end = begin + CHUNK < count ? begin + CHUNK : count;
  for (int c = blockIdx.y * THREADS + threadIdx.x; c < width; c += gridDim.y * THREADS) {
    real sum = 0;
    bool inside = !begin || ids[begin - 1] != ids[begin];  // whether the run began in this chunk
    for (long long n = begin; n < end; ++n) {
      sum += widen(dy[order[n] * width + c]);
      if (n + 1 < end && ids[n + 1] == ids[n]) continue;
      const bool goes_on = n + 1 == end && end < count && ids[end] == ids[n];
      if (!inside)
        partial[2 * blockIdx.x * (long long)width + c] = sum;
      else if (goes_on)
        partial[(2 * blockIdx.x + 1) * (long long)width + c] = sum;
      else
        dtable[ids[n] * width + c] += scale * sum;
      sum = 0;
      inside = true;
    }
  }
}
// A block for every chunk in which a run begins that goes on behind it.
extern "C" __global__ void __launch_bounds__(THREADS)
embedding_add_runs(const long long* ids, const real* partial, real* dtable, long long count, int width, real scale) {
  const long long end = (blockIdx.x + 1) * (long long)CHUNK;
  if (end >= count) return;
  const long long id = ids[end - 1], begin = end - CHUNK;
  if (ids[end] != id || (begin && ids[begin] == id && ids[begin - 1] == id)) return;  // it ends here, or began before
  for (int c = blockIdx.y * THREADS + threadIdx.x; c < width; c += gridDim.y * THREADS) {
    real sum = partial[(2 * blockIdx.x + 1) * (long long)width + c];
    for (long long start = end; start < count && ids[start] == id; start += CHUNK)
      sum += partial[2 * (start / CHUNK) * (long long)width + c];
    dtable[id * width + c] += scale * sum;
  }
}
