"""Llama as a whole: published sizes, its first loss, its positions, shards, and a run from text to text."""

import math

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.data.batch import Batch
from minigpt.interop.loaded import load
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import Llama, LlamaConfig
from minigpt.models.llama import feed_forward_width
from minigpt.train.config import build_config, read_preset
from minigpt.train.stepper import stepping


def small(**changed):
    shape = {"vocab_size": 11, "context": 8, "heads": 4, "kv_heads": 2, "width": 16, "feed_forward": 24}
    return Llama(LlamaConfig(**(shape | changed)))


def random_batch(rows=5, length=8, vocab=11, seed=0):
    return Batch(*np.random.default_rng(seed).integers(0, vocab, (2, rows, length)))


@pytest.mark.parametrize(
    "preset, count, billions",
    [
        ("llama-7b", 6_738_415_616, 6.738),
        ("llama-13b", 13_015_864_320, 13.016),
        ("llama-33b", 32_528_943_616, 32.529),
        ("llama-65b", 65_285_660_672, 65.286),
        ("llama2-7b", 6_738_415_616, 6.738),
        ("llama2-13b", 13_015_864_320, 13.016),
        ("llama2-70b", 68_976_648_192, 68.977),
        ("llama3-8b", 8_030_261_248, 8.030),
        ("llama3-70b", 70_553_706_496, 70.554),
    ],
)
def test_published_sizes(preset, count, billions):
    config = build_config(read_preset(preset))
    assert Llama(config.model).parameter_count == count and round(count / 1e9, 3) == billions
    train = config.train
    assert train.batch * train.accumulation * config.model.context == 4 * 2**20
    assert config.schedule.floor == pytest.approx(config.schedule.peak / 10)


@pytest.mark.parametrize(
    "width, multiplier, multiple, published",
    [
        (4096, 1.0, 256, 11008),
        (5120, 1.0, 256, 13824),
        (6656, 1.0, 256, 17920),
        (8192, 1.0, 256, 22016),
        (8192, 1.3, 4096, 28672),
        (4096, 1.3, 1024, 14336),
    ],
)
def test_feed_forward_widths_follow_the_published_rule(width, multiplier, multiple, published):
    assert feed_forward_width(width, multiplier, multiple) == published


def test_defaults_follow_from_heads_and_width():
    c = LlamaConfig(heads=4, width=64)
    assert (c.kv_heads, c.head_width, c.feed_forward, c.rope.scaling) == (4, 16, 256, None)
    assert LlamaConfig(heads=3, width=64, head_width=10).head_width == 10
    assert LlamaConfig(rope_factor=8.0).rope.scaling == ops.RopeScaling()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"heads": 3}, "model.width 64 is not a multiple of model.heads 3"),
        ({"heads": 4, "kv_heads": 3}, "model.heads 4 is not a multiple of model.kv_heads 3"),
        ({"head_width": 5}, "model.head_width is 5; rotary positions turn pairs"),
        ({"kv_heads": -1}, "model.kv_heads is -1"),
        ({"rope_layout": "meta"}, "model.rope_layout is 'meta'; choose from half, interleaved"),
        ({"rope_low": 4.0}, "rope_low between 0 and rope_high"),
        ({"context": 0}, "model.context is 0"),
        ({"norm_eps": 0.0}, "model.norm_eps and model.init_std must be positive"),
        ({"init_std": 0.0}, "model.norm_eps and model.init_std must be positive"),
    ],
)
def test_impossible_shapes_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        LlamaConfig(**wrong)


@pytest.mark.parametrize("tied", [False, True])
def test_the_first_loss_is_that_of_guessing(tied):
    model = small(vocab_size=50, tied=tied)
    loss, _ = model.forward(model.init(seed=1), random_batch(20, vocab=50))
    assert loss == pytest.approx(math.log(50), rel=0.02)


def test_initial_distribution():
    params = Llama(LlamaConfig(300, 50, 8, 2, 64, feed_forward=100)).init(seed=3)
    for name in ("tokens", "output", "blocks.3.attention.qkv.weight", "blocks.3.mlp.up.weight"):
        assert params[name].std() == pytest.approx(0.02, rel=0.03)
    for name in ("attention.out", "mlp.down"):
        assert params[f"blocks.3.{name}.weight"].std() == pytest.approx(0.005, rel=0.05)
    assert (params["final_norm.gain"] == 1).all() and not any(name.endswith("bias") for name in params)


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_shards_agree(implementation):
    model, batch = small(), random_batch()
    params, results = random_parameters(model), []
    for workers in (1, 2, 4):
        with stepping(model, params, workers=workers, operations=implementation) as stepper:
            loss, grads = stepper.loss_and_grads([batch], seed=1, step=2)
            results.append((loss, grads.flat.copy()))
    for loss, grads in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-13)
        np.testing.assert_allclose(grads, results[0][1], rtol=1e-9, atol=1e-12)


def test_later_tokens_do_not_change_earlier_logits():
    model, ids = small(), random_batch().inputs
    params, changed = random_parameters(model), ids.copy()
    changed[:, 5:] = (changed[:, 5:] + 1) % 11
    before, after = model.logits(params, ids), model.logits(params, changed)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any()


def test_padding_on_the_left_changes_nothing():
    model, ids = small(), random_batch(2, 5).inputs
    params = random_parameters(model)
    padded = np.concatenate([np.zeros((2, 3), dtype=int), ids], axis=1)
    real = np.arange(8) >= np.array([[3], [3]])
    positions = np.maximum(real.cumsum(axis=1) - 1, 0)
    logits = model.logits(params, padded, key_padding=real, positions=positions)
    np.testing.assert_allclose(logits[:, 3:], model.logits(params, ids), rtol=1e-10, atol=1e-12)


def test_order_matters():
    """Without positions, the last token's scores would not see how those before it are ordered."""
    model, ids = small(), random_batch(1).inputs
    params = random_parameters(model)
    swapped = ids[:, [1, 0, *range(2, 8)]]
    assert np.abs(model.logits(params, ids) - model.logits(params, swapped))[:, -1].max() > 1e-3


def test_the_layouts_are_the_same_model_in_another_order():
    half, interleaved = small(), small(rope_layout="interleaved")
    params = random_parameters(half)
    moved = params.copy()
    for layer in range(2):
        qkv = moved[f"blocks.{layer}.attention.qkv.weight"].reshape(16, 8, 2, 2)  # (C, H + 2G, half, D/2)
        qkv[:, :6] = qkv[:, :6].swapaxes(2, 3).copy()  # of q and k, not of v
    ids = random_batch().inputs
    np.testing.assert_allclose(interleaved.logits(moved, ids), half.logits(params, ids), rtol=1e-10, atol=1e-12)


def test_a_text_longer_than_the_context_is_refused():
    model = small()
    with pytest.raises(ValueError, match="9 positions do not fit the model's context of 8"):
        model.logits(model.init(), np.zeros((1, 9), dtype=int))


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_single_precision_stays_single(implementation):
    model, batch = small(), random_batch()
    params = random_parameters(model).astype("float32")
    run = Run(ops=implementation)
    _, cache = model.forward(params, batch, run)
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)

    def dtypes(x):
        if isinstance(x, np.ndarray):
            return {x.dtype.name}
        return set().union(*map(dtypes, x)) if isinstance(x, (tuple, list)) and x else set()

    assert not dtypes(cache) & {"float64", "complex128"} and grads.flat.dtype == np.float32


def test_a_run_from_text_to_text(text_file, tmp_path, capsys):
    run = tmp_path / "run"
    settings = {"data.tokenizer": "char", "model.width": 16, "model.heads": 4, "model.context": 16, "train.batch": 4}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = ["train", "llama-tiny", "--data", str(text_file), "--out", str(run), "--steps", "30"]
    assert main([*command, *sets, "--set", "sample.prompt=Line ", "--set", "sample.tokens=5"]) == 0
    assert capsys.readouterr().out.startswith("Line")
    loaded = load(run)
    assert isinstance(loaded.model, Llama) and loaded.config.family == "llama"
    assert len(loaded.generate("Line ", max_new_tokens=5)) == 5
    assert main(["eval", str(run), "--json"]) == 0


def test_the_rotation_s_base_is_above_one():
    assert LlamaConfig(rope_base=1.5).rope.base == 1.5
    with pytest.raises(UserError, match="rope_base must be above 1"):
        LlamaConfig(rope_base=1.0)
