"""One table over every operation, plain, fast and compiled: whatever holds for all of them is tested on all of them."""

import inspect
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks.mixed import Mixed
from minigpt.fast import long_attention
from minigpt.kernels.fused import NATIVE, operations_table
from minigpt.lab.gradcheck.cases import operation_cases
from minigpt.ops import Operations


def with_long(table):
    """The operations with the attention that long texts get, which otherwise starts at 512 keys."""
    inner = {} if table is fast else {"inner": table.attention_forward.keywords["inner"]}
    pair = {
        name: partial(getattr(long_attention, name), **inner) for name in ("attention_forward", "attention_backward")
    }
    return SimpleNamespace(**vars(table) | pair)


def cases_of(table):
    return {case.name: case for case in operation_cases(table)}


def attention_only(cases):
    return {name: case for name, case in cases.items() if name.startswith("attention")}


CASES, FAST = cases_of(ops), cases_of(fast)
TABLES = {"plain": CASES, "fast": FAST, "long": attention_only(cases_of(with_long(fast)))}
COMPILED = []
if find_spec("numba"):
    from minigpt.fast.loops import OPERATIONS

    COMPILED.append(OPERATIONS)
    TABLES["compiled"] = cases_of(OPERATIONS)
    TABLES["compiled-long"] = attention_only(cases_of(with_long(OPERATIONS)))


def marked(values, *, when=lambda value: True):
    """Parameters of which some need Numba."""
    return [pytest.param(v, marks=pytest.mark.numba if when(v) else ()) for v in values]


def names(*kinds):
    every = [f"{kind} {name}" for kind, table in TABLES.items() for name in table if not kinds or kind in kinds]
    return marked(every, when=lambda name: name.startswith("compiled"))


NAMES = names()


def named(name):
    kind, name = name.split(" ", 1)
    return TABLES[kind][name]


@pytest.fixture(params=NAMES, name="case")
def operation_case(request):
    return named(request.param)


def run(case, inputs, dy=None, grads=None):
    """Forward and backward; returns y, the gradients and the dy that was used."""
    y, cache = case.forward(inputs)
    if dy is None:
        dy = np.asarray(np.random.default_rng(2).standard_normal(np.shape(y)), dtype=next(iter(inputs.values())).dtype)
    grads = {k: np.zeros_like(v) for k, v in inputs.items()} if grads is None else grads
    case.backward(dy, cache, grads)
    return y, grads, dy


def arrays_in(cache):
    """Every array that a cache holds, however nested."""
    if isinstance(cache, np.ndarray):
        return [cache]
    return [x for item in cache for x in arrays_in(item)] if isinstance(cache, tuple) else []


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_true_ones(name):
    """At every element of the plain operations; of the others, held to them below, at a few and along a direction."""
    for check in named(name).checks(elements=None if name.startswith("plain") else 2):
        assert check.passed, check


@pytest.mark.slow("test_gradients_are_the_true_ones: the same at a few elements and along a direction")
def test_gradients_are_the_true_ones_at_every_element(case):
    for check in case.checks():
        assert check.passed, check


def test_every_operation_has_a_case():
    """What `minigpt gradcheck NAME` knows by name are all pairs, and each of them has cases in this table."""
    forwards = {name.removesuffix("_forward") for name in ops.TABLE if name.endswith("_forward")}
    backwards = {name.removesuffix("_backward") for name in ops.TABLE if name.endswith("_backward")}
    assert forwards == backwards
    assert {case.operation for case in CASES.values()} == {name.replace("_", "-") for name in forwards}


def test_out_is_given_by_name_alone():
    for module in (ops, fast, *COMPILED):
        for name in dir(module):
            if name.endswith(("_forward", "_backward")):
                parameters = inspect.signature(getattr(module, name)).parameters
                positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_ONLY]
                assert not positional and (
                    "out" not in parameters or parameters["out"].kind is inspect.Parameter.KEYWORD_ONLY
                ), name


def test_dtype_is_kept(case):
    single = {k: v.astype(np.float32) for k, v in case.inputs.items()}
    y, grads, _ = run(case, single)
    assert np.ndim(y) == 0 or y.dtype == np.float32
    reference, expected, _ = run(case, case.inputs)
    np.testing.assert_allclose(y, reference, rtol=2e-5, atol=2e-5)
    _, cache = case.forward(single)
    assert all(x.dtype != np.float64 for x in arrays_in(cache))
    assert all(g.dtype == np.float32 for g in grads.values()) and grads.keys() == expected.keys()


def test_inputs_gradient_and_cache_stay_untouched(case):
    inputs = {k: v.copy() for k, v in case.inputs.items()}
    y, cache = case.forward(inputs)
    before = [x.copy() for x in arrays_in(cache)]
    dy = np.ones(np.shape(y))
    case.backward(dy, cache, {k: np.zeros_like(v) for k, v in inputs.items()})
    assert all((inputs[k] == case.inputs[k]).all() for k in inputs)
    assert (dy == 1).all()
    # equal_nan: what a fast operation leaves out, such as blocks that no query sees, is memory as it was found
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays_in(cache), before, strict=True))


def test_non_contiguous_inputs_give_the_same(case):
    def strided(x):
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan)
        wide[..., ::2] = x
        return wide[..., ::2]

    y, grads, dy = run(case, case.inputs)
    inputs = {k: strided(v) for k, v in case.inputs.items()}
    again, strided_grads, _ = run(case, inputs, dy=strided(dy) if np.ndim(dy) else dy)
    np.testing.assert_allclose(again, y, rtol=1e-12, atol=1e-14)
    for name in grads:
        np.testing.assert_allclose(strided_grads[name], grads[name], rtol=1e-11, atol=1e-14)


def test_out_receives_what_would_be_allocated(case):
    y, cache = case.forward(case.inputs)
    if np.ndim(y) == 0:  # a loss is a number: its forward has no out
        forward_out = None
    else:
        forward_out = np.full_like(y, np.nan)
        returned, cache = case.forward(case.inputs, out=forward_out)
        assert returned is forward_out
        np.testing.assert_array_equal(forward_out, y)
    dy = np.random.default_rng(3).standard_normal(np.shape(y))
    expected = {k: np.zeros_like(v) for k, v in case.inputs.items()}
    case.backward(dy, cache, expected)
    activations = [k for k in case.inputs if k in ("x", "q", "k", "v", "logits")]
    outs = tuple(np.full_like(case.inputs[k], np.nan) for k in activations)
    grads = {k: np.zeros_like(v) for k, v in case.inputs.items()}
    case.backward(dy, cache, grads, out=(outs if len(outs) > 1 else outs[0]) if outs else None)
    for name in expected:
        np.testing.assert_array_equal(grads[name], expected[name])
    for name, out in zip(activations, outs, strict=True):
        np.testing.assert_array_equal(out, expected[name])


def test_out_need_not_be_contiguous(case):
    y, _ = case.forward(case.inputs)
    if np.ndim(y) == 0:
        return
    out = np.full((*y.shape[:-1], 2 * y.shape[-1]), np.nan)[..., ::2]
    returned, _ = case.forward(case.inputs, out=out)
    assert returned is out
    np.testing.assert_array_equal(out, y)


def test_parameter_gradients_accumulate(case):
    _, once, dy = run(case, case.inputs)
    start = {k: np.full_like(v, 0.5) for k, v in case.inputs.items()}
    run(case, case.inputs, dy=dy, grads=start)
    for name in once:
        np.testing.assert_allclose(start[name], once[name] + 0.5, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", names("fast", "long", "compiled", "compiled-long"), indirect=True)
def test_fast_equals_plain_to_rounding(case, dtype):
    inputs = {k: v.astype(dtype) for k, v in case.inputs.items()}
    y, grads, dy = run(CASES[case.name], inputs)
    fast_y, fast_grads, _ = run(case, inputs, dy=dy)
    pairs = [(fast_y, y), *((fast_grads[k], grads[k]) for k in grads)]
    for a, b in pairs:
        assert np.abs(a - b).max() <= 20 * np.finfo(dtype).eps * max(1.0, np.abs(b).max())


def test_both_implementations_have_the_same_operations():
    names = {name for name in ops.TABLE if name.endswith(("_forward", "_backward"))} | {"ACTIVATIONS"}
    assert names - {"relu_forward", "relu_backward"} <= set(fast.__all__)
    assert fast.ACTIVATIONS.keys() == ops.ACTIVATIONS.keys()


@pytest.mark.parametrize(
    "table",
    [ops, fast, operations_table(), Mixed(fast), Mixed(operations_table(), NATIVE), *marked(COMPILED)],
)
def test_every_table_has_the_operations_that_models_ask_for(table):
    asked = {name: function for name, function in vars(Operations).items() if not name.startswith("_")}
    assert "layernorm_backward" in asked and len(asked) > 25
    for name in asked.keys() - {"ACTIVATIONS", "FUSED"}:
        assert callable(getattr(table, name)), name
    loops = {"bias_gelu_erf", "bias_gelu_tanh", "norm_backward_add", "sum"}
    kernels = loops | {"settled_sum", "layernorm_sum", "rmsnorm_sum"}
    assert table.FUSED.keys() in (set(), loops, kernels)
    assert table.ACTIVATIONS.keys() == ops.ACTIVATIONS.keys()


@pytest.mark.parametrize("keys", [9, 520])
@pytest.mark.parametrize(
    "table",
    [ops, fast, Mixed(fast), *marked(COMPILED)],
    ids=["plain", "fast", "16 bits", *("compiled" for _ in COMPILED)],
)
def test_attention_s_cache_is_made_again_from_its_results(table, keys):
    rng = np.random.default_rng(0)
    dtype = "float16" if isinstance(table, Mixed) else "float32"
    q, k, v = (rng.standard_normal((1, n, 1, 4)).astype(dtype) for n in (20, keys, keys))
    y, cache = table.attention_forward(q, k, v)
    again = table.attention_cache(q, k, v, table.attention_results(cache))
    for a, b in zip(table.attention_backward(y, cache), table.attention_backward(y, again), strict=True):
        np.testing.assert_array_equal(a, b)


# Not those that hold a mask, ids or a draw for the whole batch: their shards are compared in tests/models.
ROW_BY_ROW = [n for n, c in CASES.items() if c.batched and not any(word in n for word in ("padded", "dropout"))]


@pytest.mark.parametrize("kind", ["plain", "fast", *marked(["compiled"] if COMPILED else [])])
@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_a_batch_equals_its_rows(name, kind):
    """Row by row, the outputs are parts of the whole, and the parameters' gradients add up to the whole's."""
    case = TABLES[kind][name]
    rows = {k for k in case.batched if k in case.inputs}
    y, grads, dy = run(case, case.inputs)
    summed = {k: np.zeros_like(v) for k, v in case.inputs.items()}
    for i in range(len(y)):
        part = {k: v[i : i + 1] if k in rows else v for k, v in case.inputs.items()}
        part_grads = {k: summed[k][i : i + 1] if k in rows else summed[k] for k in summed}
        part_y, _, _ = run(case, part, dy=dy[i : i + 1], grads=part_grads)
        np.testing.assert_allclose(part_y, y[i : i + 1], rtol=1e-12, atol=1e-14)
    for name in grads:
        np.testing.assert_allclose(summed[name], grads[name], rtol=1e-11, atol=1e-13)
