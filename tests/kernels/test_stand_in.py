"""The stand-in for CuPy refuses what CuPy 14.2 refuses, and what the project does on a GPU keeps clear of it."""

import ml_dtypes
import numpy as np
import pytest

from minigpt import ops
from minigpt.ops._common import product
from minigpt.ops.embedding import EmbeddingCache
from tests import fake_cupy

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
