"""GPT's heads against transformers' double-heads models: scores of the options, L2 + λ L1, and every gradient.

Both losses are computed outside transformers from its logits; L1 as GPT's code does it: the mean over each sequence's
real tokens, then over sequences. Classes and sums of states have no counterpart there, so they stand beside PyTorch's
own operations on the last states of transformers' body.
"""

import numpy as np
import pytest
import torch
import transformers

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.core.params import Parameters
from minigpt.interop.hf import to_state_dict
from minigpt.lab.testing import random_parameters
from minigpt.models.causal_heads import CausalHead, ExtractBatch
from minigpt.models.gpt import GPT, GPTConfig
from minigpt.ops import IGNORE

pytestmark = pytest.mark.parity

VOCAB, LAMBDA = 13, 0.5
SIZES = [(1, 1, 7, 5), (2, 3, 12, 7)]  # layers, heads, width, context
functional = torch.nn.functional


def random_batch(context, examples=3, sequences=2, labels=2):
    rng = np.random.default_rng(context)
    inputs = rng.integers(1, VOCAB, (examples, sequences, context))
    ends = rng.integers(2, context, (examples, sequences))
    ends[0, 0] = context - 1
    targets = np.roll(inputs, -1, axis=2)
    targets[np.arange(context) >= ends[..., None]] = IGNORE
    return ExtractBatch(inputs, ends, rng.integers(0, labels, examples), targets)


def body_only(model, params):
    """The body's part of parameters or gradients, as its own specification orders it."""
    flat = np.concatenate([params[spec.name].reshape(-1) for spec in model.body.specs])
    return Parameters(model.body.specs, flat)


def hf_model(model, params, dtype):
    c = model.config
    shape = {"vocab_size": c.vocab_size, "n_positions": c.context, "n_embd": c.width}
    shape |= {"n_layer": c.layers, "n_head": c.heads, "attn_implementation": "eager", "summary_first_dropout": 0.0}
    rates = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    if c.norm == "pre":
        hf = transformers.GPT2DoubleHeadsModel(transformers.GPT2Config(**shape, **rates))
    else:
        hf = transformers.OpenAIGPTDoubleHeadsModel(transformers.OpenAIGPTConfig(**shape, **rates))
    tensors = {k: torch.tensor(v) for k, v in to_state_dict(model.body, body_only(model, params)).items()}
    if model.scores == 1:
        tensors["multiple_choice_head.summary.weight"] = torch.tensor(params["head.weight"].T)
        tensors["multiple_choice_head.summary.bias"] = torch.tensor(params["head.bias"])
    hf = hf.to(dtype)
    missing, unexpected = hf.load_state_dict(tensors, strict=False)
    allowed = {"lm_head.weight"} | {k for k in missing if k.startswith("multiple_choice") and model.scores > 1}
    assert unexpected == [] and set(missing) <= allowed
    return hf


def l1(logits, targets):
    """The mean over each sequence's targets, then over the sequences."""
    means = [
        functional.cross_entropy(z, y, ignore_index=IGNORE)
        for z, y in zip(logits.flatten(0, 1), torch.tensor(targets).flatten(0, 1), strict=True)
    ]
    return torch.stack(means).mean()


def hf_choice(hf, batch):
    out = hf(input_ids=torch.tensor(batch.inputs), mc_token_ids=torch.tensor(batch.ends))
    scores = out.mc_logits
    return scores, functional.cross_entropy(scores, torch.tensor(batch.labels)) + LAMBDA * l1(out.logits, batch.targets)


def hf_summed(hf, batch, weight, bias):
    """Classes from the sum of the extracted states, on transformers' body."""
    b, n, t = batch.inputs.shape
    states = hf.transformer(input_ids=torch.tensor(batch.inputs).flatten(0, 1)).last_hidden_state
    ends = torch.tensor(batch.ends).flatten()
    scores = states[torch.arange(b * n), ends].reshape(b, n, -1).sum(1) @ weight + bias
    logits = hf.lm_head(states).reshape(b, n, t, -1)
    return scores, functional.cross_entropy(scores, torch.tensor(batch.labels)) + LAMBDA * l1(logits, batch.targets)


def our_results(model, params, batch, implementation):
    run = Run(ops=implementation)
    loss, cache = model.forward(params, batch, run)
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)
    heads = {"head.weight": grads["head.weight"], "head.bias": grads["head.bias"]}
    return cache.labels.scores, loss, to_state_dict(model.body, body_only(model, grads)) | heads


def assert_equal(ours, theirs, name):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    assert np.abs(ours - theirs).max() <= 1e-9 * max(1.0, np.abs(theirs).max()), name


def compare(hf, scores, loss, head, ours):
    our_scores, our_loss, our_grads = ours
    loss.backward()
    assert_equal(our_scores, scores, "scores")
    assert_equal(our_loss, loss, "loss")
    for name, parameter in hf.named_parameters():
        if name in our_grads:
            assert_equal(our_grads.pop(name), parameter.grad, name)
    for name, gradient in head.items():
        assert_equal(our_grads.pop(name), gradient(), name)
    assert not our_grads  # every one of ours was compared


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_choices_are_those_of_the_double_heads(size, norm, implementation):
    layers, heads, width, context = size
    body = GPT(GPTConfig(VOCAB, context, layers, heads, width, norm=norm))
    model = CausalHead(body, 1, choice=True, auxiliary=LAMBDA)
    params, batch = random_parameters(model, seed=layers), random_batch(context)
    hf = hf_model(model, params, torch.float64)
    summary = hf.multiple_choice_head.summary
    head = {"head.weight": lambda: summary.weight.grad.T, "head.bias": lambda: summary.bias.grad}
    compare(hf, *hf_choice(hf, batch), head, our_results(model, params, batch, implementation))


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
@pytest.mark.parametrize("sequences", [1, 2])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_classes_from_the_extracted_states(norm, sequences, implementation):
    layers, heads, width, context = SIZES[1]
    body = GPT(GPTConfig(VOCAB, context, layers, heads, width, norm=norm))
    model = CausalHead(body, 3, auxiliary=LAMBDA)
    params, batch = random_parameters(model, seed=3), random_batch(context, sequences=sequences, labels=3)
    hf = hf_model(model, params, torch.float64)
    weight, bias = (torch.tensor(params[f"head.{x}"], requires_grad=True) for x in ("weight", "bias"))
    head = {"head.weight": lambda: weight.grad, "head.bias": lambda: bias.grad}
    compare(hf, *hf_summed(hf, batch, weight, bias), head, our_results(model, params, batch, implementation))
