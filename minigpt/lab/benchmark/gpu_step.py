"""Timing a training step on a GPU, with events: tokens per second, the fraction of the card's arithmetic that the model
uses, memory; and PyTorch's step on the same card in the same process.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigpt.blocks.dispatch import choose
from minigpt.blocks.mixed import DTYPES, low_dtype
from minigpt.core.backend import Backend
from minigpt.data.batch import Batch
from minigpt.lab.benchmark.attention import torch_events
from minigpt.lab.benchmark.events import Ceiling, Time, measure
from minigpt.lab.benchmark.shapes import GPU_SHAPES, Shape
from minigpt.lab.benchmark.torch_gpt import torch_model
from minigpt.models import GPT
from minigpt.train.fused_optimizer import FusedAdamW
from minigpt.train.optimizer import OptimizerConfig, clip_factor
from minigpt.train.passes import LossScale, Passes
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import Trained, Workers


def flops_per_token(shape: Shape, parameters: int) -> float:
    """Forward and backward: 6 for every parameter that multiplies (positions do not), and causal attention."""
    multiplying = parameters - shape.context * shape.width
    return 6 * multiplying + 6 * shape.layers * shape.context * shape.width


def training_step(shape: Shape, backend: Backend, dtype: str) -> tuple[Callable[[], object], str, int]:
    """One step on one fixed batch, by kernels: forward, backward, clipping and AdamW; the attention; the parameters."""
    model = GPT(shape.config)
    width = shape.width // shape.heads
    chosen = choose("kernels", backend, dtype=dtype, head_width=width)
    compute = dtype if dtype in DTYPES else None
    params = model.init(seed=0, backend=backend)
    copy = params.flat[: params.decayed].astype(low_dtype(dtype)) if compute else None
    optimizer = FusedAdamW(params, OptimizerConfig(), copy=copy)
    trained = Trained(model, params, optimizer, Passes(chosen.operations, compute, backend=backend))
    worker = Workers(trained, ThreadPool(1))
    scale = LossScale.of(dtype).value
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, (2, shape.batch, shape.context))
    batch, count = Batch(*ids), itertools.count()  # on the host, as training draws it

    def step() -> None:
        worker.loss_and_grads([batch], seed=0, step=next(count), scale=scale)
        norm = worker.norm() / scale
        if np.isfinite(norm):
            worker.update(1e-4, scale=clip_factor(norm, 1.0) / scale)

    return step, chosen.attention, model.parameter_count


def bench_gpu_step(
    name: str,
    backend: Backend,
    dtype: str,
    *,
    repeats: int,
    against: Sequence[str] = (),
    ceilings: dict[str, Ceiling],
) -> dict[str, Any]:
    """Time one shape of `GPU_SHAPES`.

    Returns:
        milliseconds, tokens per second, the model's FLOP/s as a fraction of each ceiling's, megabytes of the memory
        pool, the attention that was used, and for each opponent its milliseconds and our time over its.
    """
    shape = GPU_SHAPES[name]
    step, attention, parameters = training_step(shape, backend, dtype)
    time = measure([step], repeats, backend)
    rate = 1e3 * shape.tokens / time.median
    used = rate * flops_per_token(shape, parameters)
    result: dict[str, Any] = {
        **_milliseconds(time),
        "tokens_per_second": rate,
        "utilisation": {name: used / ceiling.flops for name, ceiling in ceilings.items()},
        "pool_mb": backend.xp.get_default_memory_pool().total_bytes() / 1e6,
        "attention": attention,
        "others_ms": {},
        "ratio": {},
    }
    for opponent in against:
        other = torch_step_time(shape, dtype, repeats, compiled=opponent == "torch-compile")
        result["others_ms"][opponent] = other.median
        result["ratio"][opponent] = time.median / other.median
    return result


def _milliseconds(time: Time) -> dict[str, float]:
    return {"ms": time.median, "ms_p10": time.low, "ms_p90": time.high, "host_ms": time.host}


def torch_step_time(shape: Shape, dtype: str, repeats: int, *, compiled: bool) -> Time:
    """PyTorch's step on the GPU: float32 weights, autocast to `dtype`, fused attention and AdamW."""
    import torch

    torch.manual_seed(0)
    torch.set_default_device("cuda")
    try:
        model = torch_model(shape)
        groups = [
            {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.99), fused=True)
        scaler = torch.amp.GradScaler("cuda", enabled=dtype == "float16")
        ids, targets = torch.randint(0, shape.vocab_size, (2, shape.batch, shape.context))
        forward = torch.compile(model) if compiled else model
        number = torch.float16 if dtype == "float16" else torch.bfloat16

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", number, enabled=dtype in DTYPES):
                loss = forward(ids, targets)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()

        return torch_events([step] * 5, repeats)
    finally:
        torch.set_default_device("cpu")
