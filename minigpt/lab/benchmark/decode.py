"""Timing how one text is written with a KV cache, token by token, and how a prompt is read before that.

For one text there is nothing to amortise: every weight is read from memory for every token. So the limit is the time
of one matrix–vector product over as many bytes, measured in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from minigpt.blocks.dispatch import operations
from minigpt.blocks.run import Run
from minigpt.core.backend import get_backend
from minigpt.data.batch import Batch
from minigpt.fast.int8 import Int8Parameters
from minigpt.lab.benchmark.contest import Contestant, contest
from minigpt.lab.benchmark.shapes import LLAMAS, SHAPES, Shape
from minigpt.lab.benchmark.step import summary
from minigpt.lab.benchmark.torch_gpt import torch_decode, torch_reading
from minigpt.lab.benchmark.transformers_llama import transformers_reading
from minigpt.models import GPT, Llama

PROMPT, TOKENS = 32, 8  # tokens that the cache holds at first, and tokens that one repetition writes
LONG_PROMPT = 512


def decoding(shape: Shape, threads: int, int8: bool = False) -> Callable[[], object]:
    """Greedy decoding of TOKENS tokens after a prompt, with all BLAS threads, of float32 or 8-bit weights."""
    threadpool_limits(threads, user_api="blas")
    model = GPT(shape.config)
    params = Int8Parameters(model.init(seed=0)) if int8 else model.init(seed=0)
    run = Run(ops=operations("auto", get_backend("numpy")))
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, (1, PROMPT))
    _, start = model.step(params, ids, model.start(params, Batch(ids, ids), PROMPT + TOKENS, run))

    def decode() -> None:
        state, token = start, np.array([[1]])  # the state of the prompt stays as it is: what follows is overwritten
        for _ in range(TOKENS):
            scores, state = model.step(params, token, state)
            token = scores.argmax(axis=-1)[:, None]

    return decode


def reading(name: str, threads: int, int8: bool = False) -> Callable[[], object]:
    """A prompt of LONG_PROMPT tokens into a new cache, and the scores of what follows, with all BLAS threads."""
    threadpool_limits(threads, user_api="blas")
    model = Llama(LLAMAS[name]) if name in LLAMAS else GPT(SHAPES[name]._replace(context=1024).config)
    params = Int8Parameters(model.init(seed=0)) if int8 else model.init(seed=0)
    run = Run(ops=operations("auto", get_backend("numpy")))
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (1, LONG_PROMPT))
    return lambda: model.step(params, ids, model.start(params, Batch(ids, ids), LONG_PROMPT + 1, run))


def weight_bytes(shape: Shape) -> int:
    """The bytes of the float32 weights that every token needs: all but the learned positions."""
    return 4 * (GPT(shape.config).parameter_count - shape.context * shape.width)


def matrix_vector(numbers: int, threads: int) -> Callable[[], object]:
    """TOKENS matrix–vector products over so many float32 numbers, as a matrix of 4,096 columns."""
    threadpool_limits(threads, user_api="blas")
    matrix = np.ones((numbers // 4096, 4096), np.float32)
    x = np.ones(len(matrix), np.float32)

    def products() -> None:
        for _ in range(TOKENS):
            x @ matrix

    return products


def bench_decode(
    name: str,
    *,
    rounds: int,
    workers: int,
    against: Sequence[str] = (),
    clock: str = "wall",
    busy: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Time one shape (with a context of 1,024) beside so many busy processes.

    Returns:
        what `summary` does, of one token; `limit` is the product over the weights' bytes, at `gb_per_second`, and
        `of_limit` the limit's time over ours: 1 would be nothing but reading the weights.
    """
    shape = SHAPES[name]._replace(context=1024)
    contestants = {
        "minigpt": Contestant(decoding, (shape, workers)),
        "limit": Contestant(matrix_vector, (weight_bytes(shape) // 4, workers)),
    }
    if "torch" in against:
        contestants["torch"] = Contestant(torch_decode, (shape, workers, PROMPT, TOKENS))
    if "int8" in against:
        contestants["int8"] = Contestant(decoding, (shape, workers, True))
    result = summary(contest(contestants, rounds=rounds, clock=clock, busy=busy, progress=progress), TOKENS)
    for key in ("ms", "ms_interval", "others_ms"):
        result[key] = _per_token(result[key])
    low, high = result["ratio_interval"]["limit"]
    result["of_limit"] = 1.0 / result["ratio"]["limit"]
    result["of_limit_interval"] = [1.0 / high, 1.0 / low]
    result["gb_per_second"] = weight_bytes(shape) / 1e6 / result["others_ms"]["limit"]
    return result


def bench_reading(
    name: str,
    *,
    rounds: int,
    workers: int,
    against: Sequence[str] = (),
    clock: str = "wall",
    busy: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Time reading a prompt with one shape, or one Llama, beside so many busy processes: what `summary` does."""
    contestants = {"minigpt": Contestant(reading, (name, workers))}
    if "torch" in against and name in LLAMAS:
        contestants["torch"] = Contestant(transformers_reading, (LLAMAS[name], workers, LONG_PROMPT))
    elif "torch" in against:
        shape = SHAPES[name]._replace(context=1024)
        contestants["torch"] = Contestant(torch_reading, (shape, workers, LONG_PROMPT))
    if "int8" in against:
        contestants["int8"] = Contestant(reading, (name, workers, True))
    outcome = contest(contestants, rounds=rounds, clock=clock, busy=busy, progress=progress)
    return summary(outcome, LONG_PROMPT)


def _per_token(times: Any) -> Any:
    if isinstance(times, dict):
        return {key: value / TOKENS for key, value in times.items()}
    return [value / TOKENS for value in times] if isinstance(times, list) else times / TOKENS
