import numpy as np

from . import Answer


def merge(m1, l1, a1, m2, l2, a2):
    m = max(m1, m2)
    if m == -np.inf:
        return m1, l1, a1
    r1, r2 = np.exp(m1 - m), np.exp(m2 - m)
    return m, l1 * r1 + l2 * r2, a1 * r1 + a2 * r2


def merge_to_nan(m1, l1, a1, m2, l2, a2):
    m = max(m1, m2)
    with np.errstate(invalid="ignore"):
        r1, r2 = np.exp(np.subtract(m1, m)), np.exp(np.subtract(m2, m))
    return m, l1 * r1 + l2 * r2, a1 * r1 + a2 * r2


def tile_backward(dy, q, k, v, lse, delta, scale):
    p = np.exp(scale * q @ k.T - lse[:, None])
    dz = p * (dy @ v.T - delta[:, None])
    return scale * dz @ k, scale * dz.T @ q, p.T @ dy


def normalised_again(dy, q, k, v, lse, delta, scale):
    p = np.exp(scale * q @ k.T - lse[:, None])
    p /= p.sum(axis=1, keepdims=True)
    dz = p * (dy @ v.T - delta[:, None]) * scale
    return dz @ k, dz.T @ q, p.T @ dy


def place(row, chunk, chunks):
    bits = min(8, chunks)
    return row * chunks + (chunk ^ (row // (8 // bits) % bits))


DIFFERENCES = """
extern "C" __global__ void differences(const float* x, float* y, int n) {
  DYNAMIC_SHARED(float, s);
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) s[threadIdx.x] = x[i];
  __syncthreads();
  if (i < n) y[i] = x[i] - (threadIdx.x > 0 ? s[threadIdx.x - 1] : i > 0 ? x[i - 1] : 0.f);
}
"""
BARRIER = "__syncthreads();"
DIVERGENT = DIFFERENCES.replace(BARRIER, "if (i < n) " + BARRIER)

ANSWERS = (
    Answer(
        merge,
        (
            merge_to_nan,
            lambda m1, l1, a1, m2, l2, a2: (max(m1, m2), l1 + l2, a1 + a2),
            lambda *parts: (*merge(*parts)[:2], parts[2] + parts[5]),
        ),
    ),
    Answer(
        tile_backward,
        (
            normalised_again,
            lambda dy, q, k, v, lse, delta, s: tile_backward(dy, q, k, v, lse, 0 * delta, s),
            lambda *arguments: tile_backward(*arguments)[::-1],
        ),
    ),
    Answer(
        place,
        (
            lambda row, chunk, chunks: row * chunks + chunk,
            lambda row, chunk, chunks: row * chunks + (chunk ^ row % chunks),
            lambda row, chunk, chunks: row * (chunks + 1) + chunk,  # padding instead
            lambda row, chunk, chunks: row % 8,
            3,
        ),
    ),
    Answer(
        DIFFERENCES, (DIFFERENCES.replace(BARRIER, ""), DIVERGENT, "no kernel", DIFFERENCES.replace("- (", "+ ("), 7)
    ),
)
