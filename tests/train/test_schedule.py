"""Learning-rate schedules at the points where their formulas are easy."""

import pytest

from minigpt.train.config import build_config, read_preset
from minigpt.train.schedule import ScheduleConfig, learning_rate


def rates(kind, steps, total=1000, **changed):
    schedule = ScheduleConfig(**{"kind": kind, "peak": 1.0, "floor": 0.1, "warmup": 100} | changed)
    return [learning_rate(schedule, step, total) for step in steps]


def test_warmup_is_linear_and_starts_above_zero():
    for kind in ("cosine", "linear", "inverse_sqrt", "constant"):
        assert rates(kind, [0, 49, 99]) == pytest.approx([1 / 101, 50 / 101, 100 / 101])


def test_cosine():
    assert rates("cosine", [100, 550, 1000, 5000]) == pytest.approx([1.0, 0.55, 0.1, 0.1])
    assert rates("cosine", [325])[0] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + 2**-0.5))


def test_linear():
    assert rates("linear", [100, 325, 550, 1000, 5000]) == pytest.approx([1.0, 0.775, 0.55, 0.1, 0.1])


def test_inverse_square_root():
    assert rates("inverse_sqrt", [100, 403, 10099]) == pytest.approx([1.0, 0.5, 0.1])


def test_constant_and_no_warmup():
    assert rates("constant", [0, 10**6], warmup=0) == [1.0, 1.0]
    assert rates("cosine", [0], warmup=0) == [1.0]


def test_bert_s_own_schedule():
    """As `optimization.py` of its released code: the line falls from step 0, and the warm-up stands in front of it."""
    found = rates("bert", [0, 1, 50, 99, 100, 500, 1000, 2000], floor=0.0)
    assert found == pytest.approx([0.0, 0.01, 0.5, 0.99, 0.9, 0.5, 0.0, 0.0])
    assert rates("bert", [0, 500, 1000], warmup=0) == pytest.approx([1.0, 0.55, 0.1])


def test_warmup_as_long_as_the_run():
    assert rates("cosine", [100, 101], total=100) == pytest.approx([1.0, 0.1])


@pytest.mark.parametrize("kind", ["cosine", "linear", "inverse_sqrt", "constant", "polynomial"])
def test_steps_of_one_size_have_the_same_rates_counted_in_tokens(kind):
    in_steps = ScheduleConfig(kind=kind, peak=1.0, floor=0.1, warmup=100)
    in_tokens = ScheduleConfig(kind=kind, peak=1.0, floor=0.1, warmup_tokens=51200, tokens=512000)
    for step in (0, 1, 50, 99, 100, 101, 500, 999, 1000, 2000):
        expected = learning_rate(in_steps, step, 1000)
        assert learning_rate(in_tokens, step, 7, tokens=512 * step, step_tokens=512) == pytest.approx(expected)


@pytest.mark.parametrize("preset, width, warmup", [("base", 512, 4000), ("big", 1024, 4000), ("tiny", 128, 800)])
def test_the_transformers_presets_have_the_papers_schedule(preset, width, warmup):
    config = build_config(read_preset(f"transformer-{preset}"))
    assert config.model.width == width
    for step in (0, 1, 100, warmup - 2, warmup - 1, warmup, 50_000):
        s = step + 1
        noam = width**-0.5 * min(s**-0.5, s * warmup**-1.5)
        assert learning_rate(config.schedule, step, config.train.steps) == pytest.approx(noam, rel=1e-12)


def test_polynomial_is_fairseqs():
    """After s updates: s/warmup while that is at most 1, then down to the floor at the last update."""
    assert rates("polynomial", [0, 50, 100]) == pytest.approx([0.0, 0.5, 1.0])
    assert rates("polynomial", [100, 325, 1000, 5000]) == pytest.approx([1.0, 0.775, 0.1, 0.1])
    assert rates("polynomial", [0], warmup=0) == [1.0]
