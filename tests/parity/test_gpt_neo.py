"""GPT-Neo against transformers on random weights of order one: logits, loss and every gradient.

transformers computes its scores and softmax in float32 whatever the weights are in. So float64 is compared twice: as it
ships, and with those casts made ones to float64.
"""

import numpy as np
import pytest
import torch
import transformers
from transformers.models.gpt_neo import modeling_gpt_neo

from minigpt import fast, ops
from minigpt.interop.hf import FAMILIES, to_state_dict
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import GPT, GPTConfig

from .test_gpt import VOCAB, hf_results, our_results, random_batch, real_positions

pytestmark = pytest.mark.parity
CASES = [(window, layers, padded) for window, layers in ((1, "fw"), (4, "wf"), (3, "w")) for padded in (False, True)]


@pytest.fixture(params=CASES, ids=str)
def case(request):
    window, layers, padded = request.param
    shape = {"layers": 3, "heads": 3, "width": 12, "window": window, "window_layers": layers}
    model = GPT(GPTConfig(VOCAB, 11, **shape, qkv_bias=False, scaled_scores=False))
    return model, random_parameters(model, seed=window), random_batch(11, padded)


class DoubleTorch:
    """torch, but float32 is float64 in it."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def their_model(model, params, dtype):
    config = transformers.GPTNeoConfig(**FAMILIES["gpt_neo"].write_config(model.config), attn_implementation="eager")
    hf = transformers.GPTNeoForCausalLM(config).to(dtype).eval()
    tensors = {k: torch.tensor(np.ascontiguousarray(v), dtype=dtype) for k, v in to_state_dict(model, params).items()}
    missing, unexpected = hf.load_state_dict(tensors, strict=False)
    assert unexpected == [] and missing == ["lm_head.weight"]  # tied
    assert hf.config.attention_layers == [("global", "local")[w == "w"] for w in (model.config.window_layers * 3)[:3]]
    return hf


def named(results, batch):
    logits, loss, gradients = results
    return {"logits": real_positions(logits, batch), "loss": loss, **gradients}


def assert_close(ours, theirs, bound):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.abs(ours[name] - theirs[name]).max() <= bound * max(1.0, np.abs(theirs[name]).max()), name


def test_double_precision_as_it_ships(case):
    model, params, batch = case
    theirs = named(hf_results(their_model(model, params, torch.float64), batch), batch)
    assert_close(named(our_results(model, params, batch), batch), theirs, 5e-5)


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_double_precision_throughout(case, implementation, monkeypatch):
    monkeypatch.setattr(modeling_gpt_neo, "torch", DoubleTorch())
    model, params, batch = case
    theirs = named(hf_results(their_model(model, params, torch.float64), batch), batch)
    assert_close(named(our_results(model, params, batch, implementation), batch), theirs, 1e-9)


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_single_precision(case, implementation):
    """Our float32 results are at most three times as far from the float64 ones as transformers' own."""
    model, params, batch = case
    single = params.astype("float32")
    exact = named(our_results(model, single.astype("float64"), batch), batch)
    ours = named(our_results(model, single, batch, implementation), batch)
    theirs = named(hf_results(their_model(model, single, torch.float32), batch), batch)
    for name, value in exact.items():
        assert np.abs(ours[name] - value).max() <= 3 * np.abs(theirs[name] - value).max() + 1e-6, name
