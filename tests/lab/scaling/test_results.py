"""From measured losses to laws, a checked prediction, and a picture; and the sizes that are trained."""

import numpy as np
import pytest

from minigpt.lab.plot import save_figure
from minigpt.lab.scaling import SIZES, Size, results
from minigpt.lab.scaling.family import non_embedding, parse_size
from minigpt.lab.scaling.figure import scaling_figure
from minigpt.lab.scaling.laws import Joint, Points

TRUTH = Joint(0.55, 30.0, 0.4, 2000.0, 0.65)


def family_points(noise=0.02, seed=0):
    rng = np.random.default_rng(seed)
    sizes = np.array([12.0 * s.layers * s.width**2 for s in SIZES])
    n, d = (x.ravel() for x in np.meshgrid(sizes, 3e5 * np.arange(1, 9), indexing="ij"))
    run = np.repeat(np.arange(len(sizes)), 8)
    error = noise * (rng.standard_normal(len(sizes))[run] + 0.5 * rng.standard_normal(len(n)))
    return Points(n, d, TRUTH.floor + (TRUTH(n, d) - TRUTH.floor) * np.exp(error), run)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(results, "_DRAWS", 40)


NAMES = [f"{size}-seed-0" for size in SIZES]


def test_sizes_double_and_the_largest_is_twice_the_one_before():
    counts = [12 * s.layers * s.width**2 for s in SIZES]
    ratios = np.array(counts[1:]) / counts[:-1]
    assert counts[0] < 15_000 and counts[-1] > 880_000
    assert (ratios > 1.5).all() and (ratios < 2.4).all() and ratios[-1] >= 2.0
    for size in SIZES:
        assert size.width % size.heads == 0 and size.width // size.heads >= 16
    assert parse_size("2x48") == Size(2, 48) and str(Size(2, 48)) == "2x48"


@pytest.mark.slow("cli/test_scaling.py: the same from the command line")
@pytest.mark.parametrize("floor", [TRUTH.floor, None])
def test_the_largest_is_predicted_from_the_others(floor):
    found = results.predict_largest(family_points(), NAMES, floor)
    for kind in ("joint", "parameters"):
        p = found[kind]
        assert p.run == NAMES[-1] and p.ratio == pytest.approx(2.0, rel=0.01)
        assert abs(p.error) < 0.15
        assert p.interval.low < p.predicted < p.interval.high


@pytest.mark.slow("cli/test_scaling.py: the same from the command line")
def test_laws_values_text_and_picture(tmp_path):
    points = family_points()
    fits = results.fitted_laws(points, TRUTH.floor)
    assert set(fits) == {"parameters", "tokens", "compute", "joint"}
    low, high = fits["joint"].intervals["beta"]
    assert low < TRUTH.beta < high
    shots = {name: [(k, 0.4 + 0.02 * i * k, 0.3, 0.9) for k in (0, 2, 4)] for i, name in enumerate(NAMES)}
    predictions = results.predict_largest(points, NAMES, TRUTH.floor)
    efficient = results.frontier(points.compute, points.losses)
    r = results.Results(TRUTH.floor, points, NAMES, efficient, fits, results.fit_joint(points), predictions, shots, 0.4)
    values = results.values(r)
    assert len(values["points"]) == 56 and values["fits"]["joint"]["alpha"] == fits["joint"].law.alpha
    text = results.text(r)
    for part in (
        "floor: 0.5500",
        "4x136-seed-0",
        "2.01 times the largest fitted",
        "K=4",
        "guessing 40%",
        "were the floor not known: floor 0.",
    ):
        assert part in text
    assert save_figure(scaling_figure(r), tmp_path / "scaling.png").stat().st_size > 20_000


def test_exponents_that_are_not_above_zero_have_no_best_split():
    said = results._joint_text(TRUTH._replace(beta=-2.9), "floor")
    assert said.endswith("/ D^-2.900 (no best split of C: an exponent is not above 0)")


def test_parameters_without_embeddings():
    from minigpt.train.config import build_config

    config = build_config({"model": {"vocab_size": 50, "layers": 2, "width": 24, "bias": False}})
    assert non_embedding(config) == 2 * 12 * 24**2 + 5 * 24  # and the norms' gains
