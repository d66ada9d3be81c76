import numpy as np

from minigpt import ops

from . import Answer


def squared_relu_backward(dy, x):
    return dy * 2 * x * (x > 0)


def parameter_count(vocab_size, context, layers, width, norm):
    block = 12 * width**2 + 13 * width
    return vocab_size * width + context * width + layers * block + (2 * width if norm == "pre" else 0)


def step_flops(batch, context, layers, width, vocab_size):
    forward = 2 * (12 * layers * width**2 + vocab_size * width) + 4 * layers * context * width
    return 3 * forward * batch * context


def layernorm_backward(dy, cache, dgain, dbias):
    dgain += (dy * cache.normalized).reshape(-1, dy.shape[-1]).sum(axis=0)
    dbias += dy.reshape(-1, dy.shape[-1]).sum(axis=0)
    g = dy * cache.gain
    along = (g * cache.normalized).mean(axis=-1, keepdims=True)
    return (g - g.mean(axis=-1, keepdims=True) - cache.normalized * along) * cache.inverse_std


def still_broken(dy, cache, dgain, dbias):
    dx = layernorm_backward(dy, cache, dgain, dbias)
    correct, wrong = ((d * cache.normalized).mean(axis=-1, keepdims=True) for d in (dy * cache.gain, dy))
    return dx + cache.normalized * (correct - wrong) * cache.inverse_std


def overwritten(dy, cache, dgain, dbias):
    dgain[...] = 1.0
    return layernorm_backward(dy, cache, np.zeros_like(dgain), dbias)


ANSWERS = (
    Answer(
        squared_relu_backward,
        (lambda dy, x: dy * np.maximum(x, 0), lambda dy, x: 2 * dy * x, lambda dy, x: 2 * dy * (x > 0)),
    ),
    Answer(
        parameter_count,
        (
            lambda v, t, n, c, norm: v * c + t * c + 12 * n * c**2,
            lambda v, t, n, c, norm: parameter_count(v, t, n, c, "pre"),
            lambda v, t, n, c, norm: parameter_count(v, t, n, c, norm) + v * c,
        ),
    ),
    Answer(
        step_flops,
        (
            lambda b, t, n, c, v: 6 * b * t * (12 * n * c**2 + v * c),
            lambda *sizes: step_flops(*sizes) // 3,
            lambda *sizes: step_flops(*sizes) // 2,
        ),
    ),
    Answer(layernorm_backward, (ops.linear_backward, ops.gelu_tanh_backward, still_broken, overwritten)),
)
