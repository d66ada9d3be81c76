"""Timing attention, forward and backward: every rung of the ladder, the array operations and PyTorch, on one shape.

Nothing is timed that is wrong: each contestant first computes a small case, which is held to float64. On a CPU the
kernels run on the emulator, which says nothing of a GPU's speed, only what emulation costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from minigpt import fast, ops
from minigpt.blocks.mixed import DTYPES, Mixed, low_dtype
from minigpt.core.backend import Backend
from minigpt.core.errors import UserError
from minigpt.kernels.emulator import Emulation, compiler_problem
from minigpt.kernels.ladder import RUNGS
from minigpt.lab.benchmark.events import SPIN, Ceiling, Time, drawn, measure, sets_beyond_the_cache
from minigpt.lab.exact_attention import Attention, exact_attention, excess

EMULATED_TOKENS = 128  # longer texts would take minutes on the emulator
ABSOLUTE = 1e-5  # error of float32 at inputs of order one


class Shape(NamedTuple):
    """B rows of H heads, T tokens, D numbers."""

    rows: int
    heads: int
    tokens: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read 8x12x1024x64.

        Raises:
            ValueError: it is not four positive numbers.
        """
        shape = cls(*map(int, text.lower().split("x")))
        if min(shape) < 1:
            raise ValueError(text)
        return shape

    def __str__(self) -> str:
        return "x".join(map(str, self))

    def flops(self, *, causal: bool, backward: bool) -> float:
        """Of the two products of the forward pass, or the five of the backward pass; half of it if causal."""
        products = 5 if backward else 2
        return products * 2 * self.rows * self.heads * self.tokens**2 * self.width / (2 if causal else 1)

    def moved(self, itemsize: int, *, backward: bool) -> float:
        """The least that must be read and written: q, k, v, o; backward also dO, dQ, dK, dV; and the log-sum-exps."""
        numbers = self.rows * self.heads * self.tokens
        return numbers * ((8 if backward else 4) * self.width * itemsize + 4)


DEFAULT_SHAPES = {
    "numpy": [Shape(1, 2, 128, 64), Shape(2, 4, 512, 64)],
    "cupy": [Shape(8, 12, 1024, 64), Shape(4, 16, 4096, 128), Shape(2, 32, 16384, 128)],
}


class Contestant(NamedTuple):
    """One implementation: attention_forward and attention_backward as in `minigpt.ops`, and why it sits out, if so."""

    name: str
    implementation: Any
    problem: str | None = None


def contestants(backend: Backend, shape: Shape, dtype: str) -> Iterator[Contestant]:
    """Everything that can compute this shape here, and what cannot, with the reason."""
    plain = Mixed(ops) if dtype in DTYPES else ops
    scores = 4 * shape.rows * shape.heads * shape.tokens**2
    too_large = f"its T × T scores would take {scores / 1e9:.0f} GB" if scores > 8e9 else None
    yield Contestant("reference", plain, too_large)
    if backend.name == "numpy":
        yield Contestant("tiled", Mixed(fast) if dtype in DTYPES else fast)
    emulated = backend.name == "numpy"
    for name, rung in RUNGS.items():
        problem = rung.problem(dtype, shape.width)
        if problem is None and name in ("naive", "tiled"):
            problem = too_large
        if problem is None and emulated:
            problem = compiler_problem()
            if shape.tokens > EMULATED_TOKENS:
                problem = f"emulation is for texts of at most {EMULATED_TOKENS} tokens"
        suffix = " (emulated)" if emulated else ""
        yield Contestant(f"cuda:{name}{suffix}", rung(emulation=Emulation() if emulated else None), problem)


def bench_shape(
    contestant: Contestant,
    backend: Backend,
    shape: Shape,
    dtype: str,
    *,
    causal: bool,
    repeats: int,
    ceilings: dict[str, Ceiling],
) -> dict[str, Any]:
    """Check one contestant and time it.

    Returns:
        "error" (share of what float64 allows), and for "forward" and "backward" milliseconds, FLOP/s, bytes/s and the
        fraction of each ceiling's floor that it reaches.
    """
    if contestant.problem:
        return {"problem": contestant.problem}
    mask = ops.Mask(causal=causal)
    error = check(contestant.implementation, backend, shape, dtype, mask)
    if not error <= 1:
        raise UserError(f"{contestant.name} is wrong by {error:.1f} times what {dtype} allows; nothing was timed")
    passes = _passes(contestant.implementation, backend, shape, dtype, mask)
    size = np.dtype(low_dtype(dtype)).itemsize
    result: dict[str, Any] = {"error": error}
    for name, functions in zip(("forward", "backward"), passes, strict=True):
        backward = name == "backward"
        work = shape.flops(causal=causal, backward=backward), shape.moved(size, backward=backward)
        result[name] = rated(measure(functions, repeats, backend), work, ceilings)
    return result


def rated(taken: Time, work: tuple[float, float], ceilings: dict[str, Ceiling]) -> dict[str, Any]:
    """A time, and what it means for this much work (FLOPs, bytes)."""
    flops, moved = work
    return {
        "ms": taken.median,
        "ms_p10": taken.low,
        "ms_p90": taken.high,
        "host_ms": taken.host,
        "flops_per_second": 1e3 * flops / taken.median,
        "bytes_per_second": 1e3 * moved / taken.median,
        "of_floor": {name: ceiling.floor_ms(flops, moved) / taken.median for name, ceiling in ceilings.items()},
    }


def check(implementation: Any, backend: Backend, shape: Shape, dtype: str, mask: ops.Mask) -> float:
    """The error of a small case of this width, as a share of what is allowed: at most 1 is right."""
    b, h, t, d = 1, min(shape.heads, 2), min(shape.tokens, 128), shape.width
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((b, t, h, d)).astype(low_dtype(dtype)) for _ in range(4)]
    q, k, v, dy = map(backend.asarray, arrays)
    y, cache = implementation.attention_forward(q, k, v, mask=mask)
    gradients = implementation.attention_backward(dy, cache)
    result = Attention(*(np.asarray(backend.to_host(x), dtype=np.float64) for x in (y, *gradients)))
    if dtype in DTYPES or _rounds_to_tf32(implementation):
        return max(excess(result, *arrays, mask=mask).values())
    exact = exact_attention(*arrays, mask=mask)
    return max(
        float(np.abs(ours - right).max() / (ABSOLUTE * max(1.0, np.abs(right).max())))
        for ours, right in zip(result, exact, strict=True)
    )


def _rounds_to_tf32(implementation: Any) -> bool:
    return isinstance(implementation, RUNGS["mma"])


def _passes(implementation: Any, backend: Backend, shape: Shape, dtype: str, mask: ops.Mask) -> tuple[list, list]:
    """Forward and backward as functions, for as many sets of inputs as the cache cannot hold."""
    b, h, t, d = shape
    count = sets_beyond_the_cache(4 * b * h * t * d * np.dtype(low_dtype(dtype)).itemsize, backend)
    forwards: list[Callable[[], object]] = []
    backwards: list[Callable[[], object]] = []
    for _ in range(count):
        q, k, v, dy = (drawn((b, t, h, d), dtype, backend, seed) for seed in range(4))
        _, cache = implementation.attention_forward(q, k, v, mask=mask)
        forwards.append(lambda q=q, k=k, v=v: implementation.attention_forward(q, k, v, mask=mask))
        backwards.append(lambda dy=dy, cache=cache: implementation.attention_backward(dy, cache))
    return forwards, backwards


TORCH_BACKENDS = {"numpy": ("",), "cupy": ("FLASH_ATTENTION", "CUDNN_ATTENTION")}  # on Hopper cuDNN's is the faster one


def bench_torch(
    backend: Backend,
    shape: Shape,
    dtype: str,
    *,
    causal: bool,
    repeats: int,
    ceilings: dict[str, Ceiling],
    kernel: str = "",
) -> dict[str, Any]:
    """PyTorch's scaled_dot_product_attention on the same shape, in the same process, with its own events.

    Args:
        kernel: a member of torch's SDPBackend; "" leaves the choice to PyTorch.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if backend.name == "cupy" and not torch.cuda.is_available():
        return {"problem": "this PyTorch has no CUDA"}
    with sdpa_kernel(getattr(SDPBackend, kernel)) if kernel else nullcontext():
        try:
            return _bench_torch(backend, shape, dtype, causal, repeats, ceilings)
        except RuntimeError as error:  # this backend does not take the shape or the dtype
            return {"problem": str(error).strip().split("\n")[0]}


def _bench_torch(
    backend: Backend, shape: Shape, dtype: str, causal: bool, repeats: int, ceilings: dict[str, Ceiling]
) -> dict[str, Any]:
    import torch
    from torch.nn import functional as F

    cuda = backend.name == "cupy"
    b, h, t, d = shape
    number = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
    size = 2 if dtype in DTYPES else 4
    count = sets_beyond_the_cache(4 * b * h * t * d * size, backend)
    where = {"dtype": number, "device": "cuda" if cuda else "cpu"}
    forwards, backwards = [], []
    for _ in range(count):
        q, k, v = (torch.randn(b, h, t, d, **where, requires_grad=True) for _ in range(3))
        dy = torch.randn(b, h, t, d, **where)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        forwards.append(lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q, k, v, is_causal=causal))
        backwards.append(lambda y=y, i=(q, k, v), dy=dy: torch.autograd.grad(y, i, dy, retain_graph=True))
    result: dict[str, Any] = {}
    for name, functions in (("forward", forwards), ("backward", backwards)):
        backward = name == "backward"
        work = shape.flops(causal=causal, backward=backward), shape.moved(size, backward=backward)
        taken = torch_events(functions, repeats) if cuda else measure(functions, repeats, backend)
        result[name] = rated(taken, work, ceilings)
    return result


def torch_events(functions: list[Callable[[], object]], repeats: int) -> Time:
    import torch

    for function in functions:
        function()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for i in range(repeats):
        torch.cuda._sleep(SPIN)
        start.record()
        asked = time.perf_counter()
        functions[i % len(functions)]()
        host = 1e3 * (time.perf_counter() - asked)
        end.record()
        end.synchronize()
        times.append((start.elapsed_time(end), host))
    return Time.of(times)
