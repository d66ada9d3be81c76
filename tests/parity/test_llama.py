"""Llama against transformers on random weights of order one: logits, loss and every gradient.

transformers computes norms, rotary angles and softmax in float32 whatever the weights are in. So float64 is compared
twice: with the model as it ships, and with those casts patched away, where nothing but rounding may remain.
"""

import numpy as np
import pytest
import torch
import transformers
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral
from transformers.models.qwen2 import modeling_qwen2

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.data.batch import Batch
from minigpt.interop.hf import family_of, to_state_dict
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import Llama, LlamaConfig
from minigpt.ops import IGNORE

pytestmark = pytest.mark.parity

VOCAB = 13
CONFIGS = {
    "one-layer": {"layers": 1, "heads": 1, "width": 4, "context": 3},
    "ordinary": {"heads": 3, "width": 12, "context": 7, "norm_eps": 1e-6},
    "grouped-6-3": {"heads": 6, "kv_heads": 3, "width": 12, "layers": 3},
    "grouped-4-1": {"heads": 4, "kv_heads": 1, "width": 8, "rope_base": 500000.0},
    "tied": {"heads": 2, "width": 12, "tied": True},
    "wide-heads": {"heads": 3, "kv_heads": 1, "width": 12, "head_width": 14, "rope_base": 100.0},
    "interleaved": {"heads": 4, "kv_heads": 2, "width": 16, "rope_layout": "interleaved"},
    "biases": {"heads": 4, "kv_heads": 2, "width": 16, "attention_bias": "all", "rope_layout": "interleaved"},
    "mistral": {"heads": 4, "kv_heads": 2, "width": 16, "window": 3},
    "qwen2": {"heads": 3, "kv_heads": 1, "width": 12, "layers": 3, "attention_bias": "qkv"},
    "qwen2-windows": {"heads": 2, "width": 12, "attention_bias": "qkv", "window": 2, "window_layers": "fw"},
    "scaled": {"heads": 2, "width": 16, "rope_base": 10.0, "rope_factor": 4.0, "rope_context": 16},
}
PADDINGS = ("none", "right", "left")


def hf_model(model, params, dtype):
    family = family_of(model)
    config = getattr(transformers, f"{family.stem}Config")(
        **family.write_config(model.config), attn_implementation="eager"
    )
    hf = getattr(transformers, family.architecture)(config).to(dtype)
    tensors = {k: torch.tensor(np.ascontiguousarray(v), dtype=dtype) for k, v in to_state_dict(model, params).items()}
    missing, unexpected = hf.load_state_dict(tensors, strict=False)
    assert unexpected == [] and missing == (["lm_head.weight"] if model.config.tied else [])
    return hf


@pytest.fixture
def in_double(monkeypatch):
    """transformers' float32 casts turned into float64 ones: norm, rotary angles, softmax."""

    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def rotary(self, x, position_ids):
        c = self.config
        frequencies = ops.rope.rope_frequencies(c.head_dim, rope_of(c))
        angles = position_ids[..., None].double() * torch.tensor(frequencies)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos(), angles.sin()

    softmax = torch.nn.functional.softmax
    for name, module in (("Llama", modeling_llama), ("Mistral", modeling_mistral), ("Qwen2", modeling_qwen2)):
        monkeypatch.setattr(getattr(module, f"{name}RMSNorm"), "forward", norm)
        monkeypatch.setattr(getattr(module, f"{name}RotaryEmbedding"), "forward", rotary)
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim=-1, dtype=None: softmax(x, dim=dim))


def rope_of(c):
    p = c.rope_parameters
    if p["rope_type"] == "default":
        return ops.Rope(p["rope_theta"])
    old = p["original_max_position_embeddings"]
    return ops.Rope(
        p["rope_theta"], "half", ops.RopeScaling(p["factor"], p["low_freq_factor"], p["high_freq_factor"], old)
    )


def random_batch(context, padding):
    rng = np.random.default_rng(context)
    inputs, targets = rng.integers(1, VOCAB, (3, context)), rng.integers(0, VOCAB, (3, context))
    targets[0, 0] = IGNORE
    if padding == "none":
        return Batch(inputs, targets)
    real = np.arange(context) < np.array([context, max(1, context // 2), 1])[:, None]
    real = real[:, ::-1].copy() if padding == "left" else real
    return Batch(inputs, np.where(real, targets, IGNORE), real)


def positions_of(batch):
    """Counted over the real tokens, as generate() of transformers does."""
    if batch.key_padding is None:
        return np.tile(np.arange(batch.inputs.shape[1]), (len(batch.inputs), 1))
    return np.maximum(batch.key_padding.cumsum(axis=1) - 1, 0)


def their_mask(batch, hf):
    """transformers' own mask gives NaN where a query sees nothing; here padded queries see themselves. Without padding
    the windows are all theirs.
    """
    if batch.key_padding is None:
        return None
    window = getattr(hf.config, "sliding_window", None)
    if hf.config.model_type != "qwen2":
        return additive_mask(batch, hf.dtype, window)
    kinds = {"full_attention": None, "sliding_attention": window}
    return {kind: additive_mask(batch, hf.dtype, its) for kind, its in kinds.items()}


def additive_mask(batch, dtype, window):
    t = batch.inputs.shape[1]
    seen = np.tri(t, dtype=bool) & ~np.tri(t, k=-(window or t), dtype=bool)
    allowed = batch.key_padding[:, None, None, :] & seen | np.eye(t, dtype=bool)
    return torch.zeros(allowed.shape, dtype=dtype).masked_fill(~torch.tensor(allowed), torch.finfo(dtype).min)


def hf_results(hf, batch):
    """Logits, the loss computed from them in their own precision, and every gradient."""
    mask, positions = their_mask(batch, hf), torch.tensor(positions_of(batch))
    logits = hf(input_ids=torch.tensor(batch.inputs), attention_mask=mask, position_ids=positions).logits
    targets = torch.tensor(batch.targets).flatten()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, ignore_index=IGNORE)
    loss.backward()
    gradients = {k: p.grad.numpy() for k, p in hf.named_parameters()}
    return {"logits": real_positions(logits.detach().numpy(), batch), "loss": loss.item(), **gradients}


def our_results(model, params, batch, implementation=ops):
    run = Run(ops=implementation)
    loss, cache = model.forward(params, batch, run)
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)
    logits = model.logits(params, batch.inputs, run, batch.key_padding, positions_of(batch))
    return {"logits": real_positions(logits, batch), "loss": loss, **to_state_dict(model, grads)}


def real_positions(logits, batch):
    return logits if batch.key_padding is None else logits[batch.key_padding]


@pytest.fixture(params=[(name, padding) for name in CONFIGS for padding in PADDINGS], ids="-".join)
def case(request):
    name, padding = request.param
    model = Llama(LlamaConfig(VOCAB, **({"context": 9, "feed_forward": 11} | CONFIGS[name])))
    return model, random_parameters(model), random_batch(model.config.context, padding)


def assert_close(ours, theirs, bound):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.abs(ours[name] - theirs[name]).max() <= bound * max(1.0, np.abs(theirs[name]).max()), name


def test_double_precision_as_it_ships(case):
    model, params, batch = case
    assert_close(our_results(model, params, batch), hf_results(hf_model(model, params, torch.float64), batch), 5e-5)


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_double_precision_throughout(case, implementation, in_double):
    model, params, batch = case
    theirs = hf_results(hf_model(model, params, torch.float64), batch)
    assert theirs["logits"].dtype == np.float64
    assert_close(our_results(model, params, batch, implementation), theirs, 1e-9)


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_single_precision(case, implementation):
    """Our float32 results are at most three times as far from the float64 ones as transformers' own."""
    model, params, batch = case
    single = params.astype("float32")
    exact = our_results(model, single.astype("float64"), batch)
    ours = our_results(model, single, batch, implementation)
    theirs = hf_results(hf_model(model, single, torch.float32), batch)
    for name, value in exact.items():
        ours_off, theirs_off = np.abs(ours[name] - value).max(), np.abs(theirs[name] - value).max()
        assert ours_off <= 3 * theirs_off + 1e-6, name


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_the_permutation_between_the_layouts_is_the_published_one(heads):
    """Meta → Hugging Face: W.reshape(n, D/2, 2, C).transpose(0, 2, 1, 3), rows of q and k alone."""
    half = Llama(LlamaConfig(VOCAB, 8, heads=4, width=16, kv_heads=heads, feed_forward=5))
    interleaved = Llama(
        LlamaConfig(VOCAB, 8, heads=4, width=16, kv_heads=heads, feed_forward=5, rope_layout="interleaved")
    )
    params = random_parameters(half)
    plain, permuted = to_state_dict(half, params), to_state_dict(interleaved, params)
    for name, w in plain.items():
        n = {"q_proj": 4, "k_proj": heads}.get(name.split(".")[-2])
        expected = w if n is None else w.reshape(n, 2, 2, 16).transpose(0, 2, 1, 3).reshape(w.shape)
        np.testing.assert_array_equal(permuted[name], expected)
