"""Answers to notebooks/07-training.ipynb."""

import math

import numpy as np

from . import Answer


def adamw_step(p, g, m, v, t, rate, beta1, beta2, eps, decay):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    step = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return p - rate * decay * p - rate * step, m, v


def uncorrected(p, g, m, v, t, rate, beta1, beta2, eps, decay):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return p - rate * (m / (np.sqrt(v) + eps) + decay * p), m, v


def with_l2(p, g, m, v, t, rate, beta1, beta2, eps, decay):
    return adamw_step(p, g + decay * p, m, v, t, rate, beta1, beta2, eps, 0.0)


def eps_in_the_root(p, g, m, v, t, rate, beta1, beta2, eps, decay):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    step = (m / (1 - beta1**t)) / np.sqrt(v / (1 - beta2**t) + eps)
    return p - rate * decay * p - rate * step, m, v


def rate(step, total, warmup, peak, floor):
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return floor + (peak - floor) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def from_the_start(step, total, warmup, peak, floor):
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return floor + (peak - floor) * (1 + math.cos(math.pi * step / total)) / 2


def linear(step, total, warmup, peak, floor):
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak + (floor - peak) * (step - warmup) / (total - warmup)


def clip(gradients, limit):
    norm = math.sqrt(sum(np.sum(g**2) for g in gradients))
    return [g * (limit / norm if norm > limit else 1.0) for g in gradients]


def nothing_over_nothing(gradients, limit):
    norm = np.float64(math.sqrt(sum(np.sum(g**2) for g in gradients)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return [np.where(norm > limit, g * limit / norm, g / norm * norm) for g in gradients]


ANSWERS = (
    Answer(adamw_step, (uncorrected, with_l2, eps_in_the_root)),
    Answer(rate, (from_the_start, linear, lambda step, *rest: rate(step + 1, *rest))),
    Answer(
        clip,
        (
            lambda gradients, limit: [clip([g], limit)[0] for g in gradients],
            lambda gradients, limit: [np.clip(g, -limit, limit) for g in gradients],
            nothing_over_nothing,
        ),
    ),
    Answer(1_991_036_928, (497_759_232, 1_493_277_696)),
    Answer(693, (1000, 692, 500)),
)
