"""Answers to notebooks/04-layer-norm.ipynb."""

import math

import numpy as np

from . import Answer


def rmsnorm_dx(dy, normalized, inverse_rms, gain):
    g = dy * gain
    return (g - normalized * (g * normalized).mean(axis=-1, keepdims=True)) * inverse_rms


def over_the_batch(dy, normalized, inverse_rms, gain):
    g = dy * gain
    return (g - normalized * (g * normalized).mean()) * inverse_rms


def through_x_only(dy, normalized, inverse_rms, gain):
    return dy * gain * inverse_rms


def without_gain(dy, normalized, inverse_rms, gain):
    return rmsnorm_dx(dy, normalized, inverse_rms, np.ones_like(gain))


def fold(gain, bias, weight, linear_bias):
    return gain[:, None] * weight, bias @ weight + linear_bias


def merge(count1, mean1, q1, count2, mean2, q2):
    count = count1 + count2
    apart = mean2 - mean1
    return count, mean1 + apart * count2 / count, q1 + q2 + apart * apart * count1 * count2 / count


def short(count1, mean1, q1, count2, mean2, q2):
    """By the formula that cancels."""
    count, mean, _ = merge(count1, mean1, q1, count2, mean2, q2)
    return count, mean, q1 + count1 * mean1**2 + q2 + count2 * mean2**2 - count * mean**2


def added(count1, mean1, q1, count2, mean2, q2):
    return count1 + count2, (count1 * mean1 + count2 * mean2) / (count1 + count2), q1 + q2


ANSWERS = (
    Answer([[-1, 1], [-1, 1]], ([[-1, 1], [-1000, 1000]], [[0, 2], [0, 2000]], [[-0.7071, 0.7071]] * 2, [-1, 1])),
    Answer(math.sqrt(1e-5 / 3), (1e-5 / 3, 0.5, math.sqrt(1e-5))),
    Answer(rmsnorm_dx, (without_gain, over_the_batch, through_x_only)),
    Answer(
        fold,
        (
            lambda gain, bias, weight, linear_bias: (gain[:, None] * weight, bias + linear_bias[: len(bias)].sum()),
            lambda gain, bias, weight, linear_bias: (gain[:, None] * weight, linear_bias),
            lambda gain, bias, weight, linear_bias: gain[:, None] * weight,
        ),
    ),
    Answer(merge, (added, short)),
)
