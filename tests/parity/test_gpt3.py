"""GPT-3 against transformers' GPT-2, whose odd layers are handed a banded mask: logits, loss and every gradient."""

import dataclasses

import numpy as np
import pytest
import torch

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.interop.hf import to_state_dict
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import GPT, GPTConfig

from .test_gpt import VOCAB, hf_model, hf_results, random_batch, real_positions

pytestmark = pytest.mark.parity


def banded(hf, window, batch):
    """Let every second layer of a GPT-2 look back over `window` tokens only."""
    t = batch.inputs.shape[1]
    distance = np.arange(t)[:, None] - np.arange(t)
    allowed = ((distance >= 0) & (distance < window))[None, None]
    if batch.key_padding is not None:  # a query that would see nothing sees itself, which is padding and no matter
        allowed = allowed & batch.key_padding[:, None, None, :] | np.eye(t, dtype=bool)
    mask = torch.zeros(allowed.shape, dtype=hf.dtype).masked_fill(~torch.tensor(allowed), torch.finfo(hf.dtype).min)

    def narrow(module, arguments, keywords):
        return arguments, keywords | {"attention_mask": mask}

    for layer in list(hf.transformer.h)[1::2]:
        layer.attn.register_forward_pre_hook(narrow, with_kwargs=True)
    return hf


@pytest.fixture(params=[(w, padded) for w in (1, 3, 4) for padded in (False, True)], ids=lambda p: f"{p[0]}-{p[1]}")
def case(request):
    window, padded = request.param
    model = GPT(GPTConfig(VOCAB, 11, layers=4, heads=3, width=12, window=window))
    return model, random_parameters(model, seed=window), random_batch(11, padded)


def results(model, params, batch, implementation=ops):
    run, dense = Run(ops=implementation), GPT(dataclasses.replace(model.config, window=0))
    loss, cache = model.forward(params, batch, run)
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)
    logits = model.logits(params, batch.inputs, run, batch.key_padding)
    return {"logits": real_positions(logits, batch), "loss": loss, **to_state_dict(dense, grads)}


def their_results(model, params, batch, dtype):
    dense = GPT(dataclasses.replace(model.config, window=0))
    logits, loss, gradients = hf_results(banded(hf_model(dense, params, dtype), model.config.window, batch), batch)
    return {"logits": real_positions(logits, batch), "loss": loss, **gradients}


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_double_precision(case, implementation):
    ours, theirs = results(*case, implementation), their_results(*case, torch.float64)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.abs(ours[name] - theirs[name]).max() <= 1e-9 * max(1.0, np.abs(theirs[name]).max()), name


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_single_precision(case, implementation):
    model, params, batch = case
    single = params.astype("float32")
    exact = results(model, single.astype("float64"), batch)
    ours, theirs = results(model, single, batch, implementation), their_results(model, single, batch, torch.float32)
    for name, value in exact.items():
        assert np.abs(ours[name] - value).max() <= 3 * np.abs(theirs[name] - value).max() + 1e-6, name


def test_the_band_is_there():
    """The dense model would not pass for the banded one."""
    model = GPT(GPTConfig(VOCAB, 11, layers=2, heads=3, width=12, window=3))
    params, batch = random_parameters(model), random_batch(11, False)
    dense = GPT(dataclasses.replace(model.config, window=0))
    assert np.abs(model.logits(params, batch.inputs) - dense.logits(params, batch.inputs)).max() > 1e-2
