"""The Transformer against stacks of torch.nn's encoder and decoder layers: post-norm, no final norms, float64."""

import math

import numpy as np
import pytest
import torch

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.data.seq2seq import Seq2SeqBatch, shift_tokens_right
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import Transformer, TransformerConfig
from minigpt.ops import IGNORE

pytestmark = pytest.mark.parity

PAD, START, VOCAB = 1, 2, 13
SIZES = [(1, 1, 1, 4, 3), (1, 3, 3, 12, 7), (3, 2, 2, 10, 11)]  # encoder and decoder layers, heads, width, context


class TorchTransformer(torch.nn.Module):
    """The paper's model out of torch's own layers; positions as the formula of section 3.5 reads."""

    def __init__(self, c):
        super().__init__()
        common = {"dropout": 0.0, "activation": "relu", "layer_norm_eps": c.norm_eps, "batch_first": True}
        self.c, self.embedding = c, torch.nn.Embedding(c.vocab_size, c.width)
        layer = torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer
        self.encoder, self.decoder = (
            torch.nn.ModuleList(kind(c.width, c.heads, c.feed_forward, **common) for _ in range(layers))
            for kind, layers in zip(layer, (c.encoder_layers, c.decoder_layers), strict=True)
        )

    def embed(self, ids):
        c, t = self.c, ids.shape[1]
        positions = torch.zeros(t, c.width, dtype=torch.float64)
        for position in range(t):
            for i in range(c.width):
                angle = position / 10000 ** (2 * (i // 2) / c.width)
                positions[position, i] = math.cos(angle) if i % 2 else math.sin(angle)
        return self.embedding(ids) * math.sqrt(c.width) + positions.to(self.embedding.weight.dtype)

    def forward(self, source, inputs, hidden):
        memory, x = self.embed(source), self.embed(inputs)
        later = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool).triu(1)
        for layer in self.encoder:
            memory = layer(memory, src_key_padding_mask=hidden)
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=later, memory_key_padding_mask=hidden)
        return x @ self.embedding.weight.T


def torch_names(model, tree):
    """Our tensors under torch's names: in_proj is q, k and v stacked, and matrices are (out, in)."""
    named = {"embedding.weight": tree["tokens"]}
    for side in ("encoder", "decoder"):
        for layer in range(getattr(model.config, f"{side}_layers")):
            t, p = f"{side}.{layer}", tree.scope(f"{side}.blocks.{layer}")
            parts = {"self_attn": ("attention", ["qkv"])}
            norms = ["norm1", "norm2"]
            if side == "decoder":
                parts["multihead_attn"] = ("cross", ["q", "kv"])
                norms = ["norm1", "norm_cross", "norm2"]
            for theirs, (ours, projections) in parts.items():
                for kind in ("weight", "bias"):
                    if p.get(f"{ours}.out.{kind}") is None:
                        continue
                    stacked = [p[f"{ours}.{projection}.{kind}"].T for projection in projections]
                    named[f"{t}.{theirs}.in_proj_{kind}"] = np.concatenate(stacked)
                    named[f"{t}.{theirs}.out_proj.{kind}"] = p[f"{ours}.out.{kind}"].T
            for i, ours in enumerate(norms):
                named[f"{t}.norm{i + 1}.weight"], named[f"{t}.norm{i + 1}.bias"] = p[f"{ours}.gain"], p[f"{ours}.bias"]
            for theirs, ours in (("linear1", "mlp.up"), ("linear2", "mlp.down")):
                for kind in ("weight", "bias"):
                    named[f"{t}.{theirs}.{kind}"] = p[f"{ours}.{kind}"].T
    return named


def torch_model(model, params, dtype):
    torch_side = TorchTransformer(model.config).to(dtype)
    for p in torch_side.parameters():
        torch.nn.init.zeros_(p)  # attention's biases stay so where the model has none
    named = {k: torch.tensor(np.array(v), dtype=dtype) for k, v in torch_names(model, params).items()}
    missing, unexpected = torch_side.load_state_dict(named, strict=False)
    assert unexpected == [] and all(name.endswith("bias") for name in missing)
    return torch_side


def torch_results(torch_side, batch, smoothing):
    hidden = None if batch.source_padding is None else torch.tensor(~batch.source_padding)
    logits = torch_side(torch.tensor(batch.source), torch.tensor(batch.inputs), hidden)
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1),
        torch.tensor(batch.targets).flatten(),
        ignore_index=IGNORE,
        label_smoothing=smoothing * VOCAB / (VOCAB - 1),  # theirs is spread over all V classes, ours over the others
    )
    loss.backward()
    return logits.detach().numpy(), loss.item(), {k: p.grad.numpy() for k, p in torch_side.named_parameters()}


def our_results(model, params, batch, smoothing, implementation=ops):
    run = Run(train=smoothing > 0, ops=implementation)
    loss, cache = model.forward(params, batch, run)
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)
    return model.logits(params, batch, run), loss, torch_names(model, grads)


def random_batch(context, padded):
    rng = np.random.default_rng(context)
    source = rng.integers(3, VOCAB, (3, context))
    targets = rng.integers(3, VOCAB, (3, max(1, context - 1)))
    targets[0, -1] = IGNORE
    real = np.arange(context) < np.array([context, max(1, context // 2), 1])[:, None]
    source = np.where(real, source, PAD) if padded else source
    return Seq2SeqBatch(source, shift_tokens_right(targets, pad=PAD, start=START), targets, real if padded else None)


@pytest.fixture(params=[(s, bias, e) for s in SIZES for bias, e in [(False, 0.0), (True, 0.1), (True, 0.0)]])
def case(request):
    (encoder, decoder, heads, width, context), bias, smoothing = request.param
    config = TransformerConfig(
        VOCAB,
        context,
        encoder,
        decoder,
        heads,
        width,
        feed_forward=width + 3,
        attention_bias=bias,
        dropout=0.0,
        label_smoothing=smoothing,
    )
    model = Transformer(config)
    return model, random_parameters(model, seed=encoder), random_batch(context, padded=bias), smoothing


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_double_precision(case, implementation):
    model, params, batch, smoothing = case
    logits, loss, grads = our_results(model, params, batch, smoothing, implementation)
    torch_side = torch_model(model, params, torch.float64)
    torch_logits, torch_loss, torch_grads = torch_results(torch_side, batch, smoothing)
    assert grads.keys() == torch_grads.keys() or not model.config.attention_bias
    pairs = {"logits": (logits, torch_logits), "loss": (loss, torch_loss)}
    pairs |= {name: (grads[name], torch_grads[name]) for name in grads}
    for name, (a, b) in pairs.items():
        assert np.abs(a - b).max() <= 1e-9 * max(1.0, np.abs(b).max()), name


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_single_precision(case, implementation):
    """Our float32 results are at most three times as far from the float64 ones as torch's own."""
    model, params, batch, smoothing = case
    single = params.astype("float32")
    results = [
        our_results(model, single.astype("float64"), batch, smoothing),
        our_results(model, single, batch, smoothing, implementation),
        torch_results(torch_model(model, single, torch.float32), batch, smoothing),
    ]
    exact, ours, theirs = ({"logits": logits, "loss": loss, **grads} for logits, loss, grads in results)
    for name, value in exact.items():
        ours_off, theirs_off = np.abs(ours[name] - value).max(), np.abs(theirs[name] - value).max()
        assert ours_off <= 3 * theirs_off + 1e-6, name
