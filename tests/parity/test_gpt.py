"""GPT and GPT-2 against transformers on random weights of order one: logits, loss and every gradient."""

import numpy as np
import pytest
import torch
import transformers

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.data.batch import Batch
from minigpt.interop.hf import to_state_dict
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import GPT, GPTConfig
from minigpt.ops import IGNORE

pytestmark = pytest.mark.parity


SIZES = [(1, 1, 4, 3), (2, 3, 12, 7), (3, 2, 10, 11)]  # layers, heads, width, context
VOCAB = 13


def hf_model(model, params, dtype):
    c = model.config
    shared = {
        "vocab_size": c.vocab_size,
        "n_positions": c.context,
        "n_embd": c.width,
        "n_layer": c.layers,
        "n_head": c.heads,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "layer_norm_epsilon": c.norm_eps,
        "attn_implementation": "eager",
    }
    if c.norm == "pre":
        hf = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shared, activation_function="gelu_new"))
    else:
        hf = transformers.OpenAIGPTLMHeadModel(transformers.OpenAIGPTConfig(**shared, afn="gelu"))
    hf = hf.to(dtype)
    tensors = {k: torch.tensor(v, dtype=dtype) for k, v in to_state_dict(model, params).items()}
    missing, unexpected = hf.load_state_dict(tensors, strict=False)
    assert unexpected == [] and set(missing) <= {"lm_head.weight"}  # tied
    return hf


def hf_results(hf, batch):
    """Logits, the loss computed from them in their own precision, and every gradient."""
    mask = None if batch.key_padding is None else torch.tensor(batch.key_padding.astype(int))
    logits = hf(input_ids=torch.tensor(batch.inputs), attention_mask=mask).logits
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.tensor(batch.targets).flatten(), ignore_index=IGNORE
    )
    loss.backward()
    gradients = {k: p.grad.numpy() for k, p in hf.named_parameters() if k != "lm_head.weight"}
    return logits.detach().numpy(), loss.item(), gradients


def our_results(model, params, batch, implementation=ops):
    run = Run(ops=implementation)
    loss, cache = model.forward(params, batch, run)
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)
    return model.logits(params, batch.inputs, run, batch.key_padding), loss, to_state_dict(model, grads)


def random_batch(context, padded):
    rng = np.random.default_rng(context)
    inputs = rng.integers(1, VOCAB, (3, context))
    targets = rng.integers(0, VOCAB, (3, context))
    targets[0, 0] = IGNORE
    if not padded:
        return Batch(inputs, targets)
    real = np.arange(context) < np.array([context, max(1, context // 2), 1])[:, None]
    return Batch(inputs, np.where(real, targets, IGNORE), real)


@pytest.fixture(params=[(size, norm, padded) for size in SIZES for norm in ("pre", "post") for padded in (False, True)])
def case(request):
    (layers, heads, width, context), norm, padded = request.param
    model = GPT(GPTConfig(VOCAB, context, layers, heads, width, norm=norm))
    return model, random_parameters(model, seed=layers), random_batch(context, padded)


def real_positions(logits, batch):
    return logits if batch.key_padding is None else logits[batch.key_padding]


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_double_precision(case, implementation):
    model, params, batch = case
    logits, loss, grads = our_results(model, params, batch, implementation)
    hf_logits, hf_loss, hf_grads = hf_results(hf_model(model, params, torch.float64), batch)
    assert hf_logits.dtype == np.float64 and grads.keys() == hf_grads.keys()
    pairs = {"logits": (real_positions(logits, batch), real_positions(hf_logits, batch)), "loss": (loss, hf_loss)}
    pairs |= {name: (grads[name], hf_grads[name]) for name in grads}
    for name, (a, b) in pairs.items():
        assert np.abs(a - b).max() <= 1e-9 * max(1.0, np.abs(b).max()), name


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_single_precision(case, implementation):
    """Our float32 results are at most three times as far from the float64 ones as transformers' own."""
    model, params, batch = case
    single = params.astype("float32")
    logits, loss, grads = our_results(model, single.astype("float64"), batch)
    exact = {"logits": real_positions(logits, batch), "loss": loss, **grads}
    logits, loss, grads = our_results(model, single, batch, implementation)
    ours = {"logits": real_positions(logits, batch), "loss": loss, **grads}
    logits, loss, grads = hf_results(hf_model(model, single, torch.float32), batch)
    theirs = {"logits": real_positions(logits, batch), "loss": loss, **grads}
    for name, value in exact.items():
        ours_off, theirs_off = np.abs(ours[name] - value).max(), np.abs(theirs[name] - value).max()
        assert ours_off <= 3 * theirs_off + 1e-6, name


def test_initial_training_step_equals_torch_adamw(case):
    """Three updates with clipping and decay, float64: our optimizer on our gradients, torch's on transformers'."""
    from minigpt.train.optimizer import AdamW, OptimizerConfig, clip_factor, global_norm

    model, params, batch = case
    hf = hf_model(model, params, torch.float64)
    matrices = [p for p in hf.parameters() if p.dim() > 1]
    vectors = [p for p in hf.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    torch_optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.99), eps=1e-8)
    optimizer = AdamW(params, OptimizerConfig(beta2=0.99, weight_decay=0.1))
    for _ in range(3):
        torch_optimizer.zero_grad()
        hf_results(hf, batch)
        torch.nn.utils.clip_grad_norm_(hf.parameters(), 0.5)
        torch_optimizer.step()
        _, cache = model.forward(params, batch)
        grads = params.zeros_like()
        model.backward(params, grads, cache)
        optimizer.step(params, grads, 1e-2, scale=clip_factor(global_norm(grads), 0.5))
    trained = to_state_dict(model, params)
    for name, p in hf.named_parameters():
        if name != "lm_head.weight":  # clip_grad_norm_ adds 1e-6 to the norm it divides by
            # an entry whose gradient is zero but for rounding moves by lr in whatever direction that rounding has
            real = np.abs(p.grad.numpy()) > 1e-9
            assert np.abs(trained[name] - p.detach().numpy())[real].max(initial=0.0) <= 1e-6, name
