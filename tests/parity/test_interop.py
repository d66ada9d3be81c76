"""Models pass between transformers and minigpt in both directions: the same logits, the same weights to the bit."""

import logging

import numpy as np
import pytest
import torch
import transformers

import minigpt
from minigpt.cli import main
from minigpt.interop.hf.writing import write_model

from .hf_models import CASES, VOCAB, random_model, their_logits, their_tensors

pytestmark = pytest.mark.parity
IDS = np.random.default_rng(0).integers(1, VOCAB, (3, 7))


@pytest.fixture
def their_warnings():
    """What transformers says through its logger while a test runs."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def saved(model, folder, **options):
    model.save_pretrained(folder, **options)
    return folder


@pytest.mark.parametrize("sharded", [False, True], ids=["single", "sharded"])
@pytest.mark.parametrize("name", CASES)
def test_their_models_compute_the_same_here(name, sharded, tmp_path):
    model = random_model(name)
    saved(model, tmp_path / "hf", **({"max_shard_size": "4KB"} if sharded else {}))
    assert (tmp_path / "hf" / "model.safetensors.index.json").exists() == sharded
    loaded = minigpt.load(tmp_path / "hf", dtype="float64")
    exact = their_logits(model.double(), IDS)
    assert np.abs(loaded.logits(IDS) - exact).max() <= 1e-9 * max(1.0, np.abs(exact).max())
    assert loaded.tokenizer is None and loaded.model.config == loaded.config.model


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", CASES)
def test_other_precisions_are_read(name, dtype, tmp_path):
    model = random_model(name, dtype)
    loaded = minigpt.load(saved(model, tmp_path / "hf"), dtype=None)
    assert loaded.params.flat.dtype == ("float64" if dtype == torch.float64 else "float32")
    loaded = minigpt.load(tmp_path / "hf", dtype="float64")
    exact = their_logits(model.double(), IDS)
    assert np.abs(loaded.logits(IDS) - exact).max() <= 1e-9 * max(1.0, np.abs(exact).max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CASES)
def test_there_and_back_is_exact(name, dtype, tmp_path, their_warnings):
    """Their folder, a run, their folder again: the same bits, which their class opens without a word."""
    model = random_model(name, dtype)
    before = their_tensors(saved(model, tmp_path / "hf"))
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "run")]) == 0
    assert main(["convert", str(tmp_path / "run"), str(tmp_path / "back"), "--to", "hf"]) == 0
    after = their_tensors(tmp_path / "back")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)
    del their_warnings[:]
    again, info = type(model).from_pretrained(tmp_path / "back", output_loading_info=True, dtype=dtype)
    assert not any(info.values()) and their_warnings == []
    state = again.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    settings = (model.config.to_diff_dict(), again.config.to_diff_dict())
    changed = {k for k in settings[0] | settings[1] if settings[0].get(k) != settings[1].get(k)}
    assert changed <= {"bos_token_id", "eos_token_id", "pad_token_id", "architectures", "activation_function"}


@pytest.mark.parametrize("name", CASES)
def test_ours_there_and_back_is_exact(name, tmp_path):
    ours = minigpt.load(saved(random_model(name), tmp_path / "hf"))
    ours.params.flat[:] = np.random.default_rng(1).normal(0, 0.3, ours.params.flat.shape)
    write_model(tmp_path / "theirs", ours.model, ours.params, None)
    again = minigpt.load(tmp_path / "theirs")
    assert again.model.config == ours.model.config and np.array_equal(again.params.flat, ours.params.flat)
    theirs = getattr(transformers, CASES[name].architecture).from_pretrained(tmp_path / "theirs").double()
    exact = their_logits(theirs, IDS)
    double = minigpt.load(tmp_path / "theirs", dtype="float64").logits(IDS)
    assert np.abs(double - exact).max() <= 1e-9 * max(1.0, np.abs(exact).max())


def test_models_without_biases_are_written_with_zero_ones(tmp_path):
    from minigpt.models import GPT, GPTConfig

    model = GPT(GPTConfig(vocab_size=VOCAB, context=9, layers=2, heads=2, width=6, bias=False))
    params = model.init(seed=3, dtype="float64")
    write_model(tmp_path / "hf", model, params, None)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "hf", dtype=torch.float64)
    assert np.abs(their_logits(theirs, IDS) - model.logits(params, IDS)).max() <= 1e-12
