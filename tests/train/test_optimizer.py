"""AdamW's four variants against their published formulas, written out for one number."""

import itertools
import math

import numpy as np
import pytest

from minigpt.core.params import Parameters, ParameterSpec, decayed_first
from minigpt.train import optimizer
from minigpt.train.optimizer import AdamW, OptimizerConfig, Share, clip_factor, global_norm, squared_norm

SPECS = decayed_first([ParameterSpec("bias", (3,)), ParameterSpec("matrix", (40000, 2)), ParameterSpec("gain", (2,))])
LR, DECAY, B1, B2, EPS = 0.01, 0.3, 0.9, 0.95, 1e-3  # a large epsilon, so that its place matters


def textbook(variant, p, gradients, decays):
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g * g
        m_hat, v_hat = m / (1 - B1**t), v / (1 - B2**t)
        lr_t = LR * math.sqrt(1 - B2**t) / (1 - B1**t)
        decay = DECAY if decays else 0.0
        if variant == "adamw":
            p = p - LR * decay * p
            p = p - LR * m_hat / (math.sqrt(v_hat) + EPS)
        elif variant == "openai":
            p = p - lr_t * (m / (math.sqrt(v) + EPS) + decay * p)
        elif variant == "bert":
            p = p - LR * (m / (math.sqrt(v) + EPS) + decay * p)
        else:
            p = p - DECAY * LR * p
            p = p - lr_t * m / (math.sqrt(v) + EPS)
    return p


@pytest.mark.parametrize("variant", ["adamw", "openai", "bert", "fairseq"])
def test_variant_equals_its_formula(variant):
    config = OptimizerConfig(variant=variant, beta1=B1, beta2=B2, eps=EPS, weight_decay=DECAY)
    rng = np.random.default_rng(0)
    params = Parameters(SPECS, rng.standard_normal(80005))
    start, optimizer = params.copy(), AdamW(params, config)
    gradients = rng.standard_normal((3, 80005))
    for g in gradients:
        optimizer.step(params, Parameters(SPECS, g), LR)
    assert optimizer.updates == 3
    for i in (0, 1, 32767, 32768, 79999, 80000, 80002, 80004):  # around chunk edges, and where decay ends
        expected = textbook(variant, start.flat[i], gradients[:, i], decays=i < 80000)
        assert params.flat[i] == pytest.approx(expected, rel=1e-12), i


def test_matrices_come_first_and_vectors_do_not_decay():
    params = Parameters(SPECS, np.ones(80005))
    assert list(params) == ["matrix", "bias", "gain"] and params.decayed == 80000
    AdamW(params, OptimizerConfig(weight_decay=0.1)).step(params, params.zeros_like(), 0.5)
    assert (params["matrix"] == 0.95).all() and (params["bias"] == 1).all() and (params["gain"] == 1).all()


def test_float32_stays_float32():
    params = Parameters(SPECS, np.ones(80005, dtype=np.float32))
    optimizer = AdamW(params, OptimizerConfig())
    optimizer.step(params, params.copy(), 1e-3)
    assert params.flat.dtype == optimizer.m.dtype == optimizer.v.dtype == np.float32


def test_clipping_scales_to_the_limit_and_leaves_small_gradients_alone():
    grads = Parameters(SPECS, np.random.default_rng(0).standard_normal(80005))
    before = grads.flat.copy()
    norm = global_norm(grads)
    assert norm == pytest.approx(np.linalg.norm(before), rel=1e-12)
    assert clip_factor(norm, 2 * norm) == clip_factor(norm, 0.0) == clip_factor(0.0, 1.0) == 1.0
    grads.flat *= clip_factor(norm, 1.0)
    assert global_norm(grads) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("parts", [2, 3])
def test_cutting_the_buffer_changes_nothing(parts):
    rng = np.random.default_rng(0)
    alone, together = (Parameters(SPECS, np.linspace(-1, 1, 80005)) for _ in range(2))
    first, second = AdamW(alone, OptimizerConfig()), AdamW(together, OptimizerConfig())
    edges = np.linspace(0, 80005, parts + 1).astype(int).tolist()
    for update in (1, 2):
        g = rng.standard_normal(80005)
        first.step(alone, Parameters(SPECS, 0.25 * g), LR)
        grads = Parameters(SPECS, g)
        squares = [squared_norm(g, start, stop) for start, stop in itertools.pairwise(edges)]
        assert math.sqrt(sum(squares)) == pytest.approx(global_norm(grads), rel=1e-13)
        for start, stop in itertools.pairwise(edges):
            second.step(together, grads, LR, scale=0.25, share=Share(update, start, stop))
    np.testing.assert_array_equal(together.flat, alone.flat)


def test_a_buffer_in_pieces_is_updated_like_a_whole_one(monkeypatch):
    """80,005 numbers in pieces of 16,384, and of all of them: the last piece is shorter, and every number has moved."""
    g = np.random.default_rng(0).standard_normal(80005)
    results = []
    for numbers in (16384, 80005):
        monkeypatch.setattr(optimizer, "_CHUNK", numbers)
        params = Parameters(SPECS, np.linspace(-1, 1, 80005))
        AdamW(params, OptimizerConfig()).step(params, Parameters(SPECS, g.copy()), LR)
        results.append(params.flat)
    np.testing.assert_array_equal(*results)
    assert (results[0] != np.linspace(-1, 1, 80005)).all()
