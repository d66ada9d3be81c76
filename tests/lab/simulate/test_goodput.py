"""Goodput: the simulated run against Daly's formula, and the formula against Young's optimum."""

import pytest

from minigpt.lab.simulate.goodput import Failures, daly, expected, simulated, young


@pytest.mark.parametrize("between, checkpoint, restart", [(1e5, 60, 600), (3e3, 60, 600), (1e3, 100, 300)])
def test_the_run_is_as_long_as_the_formula_says(between, checkpoint, restart):
    failures = Failures(between, checkpoint, restart)
    for every in (daly(failures), 0.3 * daly(failures), 3 * daly(failures)):
        played = simulated(failures, every, stretches=2000, seed=1)
        assert played == pytest.approx(expected(failures, every), rel=0.05)


def test_dalys_interval_is_the_best_on_paper():
    for failures in (Failures(1e5, 60, 600), Failures(1e3, 100, 300)):
        best = max((expected(failures, every), every) for every in range(100, 6000, 5))
        assert daly(failures) == pytest.approx(best[1], rel=0.02)
    assert daly(Failures(1e9, 1, 0)) == pytest.approx(young(Failures(1e9, 1, 0)), rel=1e-4)
    assert young(Failures(2.0, 100.0, 0)) == 20.0
    assert daly(Failures(10.0, 100.0, 0)) == 10.0


def test_rare_failures_cost_youngs_share():
    """Small δ/M: 1 − √(2 δ/M) (Young 1974)."""
    failures = Failures(1e8, 1.0, 0.0)
    assert 1 - expected(failures, young(failures)) == pytest.approx((2 / 1e8) ** 0.5, rel=1e-3)


def test_draws_repeat():
    failures = Failures(1e4, 60, 600)
    assert simulated(failures, 1000, seed=3) == simulated(failures, 1000, seed=3) != simulated(failures, 1000, seed=4)
