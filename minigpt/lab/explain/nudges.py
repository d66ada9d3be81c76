"""Is the gradient true? Move one number by ±h, run the whole model again, and see whether the loss moves as it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.params import Parameters
from minigpt.lab.explain.watching import Called, Watching

STEPS = (-2, -1, 1, 2)  # times h


class Nudge(NamedTuple):
    """One number that was moved.

    Attributes:
        place: a parameter's name, or where in the model the number was made.
        entry: which one of the array.
        value, gradient, h: the number, its gradient, and by how much it was moved.
        losses: for each of STEPS.
    """

    place: str
    entry: tuple[int, ...]
    value: float
    gradient: float
    h: float
    losses: tuple[float, ...]


class Nudger(Watching):
    """Adds to one number of what one call gave."""

    def __init__(self, params: Parameters, number: int, entry: tuple[int, ...], by: float):
        super().__init__(params)
        self._number, self._entry, self._by = number, entry, by

    def told(self, call: Called, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Any) -> Any:
        result = function(*arguments, **keywords)
        if call.number == self._number and not self.backwards:
            y = result[0] if isinstance(result, tuple) else result
            y[self._entry] += self._by
        return result


class Gradients(Watching):
    """Keeps, of every forward call, its result and the gradient that came back for it."""

    def __init__(self, params: Parameters):
        super().__init__(params)
        self.results: dict[int, tuple[str, np.ndarray]] = {}
        self.gradients: dict[int, np.ndarray] = {}

    def told(self, call: Called, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Any) -> Any:
        result = function(*arguments, **keywords)
        if self.backwards and call.partner is not None and isinstance(arguments[0], np.ndarray):
            self.gradients[call.partner] = arguments[0].copy()
        elif not self.backwards and isinstance(result, tuple) and isinstance(result[0], np.ndarray):
            self.results[call.number] = (call.place, result[0].copy())
        return result


def nudges(model: Any, params: Parameters, batch: Any, most: int = 60) -> tuple[float, list[Nudge]]:
    """The loss in float64, and nudges of the number with the largest gradient of each tensor and of each call.

    Args:
        most: how many; each takes four passes. Tensors and calls are then taken evenly.
    """
    params = params.astype("float64")
    table = Gradients(params)
    run = Run(ops=table)
    loss, cache = model.forward(params, batch, run)
    table.turn()
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)
    names = [s.name for s in params.specs if s.trained and np.any(grads[s.name])]
    found = [_parameter(model, params, grads, batch, name) for name in _evenly(names, most // 2)]
    numbers = [n for n in table.results if n in table.gradients and not table.results[n][0].endswith("rope")]
    found += [_activation(model, params, batch, table, n) for n in _evenly(numbers, most - len(found))]
    return loss, found


def _evenly(items: list[Any], most: int) -> list[Any]:
    if len(items) <= most:
        return items
    return [items[n * len(items) // most] for n in range(most)]


def _largest(x: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in np.unravel_index(np.abs(x).argmax(), x.shape))


def _parameter(model: Any, params: Parameters, grads: Parameters, batch: Any, name: str) -> Nudge:
    entry = _largest(grads[name])
    x, value = params[name], float(params[name][entry])
    h, losses = _size(x), []
    for step in STEPS:
        x[entry] = value + step * h
        losses.append(model.forward(params, batch)[0])
    x[entry] = value
    return Nudge(name, entry, value, float(grads[name][entry]), h, tuple(losses))


def _activation(model: Any, params: Parameters, batch: Any, table: Gradients, number: int) -> Nudge:
    place, y = table.results[number]
    gradient = table.gradients[number].reshape(y.shape)
    entry, h = _largest(gradient), _size(y)
    losses = [model.forward(params, batch, Run(ops=Nudger(params, number, entry, step * h)))[0] for step in STEPS]
    return Nudge(place, entry, float(y[entry]), float(gradient[entry]), h, tuple(losses))


def _size(x: np.ndarray) -> float:
    """A hundredth of the array's usual size: small, and yet the loss moves by more than its last digits."""
    return float(f"{0.01 * float(np.sqrt(np.mean(x * x))) + 1e-4:.1g}")
