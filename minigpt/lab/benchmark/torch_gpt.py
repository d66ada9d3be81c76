"""The opponent: GPT-2 in PyTorch as its users write it, with fused attention and a fused optimizer.

Only the benchmark knows this file; nothing of minigpt computes with PyTorch. Needs the `parity` extra.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minigpt.lab.benchmark.shapes import Shape


def torch_model(shape: Shape) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            c = shape.width
            self.norm1, self.norm2 = nn.LayerNorm(c), nn.LayerNorm(c)
            self.qkv, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c)
            self.up, self.down = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

        def heads(self, x: Any) -> tuple[Any, Any, Any]:
            b, t, c = x.shape
            qkv = self.qkv(self.norm1(x)).view(b, t, 3, shape.heads, c // shape.heads)
            return qkv.permute(2, 0, 3, 1, 4).unbind(0)

        def rest(self, x: Any, y: Any) -> Any:
            x = x + self.out(y.transpose(1, 2).reshape(x.shape))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

        def forward(self, x: Any) -> Any:
            return self.rest(x, F.scaled_dot_product_attention(*self.heads(x), is_causal=True))

        def step(self, x: Any, keys: Any, values: Any, at: int) -> Any:
            q, k, v = self.heads(x)
            keys[:, :, at : at + 1], values[:, :, at : at + 1] = k, v
            return self.rest(x, F.scaled_dot_product_attention(q, keys[:, :, : at + 1], values[:, :, : at + 1]))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(shape.vocab_size, shape.width)
            self.positions = nn.Embedding(shape.context, shape.width)
            self.blocks = nn.ModuleList(Block() for _ in range(shape.layers))
            self.norm = nn.LayerNorm(shape.width)
            _draw_weights(self, shape.layers)

        def states(self, ids: Any) -> Any:
            x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
            for block in self.blocks:
                x = block(x)
            return x

        def forward(self, ids: Any, targets: Any) -> Any:
            logits = F.linear(self.norm(self.states(ids)), self.tokens.weight)
            return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return Model()


def _draw_weights(model: Any, layers: int) -> None:
    """GPT-2's initial weights."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            scale = 1 / math.sqrt(2 * layers) if name.endswith(("out.weight", "down.weight")) else 1.0
            parameter.data.normal_(std=0.02 * scale)


def torch_step(shape: Shape, threads: int, compiled: bool) -> Callable[[], object]:
    """One step on one fixed batch: forward, backward, fused AdamW; eager or through torch.compile."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = torch_model(shape)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.99), fused=True)
    ids, targets = torch.randint(0, shape.vocab_size, (2, shape.batch, shape.context))
    forward = torch.compile(model) if compiled else model

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(ids, targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_reading(shape: Shape, threads: int, prompt: int) -> Callable[[], object]:
    """Scores of what follows a prompt; its keys and values are made, but kept nowhere."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = torch_model(shape)
    ids = torch.randint(0, shape.vocab_size, (1, prompt))

    @torch.inference_mode()
    def read() -> None:
        F.linear(model.norm(model.states(ids)[:, -1]), model.tokens.weight)

    return read


def torch_decode(shape: Shape, threads: int, prompt: int, tokens: int) -> Callable[[], object]:
    """Greedy decoding of `tokens` tokens after a cache of `prompt` positions, preallocated as a good program has it."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = torch_model(shape)
    size = (shape.layers, 2, 1, shape.heads, shape.context, shape.width // shape.heads)
    cache = torch.randn(size) * 0.1

    @torch.inference_mode()
    def decode() -> None:
        token = torch.tensor([[1]])
        for at in range(prompt, prompt + tokens):
            x = model.tokens(token) + model.positions.weight[at]
            for block, (keys, values) in zip(model.blocks, cache, strict=True):
                x = block.step(x, keys, values, at)
            token = F.linear(model.norm(x), model.tokens.weight).argmax(-1)

    return decode
