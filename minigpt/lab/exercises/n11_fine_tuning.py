"""Exercises of notebook 11, supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt import ops
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value
from minigpt.models import GPT, GPTConfig
from minigpt.models.causal_heads import CausalHead

GPT_WIDTH, MNLI_CLASSES = 768, 3


def _both_orders(a: list[int], b: list[int], start: int, delimiter: int, extract: int) -> list[list[int]]:
    return [[start, *one, delimiter, *two, extract] for one, two in ((a, b), (b, a))]


def _pairs(rng: np.random.Generator) -> Iterator[tuple]:
    for n, m in ((1, 1), (3, 2), (4, 6)):
        yield rng.integers(0, 50, n).tolist(), rng.integers(0, 50, m).tolist(), 50, 51, 52


def _token_weights(targets: np.ndarray) -> np.ndarray:
    counted = targets != ops.IGNORE
    return counted / (len(targets) * np.maximum(counted.sum(axis=1, keepdims=True), 1))


def _targets(rng: np.random.Generator) -> Iterator[tuple]:
    yield (np.array([[3, 5, ops.IGNORE], [1, ops.IGNORE, ops.IGNORE]]),)
    targets = rng.integers(0, 9, (5, 8))
    targets[np.arange(8) >= np.array([8, 3, 1, 5, 7])[:, None]] = ops.IGNORE
    yield (targets,)
    for lengths in ([4, 0, 2], [0, 0]):  # sequences in which nothing is predicted
        targets = rng.integers(0, 9, (len(lengths), 6))
        targets[np.arange(6) >= np.array(lengths)[:, None]] = ops.IGNORE
        yield (targets,)


def _choice_backward(h: np.ndarray, w: np.ndarray, labels: np.ndarray) -> tuple:
    """By the library's head: its loss's gradient for the scores, then its layer's."""
    head = CausalHead(GPT(GPTConfig(vocab_size=4, width=len(w), heads=1, layers=1)), 1, choice=True)
    params = head.init(dtype="float64")
    params["head.weight"][...] = w[:, None]
    grads = params.zeros_like()
    linear = ops.linear_forward(h, params["head.weight"], None)
    _, loss = ops.cross_entropy_forward(linear[0][..., 0], labels)
    dz = ops.cross_entropy_backward(1.0, loss)[..., None]
    dh = ops.linear_backward(dz, linear[1], grads["head.weight"])
    return dh, grads["head.weight"][:, 0]


def _choices(rng: np.random.Generator) -> Iterator[tuple]:
    for b, n, c in ((1, 2, 1), (3, 2, 4), (4, 5, 3)):
        yield rng.standard_normal((b, n, c)), rng.standard_normal(c), rng.integers(0, n, b)


EXERCISES = (
    Exercise(
        "start, a, delimiter, b, extract; then the same with a and b exchanged.",
        Function(
            _both_orders,
            _pairs,
            mistakes=[
                Mistake(lambda *x: _both_orders(*x)[:1] * 2, "Both sequences have the same order."),
                Mistake(lambda a, b, s, d, e: [[s, *a, *b, e], [s, *b, *a, e]], "The delimiter is missing."),
            ],
        ),
    ),
    Exercise(
        "1/S for the sequence times 1/n_s for the token; n_s counts what is not −100 in a row (keepdims=True). "
        "Where it is 0, all weights of the row are 0, and 0/0 is not.",
        Function(
            _token_weights,
            _targets,
            mistakes=[
                Mistake(
                    lambda t: (t != ops.IGNORE) / max((t != ops.IGNORE).sum(), 1),
                    "That is the mean over all tokens, as in pretraining: here each sequence counts the same.",
                ),
                Mistake(lambda t: _token_weights(t) * len(t), "The mean over the S sequences is missing."),
                Mistake(lambda t: (t != ops.IGNORE) / t.size, "A row's padding must not be counted in n_s."),
            ],
        ),
    ),
    Exercise(
        "dz = (softmax(z) − onehot)/B along the options; z_bn = Σ_c h_bnc w_c, so dh_bnc = dz_bn w_c and "
        "dw_c = Σ_bn dz_bn h_bnc. A bias adds the same to every option, and the softmax does not see it.",
        Function(
            _choice_backward,
            _choices,
            mistakes=[
                Mistake(
                    lambda h, w, y: tuple(len(h) * g for g in _choice_backward(h, w, y)),
                    "L2 is a mean over B examples.",
                ),
                Mistake(lambda h, w, y: tuple(-g for g in _choice_backward(h, w, y)), "The sign is turned."),
            ],
        ),
    ),
    Exercise(
        "three rows of the embedding, a matrix (C, K), and a bias for each class.",
        Value(
            lambda: 3 * GPT_WIDTH + GPT_WIDTH * MNLI_CLASSES + MNLI_CLASSES,
            mistakes=[
                Mistake(GPT_WIDTH * MNLI_CLASSES + MNLI_CLASSES, "The special tokens have embeddings too."),
                Mistake(3 * GPT_WIDTH + GPT_WIDTH * MNLI_CLASSES, "The head has a bias."),
                Mistake(
                    6 * GPT_WIDTH + GPT_WIDTH * MNLI_CLASSES + MNLI_CLASSES,
                    "Embedding and output layer are one matrix: the new rows count once.",
                ),
            ],
        ),
    ),
)
