import numpy as np

from minigpt import ops

from . import Answer


def noam(step, width, warmup):
    return width**-0.5 * min(step**-0.5, step * warmup**-1.5)


def smoothed_gradient(logits, targets, epsilon, everywhere=False):
    n, classes = logits.shape
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    q = np.full_like(p, epsilon / (classes if everywhere else classes - 1))
    q[np.arange(n), targets] = 1 - epsilon + (epsilon / classes if everywhere else 0)
    return (p - q) / n


def decoder_inputs(labels, start, pad):
    inputs = np.full_like(labels, start)
    inputs[:, 1:] = labels[:, :-1]
    inputs[inputs == -100] = pad
    return inputs


def in_place(labels, start, pad):
    inputs = decoder_inputs(labels, start, pad)
    labels[labels == -100] = pad
    return inputs


def best_hypothesis(hypotheses, alpha):
    return max(range(len(hypotheses)), key=lambda i: hypotheses[i][0] / ((5 + hypotheses[i][1]) / 6) ** alpha)


def shift_matrix(k, width):
    """From the table itself: M P_m = P_(m + k) for many m is a system of linear equations."""
    table = ops.sinusoid_table(4 * width + abs(k), width)
    before, after = (table, np.roll(table, -k, axis=0))
    keep = slice(abs(k), len(table) - abs(k))
    return np.linalg.lstsq(before[keep], after[keep], rcond=None)[0].T


ANSWERS = (
    Answer(
        noam,
        (
            lambda s, c, w: c**-0.5 * max(s**-0.5, s * w**-1.5),
            lambda s, c, w: min(s**-0.5, s * w**-1.5),
            lambda s, c, w: noam(s + 1, c, w),
        ),
    ),
    Answer(
        smoothed_gradient,
        (
            lambda z, y, e: smoothed_gradient(z, y, e, everywhere=True),
            lambda z, y, e: smoothed_gradient(z, y, 0.0),
            lambda z, y, e: len(z) * smoothed_gradient(z, y, e),
        ),
    ),
    Answer(
        decoder_inputs,
        (lambda labels, start, pad: np.roll(labels, 1, axis=1), lambda labels, start, pad: labels, in_place),
    ),
    Answer(
        best_hypothesis,
        (
            lambda h, alpha: int(np.argmax([s for s, _ in h])),
            lambda h, alpha: int(np.argmin([s / ((5 + n) / 6) ** alpha for s, n in h])),
            lambda h, alpha: int(np.argmax([s / n for s, n in h])),
        ),
    ),
    Answer(shift_matrix, (lambda k, width: shift_matrix(-k, width), lambda k, width: np.eye(width))),
)
