import math

import numpy as np

from . import Answer


def lean_gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * (x * x))))


def with_a_power(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def too_many_operations(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x + 0 * x)))


def adamw_in_place(p, g, m, v, step, lr, beta1, beta2, eps, decay):
    scratch = g * (1 - beta1)
    m *= beta1
    m += scratch
    np.multiply(g, g, out=scratch)
    scratch *= 1 - beta2
    v *= beta2
    v += scratch
    np.divide(v, 1 - beta2**step, out=scratch)
    np.sqrt(scratch, out=scratch)
    scratch += eps
    np.divide(m, scratch, out=scratch)
    scratch *= lr / (1 - beta1**step)
    p *= 1 - lr * decay
    p -= scratch


def with_many_arrays(p, g, m, v, step, lr, beta1, beta2, eps, decay):
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * (g * g)
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    p[...] = p - lr * (m_hat / (np.sqrt(v_hat) + eps) + decay * p)


def without_correction(p, g, m, v, step, *rest):
    adamw_in_place(p, g, m, v, 10**9, *rest)


def rebound(p, g, m, v, step, lr, beta1, beta2, eps, decay):
    m = beta1 * m + (1 - beta1) * g  # another array: the caller's m stays as it was
    adamw_in_place(p, g, m * 0, v, step, lr, beta1, beta2, eps, decay)


def unnormalised(exponentials, v, dy):
    sums = exponentials.sum(axis=1, keepdims=True)
    return exponentials @ v / sums, exponentials.T @ (dy / sums)


def intensity(m, n, p, bytes_per_number):
    return 2 * m * n * p / ((m * n + n * p + m * p) * bytes_per_number)


ANSWERS = (
    Answer(lean_gelu, (with_a_power, too_many_operations, lambda x: 2 * lean_gelu(x))),
    Answer(adamw_in_place, (with_many_arrays, without_correction, rebound)),
    Answer(
        unnormalised,
        (
            lambda e, v, dy: (unnormalised(e, v, dy)[0], e.T @ dy),
            lambda e, v, dy: (e @ v, e.T @ dy),
            lambda e, v, dy: unnormalised(e, v, dy)[::-1],
        ),
    ),
    Answer(intensity, (lambda *n: intensity(*n) / 2, lambda m, n, p, b: intensity(m, n, p, 1), lambda *n: 0.0)),
)
