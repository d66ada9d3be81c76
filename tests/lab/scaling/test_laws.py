"""Fits recover what was planted, with intervals that cover it; and why a known entropy matters is shown in numbers."""

import builtins
import math

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.lab.scaling.laws import (
    Joint,
    Points,
    Power,
    bootstrap,
    deviations,
    fit_joint,
    fit_power,
    frontier,
    interval,
    prediction_interval,
)

SIZES = np.array([14e3, 25e3, 55e3, 110e3, 230e3, 440e3])
TOKENS = 1e5 * 2.0 ** np.arange(6)
TRUTH = Joint(0.53, 40.0, 0.45, 3000.0, 0.7)


def surface(noise=0.0, seed=0, truth=TRUTH, sizes=SIZES):
    """Losses of every size at every number of tokens; those of one run share a part of their error."""
    rng = np.random.default_rng(seed)
    n, d = (x.ravel() for x in np.meshgrid(sizes, TOKENS, indexing="ij"))
    run = np.repeat(np.arange(len(sizes)), len(TOKENS))
    error = noise * (0.8 * rng.standard_normal(len(sizes))[run] + 0.6 * rng.standard_normal(len(n)))
    return Points(n, d, truth.floor + (truth(n, d) - truth.floor) * np.exp(error), run)


def power_points(floor, exponent, noise=0.0, seed=0):
    losses = Power("parameters", floor, 1e4, exponent)(SIZES) - floor
    losses = floor + losses * np.exp(noise * np.random.default_rng(seed).standard_normal(len(SIZES)))
    return Points(SIZES, np.full(len(SIZES), 1e6), losses, np.arange(len(SIZES)))


def refit(law):
    return lambda points: fit_joint(points, law.floor, law)


@pytest.mark.parametrize("of", ["parameters", "tokens", "compute"])
@pytest.mark.parametrize("known", [True, False])
def test_a_planted_power_law_is_found(of, known):
    rng = np.random.default_rng(1)
    points = Points(SIZES, rng.uniform(1e5, 1e6, 6), np.zeros(6), np.arange(6))
    truth = Power(of, 0.53, {"parameters": 3e4, "tokens": 3e5, "compute": 3e10}[of], 0.38)
    points = points._replace(losses=truth.at(points))
    law = fit_power(points, of, 0.53 if known else None)
    assert law.exponent == pytest.approx(0.38, rel=1e-9 if known else 1e-3)
    assert law.scale == pytest.approx(truth.scale, rel=1e-8 if known else 1e-2)
    assert law.floor == pytest.approx(0.53, rel=1e-4)


@pytest.mark.parametrize("known", [True, False])
def test_a_planted_joint_law_is_found(known):
    law = fit_joint(surface(), TRUTH.floor if known else None)
    for value, truth in zip(law, TRUTH, strict=True):
        assert value == pytest.approx(truth, rel=2e-3)


def test_an_outlier_hardly_moves_the_joint_fit():
    points = surface(noise=0.01)
    losses = points.losses.copy()
    losses[7] *= 1.5
    clean, spoilt = fit_joint(points, TRUTH.floor), fit_joint(points._replace(losses=losses), TRUTH.floor)
    assert spoilt.alpha == pytest.approx(clean.alpha, rel=0.05)
    assert spoilt.beta == pytest.approx(clean.beta, rel=0.05)


def test_a_known_entropy_makes_the_exponent_surer():
    """With 2% noise on the excess, the exponent of the known floor scatters a third as much, or less."""
    scatter = {}
    for floor in (0.53, None):
        found = [fit_power(power_points(0.53, 0.4, 0.02, seed), "parameters", floor).exponent for seed in range(40)]
        scatter[floor] = float(np.std(found))
    assert scatter[0.53] < scatter[None] / 3


@pytest.mark.slow("test_a_planted_joint_law_is_found")
def test_intervals_cover_the_planted_exponents():
    """In 20 synthetic families the 95% interval of α and of β holds the truth about as often as it says."""
    covered = []
    for seed in range(20):
        points = surface(0.03, seed)
        law = fit_joint(points, TRUTH.floor)
        laws = bootstrap(points, law, refit(law), draws=60, seed=seed)
        for name in ("alpha", "beta"):
            low, high = interval([getattr(one, name) for one in laws])
            covered.append(low <= getattr(TRUTH, name) <= high)
    assert np.mean(covered) >= 0.8


@pytest.mark.slow("test_a_planted_joint_law_is_found")
def test_the_prediction_interval_covers_a_model_twice_as_large():
    covered, errors = [], []
    for seed in range(20):
        points = surface(0.03, seed, sizes=np.array([*SIZES, 880e3]))
        inside = points.parameters < 880e3
        fitted, held = points.where(inside), points.where(~inside).where(np.array([5]))
        law = fit_joint(fitted, TRUTH.floor)
        laws = bootstrap(fitted, law, refit(law), draws=60, seed=seed)
        low, high = prediction_interval(laws, law, fitted, held)
        covered.append(low <= held.losses[0] <= high)
        errors.append(abs(deviations(law, held)[0]))
    assert np.mean(covered) >= 0.8
    assert np.median(errors) < 0.05


def test_the_best_split_of_a_budget():
    compute = 1e13
    n, d = TRUTH.optimum(compute)
    assert 6 * n * d == pytest.approx(compute)
    best = TRUTH(n, d)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert TRUTH(n * factor, d / factor) > best


def test_the_frontier():
    compute = np.array([3.0, 1.0, 2.0, 2.0, 4.0])
    losses = np.array([1.0, 3.0, 2.0, 2.5, 1.5])
    assert frontier(compute, losses).tolist() == [0, 1, 2]


def test_what_cannot_be_fitted(monkeypatch):
    points = surface()
    one_size = points.where(points.run == 0)
    with pytest.raises(UserError, match="needs at least 2 different sizes, and there is one"):
        fit_power(one_size, "parameters", 0.5)
    with pytest.raises(UserError, match="no model can be better than the entropy of its text"):
        fit_joint(points, float(points.losses.min()) + 0.1)
    with pytest.raises(UserError, match="4 measured losses are too few"):
        fit_joint(points.where(np.array([0, 1, 6, 7])), 0.53)

    def no_scipy(name, *rest, real=builtins.__import__):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_scipy)
    with pytest.raises(UserError, match=r"needs scipy: in the clone, pip install '.\[tasks\]'"):
        fit_joint(points, 0.53)
    assert math.isfinite(fit_power(points, "compute", 0.53).exponent)  # a line needs no scipy
