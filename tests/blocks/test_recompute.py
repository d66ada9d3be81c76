"""Recomputing blocks in the backward pass: the same bits, less memory."""

import dataclasses

import numpy as np
import pytest

from minigpt.gradcheck import MODEL_CASES


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


@pytest.mark.parametrize("name", MODEL_CASES)
def test_same_loss_and_gradients_from_a_smaller_cache(name):
    case = MODEL_CASES[name]()
    results = []
    for recompute in (False, True):
        run = dataclasses.replace(case.run, recompute=recompute)
        loss, cache = case.model.forward(case.params, case.batch, run)
        size = sum(arrays_in(cache, {}).values())
        grads = case.params.zeros_like()
        case.model.backward(case.params, grads, cache, run)
        results.append((loss, size, grads.flat))
    (loss, size, grads), (again, smaller, same_grads) = results
    assert loss == again and np.array_equal(grads, same_grads)
    assert smaller < size
