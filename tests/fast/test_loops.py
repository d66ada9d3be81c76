"""Compiled loops: their functions are as exact as they say, and what holds for the other operations holds with them.

Each pair of operations is tested in tests/ops/test_table.py, with all others.
"""

import importlib.util
import math
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks import dispatch
from minigpt.core.backend import get_backend
from minigpt.core.params import Parameters, ParameterSpec, decayed_first
from minigpt.data.batch import Batch
from minigpt.fast import loops, team
from minigpt.fast.loops import functions
from minigpt.fast.loops.compiled import compiled
from minigpt.fast.loops.dropout import dropout_multiplier, dropout_slice
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig
from minigpt.ops import DropoutKey
from minigpt.ops.dropout import dropout_slice as plain_slice
from minigpt.train.optimizer import AdamW, CompiledAdamW, OptimizerConfig, Share
from minigpt.train.passes import Passes
from minigpt.train.stepper import stepping
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import Processes, Threads, Trained, Workers

from ..kernels import fused_checks
from ..train.runs import contents, train

pytestmark = pytest.mark.numba
TABLE = loops.OPERATIONS
SHAPE = GPTConfig(vocab_size=50, context=16, layers=2, heads=2, width=32, dropout=0.1)


@compiled
def exps(x, out):
    for i in range(x.size):
        out[i] = functions.exp(x[i])


@compiled
def normals(x, density, out):
    for i in range(x.size):
        out[i] = functions.normal_distribution(x[i], density[i])


def test_exp_is_as_close_as_it_says():
    x = np.linspace(-87.3, 88.3, 3_000_001).astype(np.float32)
    found, exact = np.empty_like(x), np.exp(x.astype(np.float64))
    exps(x, found)
    assert 1e-8 < np.abs(found / exact - 1).max() <= 1.2e-7
    below = x <= 0  # what a softmax asks for: an absolute error
    assert np.abs(found - exact)[below].max() <= 1.2e-7
    edges = np.array([-np.inf, -1e30, -88.0, 0.0, 88.4, 1e30, np.inf, np.nan], np.float32)
    found = np.empty_like(edges)
    exps(edges, found)
    np.testing.assert_array_equal(found, np.array([0, 0, 0, 1, np.inf, np.inf, np.inf, np.nan], np.float32))


def test_exp_of_float64_is_the_exact_one():
    x = np.linspace(-700, 700, 1001)
    found = np.empty_like(x)
    exps(x, found)
    np.testing.assert_allclose(found, [math.exp(v) for v in x], rtol=3e-16)


def test_the_normal_distribution_is_as_close_as_it_says():
    x = np.linspace(-12, 12, 400_001).astype(np.float32)
    exact = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.astype(np.float64)])
    found = np.empty_like(x)
    normals(x, np.exp(-x * x / 2), found)
    assert 1e-8 < np.abs(found - exact).max() <= 3e-7


@pytest.mark.parametrize("name", ["gelu_tanh", "gelu_erf", "silu"])
def test_activations_are_exact_to_4e_7_on_a_dense_grid(name):
    """The value to 4e-7 of x, or of 1 if x is smaller; the derivative to 4e-7."""
    x = np.linspace(-30, 30, 600_001).astype(np.float32).reshape(-1, 1)
    y, cache = TABLE.ACTIVATIONS[name][0](x)
    exact, kept = ops.ACTIVATIONS[name][0](x.astype(np.float64))
    slope = ops.ACTIVATIONS[name][1](np.ones(x.shape), kept)
    size = np.maximum(1.0, np.abs(x))
    assert (np.abs(y - exact) / size).max() <= 4e-7
    assert np.abs(cache.derivative - slope).max() <= 4e-7


@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_finite_is_never_hidden():
    for bad in (np.nan, np.inf):
        x = np.ones((2, 3, 8), np.float32)
        x[1, 2, 3] = bad
        ones, q = np.ones(8, np.float32), x.reshape(2, 3, 2, 4)
        for name in ("layernorm", "rmsnorm"):
            assert not np.isfinite(getattr(TABLE, f"{name}_forward")(x, ones)[0][1, 2]).all()
        assert not np.isfinite(TABLE.attention_forward(q, q, q)[0][1]).all()
        assert not math.isfinite(TABLE.cross_entropy_forward(x, np.zeros((2, 3), np.int64))[0])
        for name in ("gelu_tanh", "gelu_erf", "silu", "swiglu"):
            assert not np.isfinite(TABLE.ACTIVATIONS[name][0](x)[0][1, 2]).all(), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["layernorm-plus", "rmsnorm-plus", "bias_gelu_tanh", "bias_gelu_erf", "settled_sum"])
def test_what_is_fused_is_the_plain_operations_in_a_row(name, dtype):
    fused_checks.check(TABLE, name, dtype)


def test_a_sum_with_nothing_dropped_or_no_residual():
    x, y, bias = np.random.default_rng(0).standard_normal((3, 4, 5))
    for b in (None, bias[0]):
        added = x if b is None else x + b
        for residual, rate in ((y, 0.0), (None, 0.0), (None, 0.5)):
            expected, _ = ops.dropout_forward(added[None], rate, DropoutKey(1, 2, 3, 4))
            found, cache = TABLE.FUSED["sum"](
                x[None].copy(), b, None if residual is None else residual[None], rate, DropoutKey(1, 2, 3, 4)
            )
            np.testing.assert_allclose(found, expected if residual is None else residual + expected, rtol=1e-15)
            assert (cache.multiplier is None) == (rate == 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 1), (1, 4, 6), (4, 3, 3)])
def test_dropout_drops_the_same_entries(shape, dtype):
    x = np.empty(shape, dtype)
    for rate in (1e-9, 0.1, 0.5, 0.999):
        for key in (DropoutKey(1, 2, 3, 4), DropoutKey(2**40, 0, 0, 7, position=5)):
            np.testing.assert_array_equal(dropout_multiplier(x, rate, key), ops.dropout_multiplier(x, rate, key))
            for first, count in ((0, 6), (3, 6), (3, 1), (2, 1), (5, 4), (4, 5), (1, 0)):
                ours, theirs = (f(rate, key, 2, first, count, dtype) for f in (dropout_slice, plain_slice))
                assert ours.dtype == theirs.dtype
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("variant", ["adamw", "openai", "bert", "fairseq"])
def test_adamw_is_the_other_one(variant):
    specs = decayed_first([ParameterSpec("bias", (3,)), ParameterSpec("matrix", (40, 2))])
    config = OptimizerConfig(variant=variant, eps=1e-3, weight_decay=0.3)
    rng = np.random.default_rng(0)
    one = Parameters(specs, rng.standard_normal(83))
    two = one.copy()
    first, second = AdamW(one, config), CompiledAdamW(two, config, loops.adamw)
    for update in (1, 2, 3):
        g = rng.standard_normal(83)
        first.step(one, Parameters(specs, g.copy()), 0.01, scale=0.7)
        for a, b in ((0, 0), (0, 50), (50, 81), (81, 83)):  # workers' slices, around where decay ends
            second.step(two, Parameters(specs, g), 0.01, scale=0.7, share=Share(update, a, b))
        for ours, theirs in ((two.flat, one.flat), (second.m, first.m), (second.v, first.v)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    "model",
    [
        GPT(GPTConfig(vocab_size=50, context=600, layers=2, heads=3, width=24, dropout=0.1)),
        Llama(LlamaConfig(vocab_size=50, context=40, layers=2, heads=4, kv_heads=2, width=24)),
    ],
    ids=["gpt", "llama"],
)
def test_a_whole_model_has_the_plain_loss_and_gradients(model):
    params = model.init(seed=1, dtype="float64")
    batch = Batch(*np.random.default_rng(0).integers(0, 50, (2, 2, model.config.context)))
    found = []
    for table in (ops, TABLE):
        with stepping(model, params, operations=table) as stepper:
            loss, grads = stepper.loss_and_grads([batch], seed=0, step=3)
            found.append((loss, grads.flat.copy()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9, atol=1e-12)


def steps(kind, count, rows=4):
    """Two steps by so many workers of a kind: losses and the weights in the end."""
    model = GPT(SHAPE)
    params = model.init(seed=0)
    trained = Trained(model, params, CompiledAdamW(params, OptimizerConfig(), loops.adamw), Passes(TABLE))
    batch = Batch(*np.random.default_rng(0).integers(0, 50, (2, rows, 16)))
    with ThreadPool(count) as threads, closing(kind(trained, threads)) as workers:
        losses = []
        for step in range(2):
            losses.append(workers.loss_and_grads([batch], seed=0, step=step)[0])
            workers.update(1e-2, scale=1.0)
        return losses, params.flat.copy()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are threads")
@pytest.mark.parametrize("count", [2, 4])
def test_threads_and_forks_give_the_same_bits_again_and_again(count):
    losses, flat = steps(Workers, count)
    for kind in (Workers, Threads, Processes):
        again, weights = steps(kind, count)
        assert again == losses and np.array_equal(weights, flat)


def test_shards_add_up_to_the_whole():
    losses, flat = steps(Workers, 1)
    for count in (2, 4):
        sharded, weights = steps(Workers, count)
        assert sharded == pytest.approx(losses, rel=1e-6)
        whole, parts = GPT(SHAPE).init(seed=0), GPT(SHAPE).init(seed=0)
        whole.flat[:], parts.flat[:] = flat, weights
        # the gradient of keys' biases is zero but for rounding, and AdamW divides it by its own size
        for name in ("blocks.0.attention.qkv.bias", "blocks.1.attention.qkv.bias"):
            own, shared = (p[name][SHAPE.width : 2 * SHAPE.width] for p in (whole, parts))
            np.testing.assert_allclose(shared, own, atol=1e-4)
            shared[...] = own
        np.testing.assert_allclose(parts.flat, whole.flat, atol=2e-5)


def test_a_team_computes_the_same_bits_again(monkeypatch):
    monkeypatch.setattr(team, "_LEAST_WORK", 1)
    x = np.random.default_rng(0).standard_normal((1, 70, 4, 8), dtype=np.float32)
    alone = TABLE.attention_forward(x, x, x)[0]
    with ThreadPoolExecutor(3) as executor, team.formed(executor, 3):
        first, cache = TABLE.attention_forward(x, x, x)
        gradients = TABLE.attention_backward(x, cache)
        for _ in range(3):
            again, cache = TABLE.attention_forward(x, x, x)
            assert np.array_equal(again, first)
            assert all(map(np.array_equal, TABLE.attention_backward(x, cache), gradients))
    np.testing.assert_allclose(first, alone, rtol=1e-5, atol=1e-6)


def test_a_run_says_what_it_uses_and_resumes_with_the_same_bits(text_file, tmp_path, capsys):
    assert train(text_file, tmp_path / "whole", 4, train__operations="auto") == 0
    said = capsys.readouterr().err
    assert "operations: compiled\n" in said and "attention: tiled (of the compiled operations)\n" in said
    assert train(text_file, tmp_path / "parts", 2, train__operations="compiled") == 0
    assert train(text_file, tmp_path / "again", 4, train__operations="compiled") == 0
    assert contents(tmp_path / "again", step=4) == contents(tmp_path / "whole", step=4)


def test_auto_is_compiled_where_numba_is_installed():
    assert dispatch.numba_problem() is None
    assert dispatch.operations("auto", get_backend()) is TABLE
    chosen = dispatch.choose("auto", get_backend(), dtype="float32", head_width=8)
    assert chosen.name == "compiled" and chosen.operations is TABLE
    mixed = dispatch.choose("fast", get_backend(), dtype="float32", head_width=8, attention="tiled")
    assert mixed.operations is fast


def test_the_tool_that_compares_has_every_loop():
    spec = importlib.util.spec_from_file_location("loops_tool", Path(__file__).parents[2] / "tools" / "loops.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    pairs = {pair.name.split()[0].strip(","): pair for pair in tool.pairs()}
    names = "gelu_tanh gelu_erf silu swiglu layernorm rmsnorm attention cross-entropy dropout AdamW"
    assert pairs.keys() == set(names.split())
    assert re.search(r"^gelu_erf +\d+ M/s +\d+ M/s  \d\.\d\d \[", tool.compare(pairs["gelu_erf"], 1))


TRY = """
import numpy as np
from minigpt.fast import loops
from minigpt.fast.loops.compiled import FOLDER
print(FOLDER, loops.OPERATIONS.ACTIVATIONS["silu"][0](np.zeros((1, 3), np.float32))[0])
"""


@pytest.mark.parametrize("cache", ["/dev/null/no", "cache"])
def test_compiled_code_is_kept_where_a_folder_can_be_written_and_made_anyway(cache, tmp_path):
    folder = tmp_path / cache if cache == "cache" else cache
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", TRY], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[[0. 0. 0.]]\n") and done.stdout.startswith("None") == (cache != "cache")
    assert bool(list(tmp_path.rglob("*.nbi"))) == (cache == "cache")


SUMS = """
import hashlib
import numpy as np
from minigpt.fast.loops import OPERATIONS as table
rng, gain = np.random.default_rng(0), np.ones(24, np.float32)
x, dy, plus = (rng.standard_normal((160, 24)).astype(np.float32) for _ in range(3))
_, cache = table.layernorm_forward(x, gain, gain)
dx = table.FUSED["norm_backward_add"](dy, cache, gain.copy(), None, plus)
print(hashlib.sha256(dx.tobytes()).hexdigest())
"""


@pytest.mark.slow("test_no_loop_with_sums_is_called_by_another: what made them differ")
def test_loops_that_were_just_compiled_give_the_bits_of_those_from_disk(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    said = {subprocess.check_output([sys.executable, "-c", SUMS], env=environment) for _ in range(2)}
    assert len(said) == 1 and len(said.pop()) == 65


def test_no_loop_with_sums_is_called_by_another():
    """A caller has its own copy of a callee; which of the two runs depends on whether one of them was just compiled."""
    called = set()
    for module in (value for name, value in sys.modules.items() if name.startswith("minigpt.fast.loops.")):
        for loop in (value for value in vars(module).values() if isinstance(value, type(exps))):
            known = loop.py_func.__globals__
            loops = {name for name in loop.py_func.__code__.co_names if isinstance(known.get(name), type(exps))}
            called |= {name for name in loops if known[name].targetoptions.get("inline") != "always"}  # has no copies
    assert called == {"_sigmoid", "_draw", "_seen", "largest"}  # each number by itself, or a maximum
