"""Run a model forward and backward on one batch, and keep every array on the way with the line that made it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.params import Parameters
from minigpt.lab.explain.arrays import Limits, Snapshot, snapshot
from minigpt.lab.explain.tracing import Made, Tracer
from minigpt.lab.explain.watching import Called, Watching
from minigpt.ops import Mask


class Record(NamedTuple):
    """One call of an operation, done.

    Attributes:
        inputs: its arrays by the names of the operation's arguments.
        result: what it gave: y, dx, or dq, dk and dv.
        made: what each of its statements made.
        mask: attention's.
    """

    call: Called
    inputs: dict[str, Snapshot]
    result: tuple[Snapshot, ...]
    made: tuple[Made, ...]
    mask: Mask | None


class Recording(NamedTuple):
    """A forward and a backward pass.

    Attributes:
        forward, backward: the calls of the layers that are kept, in order.
        loss: in nats.
        grads: the gradient of every parameter.
        probabilities: of every attention of every layer (H, T, S), by its place.
    """

    forward: list[Record]
    backward: list[Record]
    loss: float
    grads: Parameters
    probabilities: dict[str, np.ndarray]


class Recorder(Watching):
    """A table of operations that keeps what goes through it.

    Args:
        layers: the stacks' layers of which everything is kept, by their beginnings ("blocks.0."); all other calls of
            layers leave attention's probabilities alone.
    """

    sites = True

    def __init__(self, params: Parameters, limits: Limits, layers: Collection[str]):
        super().__init__(params)
        self._limits, self._layers = limits, tuple(layers)
        self.records: tuple[list[Record], list[Record]] = ([], [])
        self.probabilities: dict[str, np.ndarray] = {}

    def told(self, call: Called, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Any) -> Any:
        if "blocks." in call.place and not call.place.startswith(self._layers):
            result = function(*arguments, **keywords)
        else:
            result = self._recorded(call, function, arguments, keywords)
        if call.name == "attention_forward":
            b, g, r, t, s = result[1].probabilities.shape
            self.probabilities[call.place] = result[1].probabilities.reshape(b * g * r, t, s)
        return result

    def _recorded(self, call: Called, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Any) -> Any:
        operation = call.name.removesuffix("_forward").removesuffix("_backward")
        output = call.place in ("output", "loss") or operation == "embedding" or "embedding" in call.place

        def note(name: str, x: np.ndarray) -> Snapshot:
            return snapshot(operation, name, x, self._limits, output=output)

        given = inspect.signature(function).bind(*arguments, **keywords).arguments
        inputs = {name: note(name, x) for name, x in given.items() if isinstance(x, np.ndarray) and name != "out"}
        result, made = Tracer(note).run(function, arguments, keywords)
        names: tuple[str, ...] = ("dq", "dk", "dv") if call.name == "attention_backward" else ("y",)
        values = result[0] if call.name.endswith("_forward") else result
        values = values if isinstance(values, tuple) else (values,)
        kept = tuple(note(name, np.asarray(x)) for name, x in zip(names, values, strict=True) if x is not None)
        mask = given.get("mask")
        record = Record(call, inputs, kept, tuple(made), mask if isinstance(mask, Mask) else None)
        self.records[self.backwards].append(record)
        return result


def record(model: Any, params: Parameters, batch: Any, limits: Limits, layers: Collection[str]) -> Recording:
    """Run both passes in evaluation, dropout off, with the plain operations."""
    recorder = Recorder(params, limits, layers)
    run = Run(ops=recorder)
    loss, cache = model.forward(params, batch, run)
    recorder.turn()
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)
    forward, backward = recorder.records
    return Recording(forward, backward, loss, grads, recorder.probabilities)
