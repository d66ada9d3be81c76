import numpy as np

from . import Answer


def rmsnorm_backward(dy, x, gain, eps, gained=True, inside=True):
    mean = (x**2).mean(axis=-1, keepdims=True)
    r = np.sqrt(mean + eps) if inside else np.sqrt(mean) + eps
    normalized, g = x / r, dy * gain if gained else dy
    return (g - normalized * (g * normalized).mean(axis=-1, keepdims=True)) / r


def rotate(x, position, base, sign=1):
    angle = sign * position * base ** (-np.arange(0, len(x), 2) / len(x))
    turned = np.empty_like(x)
    turned[0::2] = x[0::2] * np.cos(angle) - x[1::2] * np.sin(angle)
    turned[1::2] = x[0::2] * np.sin(angle) + x[1::2] * np.cos(angle)
    return turned


def rotate_halves(x, position, base):
    half = len(x) // 2
    order = np.stack([np.arange(half), np.arange(half) + half], axis=1).ravel()
    turned = np.empty_like(x)
    turned[order] = rotate(x[order], position, base)
    return turned


def swiglu_backward(dy, gate, up):
    s = 1 / (1 + np.exp(-gate))
    return dy * up * s * (1 + gate * (1 - s)), dy * gate * s


def cache_bytes(rows, tokens, layers, kv_heads, head_width, bytes_per_number):
    return 2 * rows * tokens * layers * kv_heads * head_width * bytes_per_number


def meta_to_halves(weight, heads):
    by_head = weight.reshape(heads, -1, weight.shape[1])
    return np.concatenate([by_head[:, 0::2], by_head[:, 1::2]], axis=1).reshape(weight.shape)


ANSWERS = (
    Answer(
        rmsnorm_backward,
        (
            lambda *a: rmsnorm_backward(*a, gained=False),
            lambda *a: rmsnorm_backward(*a, inside=False),
            lambda dy, x, gain, eps: dy * gain / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps),
        ),
    ),
    Answer(
        rotate,
        (rotate_halves, lambda x, m, base: rotate(x, m, base, sign=-1), lambda x, m, base: rotate(x, m, 10000.0)),
    ),
    Answer(
        swiglu_backward,
        (
            lambda dy, a, b: swiglu_backward(dy, a, b)[::-1],
            lambda dy, a, b: swiglu_backward(dy, b, a),
            lambda dy, a, b: np.concatenate(swiglu_backward(dy, a, b), axis=-1),
        ),
    ),
    Answer(cache_bytes, (lambda *n: cache_bytes(*n) // 2, lambda *n: cache_bytes(*n) * 8)),
    Answer(
        meta_to_halves,
        (lambda w, heads: w, lambda w, heads: meta_to_halves(w, 1), lambda w, heads: w[::-1]),
    ),
)
