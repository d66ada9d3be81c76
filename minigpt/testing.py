"""Gradient checks, for tests, notebooks and the command line: is the derivative that was written down the true one?

A gradient is compared with fourth-order central differences in float64, twice: element by element, and along one
random direction. The error is relative to the size of the whole gradient, with a floor: a plain relative error means
nothing where the true gradient is zero (that of a key bias, for one: softmax does not see a shift).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigpt.exercises import check_exercise
from minigpt.params import Parameters
from minigpt.run import Run

__all__ = [
    "DIRECTION_BOUND",
    "ELEMENT_BOUND",
    "GradientCheck",
    "ModelCase",
    "central_difference",
    "check_exercise",
    "check_gradient",
    "check_gradients",
    "numeric_directional",
    "numeric_gradient",
    "random_parameters",
]

ELEMENT_BOUND = 1e-7
DIRECTION_BOUND = 1e-6
_STEP = 1e-4
_FLOOR = 1e-3


class GradientCheck(NamedTuple):
    """How far one array's analytic gradient is from the numeric one."""

    name: str
    error: float  # max over elements of |a − n| / max(max|g|, 1e-3)
    directional: float  # |⟨g, u⟩ − n| / max(‖g‖, 1e-3) along a random unit direction u

    @property
    def passed(self) -> bool:
        return self.error <= ELEMENT_BOUND and self.directional <= DIRECTION_BOUND


def central_difference(f: Callable[[float], float], h: float = _STEP) -> float:
    """f′(0) to fourth order: (f(−2h) − 8 f(−h) + 8 f(h) − f(2h)) / 12h; its error is h⁴ f⁗′/30."""
    return (f(-2 * h) - 8 * f(-h) + 8 * f(h) - f(2 * h)) / (12 * h)


def numeric_gradient(f: Callable[[], float], x: np.ndarray, h: float = _STEP) -> np.ndarray:
    """Differentiate f, a function that reads `x`, with respect to every element of x (which is put back)."""
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        value = x[index]

        def moved(by: float, index: tuple = index, value: float = value) -> float:
            x[index] = value + by
            return f()

        gradient[index] = central_difference(moved, h)
        x[index] = value
    return gradient


def numeric_directional(f: Callable[[], float], x: np.ndarray, u: np.ndarray, h: float = _STEP) -> float:
    """Differentiate f along the direction u in the space of x."""
    value = x.copy()

    def moved(by: float) -> float:
        x[...] = value + by * u
        return f()

    slope = central_difference(moved, h)
    x[...] = value
    return slope


def check_gradient(
    f: Callable[[], float], x: np.ndarray, gradient: np.ndarray, *, name: str = "x", seed: int = 0
) -> GradientCheck:
    """Compare `gradient` with the numeric gradient of f at x (float64; x is changed and put back)."""
    if x.dtype != np.float64:
        raise TypeError(f"a gradient check needs float64, not {x.dtype}")
    numeric = numeric_gradient(f, x)
    error = np.abs(gradient - numeric).max(initial=0.0) / max(np.abs(numeric).max(initial=0.0), _FLOOR)
    u = np.random.default_rng(seed).standard_normal(x.shape)
    u /= max(float(np.linalg.norm(u)), 1e-300)
    slope = numeric_directional(f, x, u)
    directional = abs(float((gradient * u).sum()) - slope) / max(float(np.linalg.norm(numeric)), _FLOOR)
    return GradientCheck(name, float(error), float(directional))


def check_gradients(
    f: Callable[[], float], arrays: Mapping[str, np.ndarray], gradients: Mapping[str, np.ndarray]
) -> Iterator[GradientCheck]:
    """Check every named array in turn."""
    for name in arrays:
        yield check_gradient(f, arrays[name], gradients[name], name=name)


@dataclass(frozen=True)
class ModelCase:
    """One model with random parameters on one batch."""

    name: str
    model: Any
    params: Parameters
    batch: Any
    run: Run

    def checks(self) -> Iterator[GradientCheck]:
        _, cache = self.model.forward(self.params, self.batch, self.run)
        grads = self.params.zeros_like()
        self.model.backward(self.params, grads, cache, self.run)
        trained = {spec.name: self.params[spec.name] for spec in self.params.specs if spec.trained}
        return check_gradients(lambda: self.model.forward(self.params, self.batch, self.run)[0], trained, grads)


def random_parameters(model: Any, seed: int = 0, std: float = 0.3) -> Parameters:
    """Draw float64 parameters of order one: weights and biases N(0, std²), gains 1 + N(0, std²)."""
    params = model.init(seed=seed, dtype="float64")
    rng = np.random.default_rng(seed)
    for spec in params.specs:
        params[spec.name][...] = spec.mean + std * rng.standard_normal(spec.shape)
    return params
