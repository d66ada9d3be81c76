// The gradient of an embedding, dE_v = s Σ_{n: id_n = v} dy_n, with the ids sorted beforehand (stably): equal ids stand side
// by side, and the block of the first of them adds them up in the order of the text. Nobody else touches that row of dE,
// so no atomic addition is needed and the bits are the same every time.
//
// What moves: dy once, gathered row by row; each row of dE that occurs once. What limits it: memory, and for a very
// frequent token the one block that adds its rows.
#include "element.cuh"
#define THREADS 128

// ids: (N,) sorted; order: (N,) where they stood; dy: (N, C); dtable: (V, C), added to.
extern "C" __global__ void __launch_bounds__(THREADS)
embedding_backward(const long long* ids, const long long* order, const element* dy, real* dtable, long long count,
                   int width, real scale) {
  const long long first = blockIdx.x, id = ids[first];
  if (first && ids[first - 1] == id) return;
  long long last = first + 1;
  while (last < count && ids[last] == id) ++last;
  for (int c = threadIdx.x; c < width; c += THREADS) {
    real sum = 0;
    for (long long n = first; n < last; ++n) sum += widen(dy[order[n] * width + c]);
    dtable[id * width + c] += scale * sum;
  }
}
