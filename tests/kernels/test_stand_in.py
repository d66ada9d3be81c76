"""The stand-in for CuPy refuses what CuPy 14.2 refuses, and what the project does on a GPU keeps clear of it."""

import ml_dtypes
import numpy as np
import pytest

from minigpt import ops
from minigpt.blocks.mixed import Mixed
from minigpt.ops._common import add_product, product
from minigpt.ops.embedding import EmbeddingCache
from tests import counted_cupy, fake_cupy
from tests.counted_cupy import COUNTS

KEY = ops.DropoutKey(0, 0, 0, 0)
LOW = ml_dtypes.bfloat16


def test_it_refuses_what_cupy_refuses(monkeypatch):
    cupy = fake_cupy.install(monkeypatch)
    x = cupy.asarray(np.ones((2, 3, 4), LOW))
    with pytest.raises(TypeError, match="only supports int32, float16"):
        cupy.add.at(x[0], cupy.asarray(np.arange(2)), x[0, :2])
    with pytest.raises(TypeError, match="no batched product"):
        cupy.matmul(x, x.transpose(0, 2, 1))
    with pytest.raises(TypeError, match="no batched product"):
        x @ x.transpose(0, 2, 1)
    with pytest.raises(AttributeError, match="no attribute 'vecdot'"):
        cupy.vecdot(x, x)
    with pytest.raises(ValueError, match="a product of matrices"):
        product(x, x)


def test_an_embeddings_gradient_in_bfloat16_is_summed_in_float32(monkeypatch):
    """A table of more than 512 rows, as BERT's masked positions are: where CuPy scatters."""
    cupy = fake_cupy.install(monkeypatch)
    ids = np.array([3, 599, 3, 3] * 100)
    table = cupy.asarray(np.zeros((600, 4), LOW))
    ops.embedding_backward(cupy.asarray(np.ones((400, 4), LOW)), EmbeddingCache(cupy.asarray(ids), 600), table)
    assert table[3, 0] == 300 and table[599, 3] == 100  # in bfloat16 a sum of ones stops at 256


@pytest.mark.nvrtc
def test_the_lists_are_those_of_the_installed_cupy():
    cupy = pytest.importorskip("cupy")
    functions = {name for name in dir(np) if name[0] != "_" and callable(getattr(np, name))}
    missing = {name for name in functions if not isinstance(getattr(np, name), type) and not hasattr(cupy, name)}
    assert missing == fake_cupy.MISSING


def test_mixed_precision_leaves_alone_what_nothing_is_dropped_from():
    x, mixed = np.ones((2, 3), LOW), Mixed(ops)
    y, cache = mixed.dropout_forward(x, 0.0, KEY)
    assert y is x and mixed.dropout_backward(x, cache) is x
    y, cache = mixed.dropout_forward(x, 0.5, KEY)
    assert y.dtype == LOW and (mixed.dropout_backward(x, cache) == y).all() and set(y.ravel().tolist()) <= {0.0, 2.0}


def test_a_tied_gradient_is_multiplied_as_it_lies(monkeypatch):
    """(V, C) = dyᵀ x, and nothing is added into a transposed view."""
    cupy = counted_cupy.install(monkeypatch)
    table, x, dy = cupy.empty((50, 8), np.float32), cupy.empty((5, 8), LOW), cupy.empty((5, 50), LOW)
    shapes = []
    monkeypatch.setattr("minigpt.ops._common.product", lambda a, b: shapes.append((a.shape, b.shape)) or a @ b)
    add_product(table.T, x, dy, False)
    assert shapes == [((50, 5), (5, 8))] and COUNTS.launches == {"matmul": 1, "add": 1}
