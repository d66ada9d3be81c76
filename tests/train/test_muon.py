"""Muon: what is orthogonal about its update, the update against its formula by singular values, and its runs."""

import itertools
import math

import numpy as np
import pytest

from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters, ParameterSpec, decayed_first
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig
from minigpt.train.config import build_config
from minigpt.train.muon import STEPS, A, B, C, Muon, is_map, orthogonal
from minigpt.train.optimizer import AdamW, OptimizerConfig, Share
from minigpt.train.run_folder import load_config
from minigpt.train.state import new_optimizer

from .runs import contents, train
from .test_resume import stop_after

SPECS = decayed_first(
    [
        ParameterSpec("tokens", (9, 4)),
        ParameterSpec("blocks.0.norm1.gain", (4,)),
        ParameterSpec("blocks.0.attention.qkv.weight", (4, 10)),
        ParameterSpec("blocks.0.mlp.up.weight", (4, 7)),
        ParameterSpec("blocks.0.mlp.down.weight", (7, 4)),
    ]
)
SIZE = sum(spec.size for spec in SPECS)


def by_singular_values(x):
    """The quintic of Jordan et al., five times on each singular value, which an SVD finds."""
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    s = s / math.sqrt((s * s).sum())
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u * s @ vt


@pytest.mark.parametrize("shape", [(24, 24), (16, 64), (64, 16)])
def test_singular_values_become_about_one(shape):
    rng = np.random.default_rng(0)
    u, _, vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    x = 37.0 * u * np.geomspace(1, 0.01, len(vt)) @ vt
    y = orthogonal(x)
    values = np.linalg.svd(y, compute_uv=False)
    assert values.min() > 0.67 and values.max() < 1.15
    np.testing.assert_allclose(y, by_singular_values(x), atol=1e-12)
    assert orthogonal(x.astype(np.float32)).dtype == np.float32 and not orthogonal(0 * x).any()


def test_small_singular_values_become_about_one_too():
    """The whole range that the docstring names, by the polynomial of numbers; the largest comes of 0.0041."""
    s = np.geomspace(0.003, 1, 20_001)
    for _ in range(STEPS):
        s = A * s + B * s**3 + C * s**5
    assert 0.68 < s.min() < 0.69 and 1.20 < s.max() < 1.21


def test_two_updates_are_those_of_the_formula():
    """Queries (4 columns), then keys and values together; a wide matrix takes a longer step; the rest is AdamW's."""
    rng = np.random.default_rng(1)
    config = OptimizerConfig(name="muon", weight_decay=0.3)
    params, plain = (Parameters(SPECS, np.linspace(-1, 1, SIZE)) for _ in range(2))
    adamw, muon = AdamW(plain, config), Muon(params, AdamW(params, config), 5.0)
    expected = {spec.name: params[spec.name].copy() for spec in SPECS if is_map(spec)}
    momenta = {name: 0.0 * p for name, p in expected.items()}
    for _ in range(2):
        g = rng.standard_normal(SIZE)
        muon.step(params, Parameters(SPECS, g.copy()), 0.01, scale=0.5)
        adamw.step(plain, Parameters(SPECS, g.copy()), 0.01, scale=0.5)
        for name, p in expected.items():
            own = 0.5 * Parameters(SPECS, g)[name]
            momenta[name] = 0.95 * momenta[name] + own
            p *= 1 - 0.05 * 0.3
            for part in (slice(0, 4), slice(4, 8), slice(8, 10)) if "qkv" in name else (slice(None),):
                look = (own + 0.95 * momenta[name])[:, part]
                p[:, part] -= 0.05 * math.sqrt(max(1, look.shape[1] / look.shape[0])) * by_singular_values(look)
    assert len(expected) == 3 and muon.updates == 2
    for name in params:
        np.testing.assert_allclose(params[name], expected.get(name, plain[name]), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_cutting_the_buffer_changes_nothing(parts):
    config, rng = OptimizerConfig(name="muon"), np.random.default_rng(2)
    alone, together = (Parameters(SPECS, np.linspace(-1, 1, SIZE)) for _ in range(2))
    first, second = (Muon(p, AdamW(p, config), 5.0) for p in (alone, together))
    edges = [SIZE * i // parts for i in range(parts + 1)]
    for number in (1, 2):
        g = Parameters(SPECS, rng.standard_normal(SIZE))
        first.step(alone, g.copy(), 0.01)
        for start, stop in itertools.pairwise(edges):
            second.step(together, g, 0.01, share=Share(number, start, stop))
    np.testing.assert_array_equal(together.flat, alone.flat)


def test_which_matrices_are_maps():
    """Embeddings, output layers and heads are not; Llama's keys and values may be fewer than its queries."""
    gpt = GPT(GPTConfig(11, 8, 1, 2, 8))
    llama = Llama(LlamaConfig(11, 8, 1, 2, 8, kv_heads=1))
    for model in (gpt, llama):
        maps = [spec.name.removeprefix("blocks.0.") for spec in model.specs if is_map(spec)]
        assert sorted(maps) == ["attention.out.weight", "attention.qkv.weight", "mlp.down.weight", "mlp.up.weight"]


def test_its_rate_is_muon_rate_at_the_peak():
    config = build_config({"optimizer": {"name": "muon", "muon_rate": 0.03}, "schedule": {"peak": 6e-3}})
    optimizer = new_optimizer(config, Parameters(SPECS, np.zeros(SIZE, np.float32)))
    assert isinstance(optimizer, Muon) and optimizer.ratio == pytest.approx(5.0)
    assert type(new_optimizer(build_config({}), Parameters(SPECS, np.zeros(SIZE)))) is not Muon


def test_impossible_settings_are_refused():
    for settings, problem in (
        ({"name": "sgd"}, "optimizer.name"),
        ({"muon_rate": 0.0}, "muon_rate is 0.0; it must be positive"),
        ({"muon_momentum": 1.0}, "muon_momentum must be at least 0 and below 1"),
    ):
        with pytest.raises(UserError, match=problem):
            build_config({"optimizer": settings})


@pytest.mark.slow("test_cutting_the_buffer_changes_nothing, and that of resuming with AdamW")
@pytest.mark.parametrize("workers", [1, 2])
def test_runs_resume_to_the_same_bits(text_file, tmp_path, monkeypatch, workers):
    """Two workers are processes where they can be, whose moments lie in shared memory."""
    settings = {"train__workers": workers, "optimizer__name": "muon"}
    assert train(text_file, tmp_path / "whole", 10, **settings) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        assert train(text_file, tmp_path / "parts", 10, **settings) == 130
    assert main(["train", "--resume", str(tmp_path / "parts")]) == 0
    assert contents(tmp_path / "parts", step=10) == contents(tmp_path / "whole", step=10)
    assert load_config(tmp_path / "parts").optimizer.name == "muon"
