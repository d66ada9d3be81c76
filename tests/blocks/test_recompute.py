"""Computing parts of blocks again in the backward pass: the same numbers, less memory."""

import dataclasses

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.blocks import recompute
from minigpt.blocks.run import Run
from minigpt.data.batch import Batch
from minigpt.fast import attention
from minigpt.lab.gradcheck.cases import MODEL_CASES
from minigpt.models import GPT, GPTConfig


def arrays_in(cache, found):
    """Every buffer that a cache keeps alive, however nested."""
    if isinstance(cache, np.ndarray):
        base = cache
        while isinstance(base.base, np.ndarray):
            base = base.base
        found[id(base)] = base.nbytes
    elif isinstance(cache, (tuple, list)):
        for item in cache:
            arrays_in(item, found)
    return found


def size_of(cache):
    return sum(arrays_in(cache, {}).values())


def step(case, **changes):
    run = dataclasses.replace(case.run, **changes)
    loss, cache = case.model.forward(case.params, case.batch, run)
    size = size_of(cache)
    grads = case.params.zeros_like()
    case.model.backward(case.params, grads, cache, run)
    return loss, size, grads.flat


@pytest.mark.parametrize("name", MODEL_CASES)
def test_same_loss_and_gradients_from_a_smaller_cache(name):
    loss, size, grads = step(MODEL_CASES[name]())
    again, smaller, same_grads = step(MODEL_CASES[name](), recompute=True)
    assert loss == again and np.array_equal(grads, same_grads)
    assert smaller < size


@pytest.mark.parametrize("operations", [ops, fast])
@pytest.mark.parametrize("name", MODEL_CASES)
def test_long_rows_give_the_same_in_tiles_of_positions(name, operations, monkeypatch):
    case = MODEL_CASES[name]()
    loss, size, grads = step(case, ops=operations)
    monkeypatch.setattr(recompute, "LONG", 1)
    monkeypatch.setattr(recompute, "_TILE", 2 * len(case.batch.inputs))
    monkeypatch.setattr(attention, "LONG", 1)
    monkeypatch.setattr(attention, "_FEW", 0)
    long_loss, smaller, long_grads = step(case, ops=operations)
    assert abs(long_loss - loss) < 1e-12
    np.testing.assert_allclose(long_grads, grads, rtol=0, atol=1e-11 * max(1, np.abs(grads).max()))
    assert smaller < size


@pytest.mark.parametrize("tokens, kept", [(2047, 16), (2048, 2)])
def test_how_often_a_block_keeps_its_input(tokens, kept):
    sizes = []
    for layers in (1, 2):
        model = GPT(GPTConfig(vocab_size=7, context=tokens, layers=layers, heads=2, width=64))
        batch = Batch(*np.zeros((2, 1, tokens), int))
        _, cache = model.forward(model.init(), batch, Run(train=True, ops=fast))
        sizes.append(size_of(cache.body.blocks))
    times = (sizes[1] - sizes[0]) / (tokens * 64 * 4)
    assert kept <= times < 1.1 * kept
