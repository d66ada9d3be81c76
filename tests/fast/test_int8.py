"""8-bit weights: no number moves by more than half a step, and a model computes with exactly the moved ones."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minigpt
from minigpt import fast, tokenizers
from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.data.batch import Batch
from minigpt.data.seq2seq import Seq2SeqBatch
from minigpt.fast.int8 import FEW, Int8Matrix, Int8Parameters, Int8Table, int8_matrix, int8_product
from minigpt.models import BART, GPT, BARTConfig, GPTConfig, Llama, LlamaConfig

from ..cli.conftest import error, json_of  # noqa: F401
from ..interop.files import gpt2_folder

TABLES = [pytest.param(fast, id="fast")]
if find_spec("numba"):
    from minigpt.fast.loops import OPERATIONS

    TABLES.append(pytest.param(OPERATIONS, id="compiled", marks=pytest.mark.numba))
tables = pytest.mark.parametrize("table", TABLES)
SHAPE = {"vocab_size": 23, "context": 12, "heads": 2, "width": 8}
MODELS = {
    "gpt": GPT(GPTConfig(layers=2, **SHAPE)),
    "llama": Llama(LlamaConfig(layers=2, kv_heads=1, **SHAPE)),
    "bart": BART(BARTConfig(encoder_layers=1, decoder_layers=1, **SHAPE)),
}


def numbers(matrix):
    """Ŵ (I, O) in float64."""
    return (matrix.values * matrix.scale.astype(float)[:, None]).T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_weight_moves_by_more_than_half_a_step(dtype):
    """The largest one of an output stays, and an output of zeros is one."""
    w = np.random.default_rng(0).standard_normal((40, 30)).astype(dtype) * np.geomspace(1e-30, 1e30, 30, dtype=dtype)
    w[:, 7] = 0
    made = int8_matrix(w)
    assert (
        made.shape == w.shape
        and made.values.dtype == np.int8
        and made.values.flags.c_contiguous
        and made.scale.dtype == dtype
    )
    moved, step = np.abs(w - numbers(made)), made.scale.astype(float)
    rounding = 127 * np.finfo(dtype).eps  # of w / s itself
    assert (moved <= (0.5 + rounding) * step).all() and (moved.max(axis=0)[step > 0] > 0.4 * step[step > 0]).all()
    assert not numbers(made)[:, 7].any()
    largest = np.abs(w).argmax(axis=0)
    np.testing.assert_allclose(numbers(made)[largest, range(30)], w[largest, range(30)], rtol=2 * np.finfo(dtype).eps)


@tables
@pytest.mark.parametrize("rows", [1, 3, FEW + 1])
def test_the_product_is_that_of_the_moved_weights(table, rows, monkeypatch):
    monkeypatch.setattr(fast.int8, "_BLOCK", 100)  # several blocks of outputs
    rng = np.random.default_rng(0)
    for inputs, outputs in ((70, 9), (5, 3), (64, 40)):
        x, w, bias = (
            rng.standard_normal(s).astype(np.float32) for s in ((1, rows, inputs), (inputs, outputs), outputs)
        )
        made = int8_matrix(w)
        y, _ = table.linear_forward(x, made, bias)
        exact = x.astype(float) @ numbers(made) + bias
        bound = 3e-6 * np.abs(exact).max()
        assert y.dtype == np.float32 and np.abs(y - exact).max() <= bound
        out = np.empty((rows, outputs), np.float32)
        assert int8_product(x[0], made, out) is out and np.abs(out + bias - exact[0]).max() <= bound


def spread(model):
    """Parameters with matrices as large as trained ones', the int8 ones of them, and what these amount to as floats."""
    params = model.init(seed=1)
    params.flat *= 5
    small, moved = Int8Parameters(params), params.copy()
    for name, tensor in small.items():
        if isinstance(tensor, Int8Matrix):
            moved[name][...] = numbers(tensor)
        elif isinstance(tensor, Int8Table):
            moved[name][...] = numbers(tensor.T).T
    return params, small, moved


def scores(model, params, table):
    """What a model says to 9 tokens read at once, and to one more."""
    ids, run = np.random.default_rng(0).integers(3, 20, (2, 10)), Run(ops=table)
    batch = Seq2SeqBatch(ids, ids) if model.family == "bart" else Batch(ids, ids)
    state = model.start(params, batch, 12, run)
    first, state = model.step(params, ids[:, :9], state)
    second, _ = model.step(params, ids[:, 9:], state)
    return np.array([first, second])


@tables
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_computes_with_the_moved_weights(model, table):
    params, small, moved = spread(model)
    found, exact = scores(model, small, table), scores(model, moved, table)
    assert np.abs(found - exact).max() <= 1e-5 * np.abs(exact).max()
    own = scores(model, params, table)
    assert 0 < np.abs(found - own).max() <= 0.03 * np.abs(own).max()
    kept = [x for x in small.values() if isinstance(x, np.ndarray)]
    assert small.flat.size == sum(x.size for x in kept) < 0.25 * params.flat.size


def test_the_option_writes_with_them(tmp_path, monkeypatch, capsys):
    folder = gpt2_folder(tmp_path / "hf", *_letters())
    loaded = minigpt.load(folder, weights="int8")
    assert isinstance(loaded.params["blocks.0.mlp.up.weight"], Int8Matrix)
    text = loaded.generate("ab", max_new_tokens=5, temperature=0)
    words = ("sample", folder, "--prompt", "ab", "--tokens", 5, "--temperature", 0, "--json", "--weights", "int8")
    made = []
    monkeypatch.setattr("minigpt.interop.loaded.Int8Parameters", lambda p: made.append(p) or Int8Parameters(p))
    assert json_of(capsys, *words)["text"] == text and len(made) == 1


def test_where_it_is_not_possible_one_sentence_says_so(tmp_path, monkeypatch, error):  # noqa: F811
    loaded = minigpt.load(gpt2_folder(tmp_path / "hf", *_letters()), weights="int8")
    with pytest.raises(UserError, match="int8 have no gradients"):
        loaded.loss_and_grads([[1, 2, 3]])
    with pytest.raises(UserError, match="weights is 'int4'; choose 'int8'"):
        minigpt.load(tmp_path / "hf", weights="int4")
    bert = Path(__file__).parents[2] / "data" / "checkpoints" / "bert-tiny"
    said = error("sample", bert, "--weights", "int8")
    assert "int8 are for models that write, unlike this one of the family bert" in said
    monkeypatch.setattr("minigpt.interop.loaded.backend_of", lambda _: SimpleNamespace(name="cupy"))
    assert "int8 are for the backend numpy" in error("sample", tmp_path / "hf", "--weights", "int8")


def _letters():
    tokenizer = tokenizers.CharTokenizer("abcdefgh\n")
    return GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context=12, layers=1, heads=1, width=4)), tokenizer
