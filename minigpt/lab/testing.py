"""Gradient checks, for tests, notebooks and the command line: is the derivative that was written down the true one?

A gradient is compared with fourth-order central differences in float64, twice: element by element (of a whole model's
parameters at the elements that can tell), and along one random direction, in which every element has a share. The
error is relative to the size of the whole gradient, with a floor: a plain relative error means nothing where the true
gradient is zero (that of a key bias, for one: softmax does not see a shift).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.params import Parameters
from minigpt.lab.exercises import check_exercise, hint

__all__ = [
    "DIRECTION_BOUND",
    "ELEMENTS",
    "ELEMENT_BOUND",
    "GradientCheck",
    "ModelCase",
    "central_difference",
    "check_exercise",
    "check_gradient",
    "check_gradients",
    "hint",
    "numeric_directional",
    "numeric_gradient",
    "random_direction",
    "random_parameters",
    "telling_places",
]

ELEMENT_BOUND = 1e-7
DIRECTION_BOUND = 1e-6
_STEP = 1e-4
_FLOOR = 1e-3
ELEMENTS = 6  # of each of a model's parameters, where not all are asked for


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


def numeric_gradient(
    f: Callable[[], float], x: np.ndarray, h: float = _STEP, *, places: Iterable[tuple[int, ...]] | None = None
) -> np.ndarray:
    """Differentiate f, a function that reads `x`, with respect to the elements of x (which is put back).

    Args:
        places: the indices of the elements that are asked for; the others come out as NaN. None asks for all.
    """
    gradient = np.full(x.shape, np.nan)
    for index in np.ndindex(x.shape) if places is None else places:
        value = x[index]

        def moved(by: float, index: tuple = index, value: float = value) -> float:
            x[index] = value + by
            return f()

        gradient[index] = central_difference(moved, h)
        x[index] = value
    return gradient


def telling_places(gradient: np.ndarray, count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """The indices of `count` elements: half of them where the gradient is largest, the others drawn.

    A large element shows a small relative mistake; a drawn one may be zero where it should not be.
    """
    flat = np.abs(gradient).reshape(-1)
    drawn = np.random.default_rng([seed, 1]).permutation(flat.size)
    largest = np.argsort(flat, kind="stable")[::-1][: (count + 1) // 2]
    chosen = list(dict.fromkeys([*largest.tolist(), *drawn.tolist()]))[:count]
    return [tuple(int(i) for i in np.unravel_index(place, gradient.shape)) for place in chosen]


def numeric_directional(f: Callable[[], float], x: np.ndarray, u: np.ndarray, h: float = _STEP) -> float:
    """Differentiate f along the direction u in the space of x."""
    value = x.copy()

    def moved(by: float) -> float:
        x[...] = value + by * u
        return f()

    slope = central_difference(moved, h)
    x[...] = value
    return slope


def random_direction(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A random unit vector without small components: a mistake in one element alone shows, wherever it is."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    return u / max(float(np.linalg.norm(u)), 1e-300)


def check_gradient(
    f: Callable[[], float],
    x: np.ndarray,
    gradient: np.ndarray,
    *,
    name: str = "x",
    seed: int = 0,
    elements: int | None = None,
) -> GradientCheck:
    """Compare `gradient` with the numeric gradient of f at x (float64; x is changed and put back).

    Args:
        elements: at how many elements, which may be 0; None compares all. The random direction always has a share of
            every one, so a mistake anywhere shows there: `elements` of them say how large it is.
    """
    if x.dtype != np.float64:
        raise TypeError(f"a gradient check needs float64, not {x.dtype}")
    places = None if elements is None or elements >= x.size else telling_places(gradient, elements, seed)
    numeric = numeric_gradient(f, x, places=places)
    compared = ... if places is None else tuple(np.array(places, dtype=int).reshape(-1, x.ndim).T)
    largest = np.abs(numeric[compared]).max(initial=0.0)
    error = np.abs(gradient - numeric)[compared].max(initial=0.0) / max(largest, _FLOOR)
    u = random_direction(x.shape, seed)
    slope = numeric_directional(f, x, u)
    size = float(np.linalg.norm(numeric if places is None else gradient))
    directional = abs(float((gradient * u).sum()) - slope) / max(size, _FLOOR)
    return GradientCheck(name, float(error), float(directional))


def check_gradients(
    f: Callable[[], float],
    arrays: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
    *,
    elements: int | None = None,
) -> Iterator[GradientCheck]:
    """Check every named array in turn; `elements` as for `check_gradient`."""
    for name in arrays:
        yield check_gradient(f, arrays[name], gradients[name], name=name, elements=elements)


@dataclass(frozen=True)
class ModelCase:
    """One model with random parameters on one batch."""

    name: str
    model: Any
    params: Parameters
    batch: Any
    run: Run

    def checks(self, elements: int | None = ELEMENTS) -> Iterator[GradientCheck]:
        """Check every parameter at a few telling elements, or at all (None), and along a direction."""
        _, cache = self.model.forward(self.params, self.batch, self.run)
        grads = self.params.zeros_like()
        self.model.backward(self.params, grads, cache, self.run)
        trained = {spec.name: self.params[spec.name] for spec in self.params.specs if spec.trained}
        return check_gradients(
            lambda: self.model.forward(self.params, self.batch, self.run)[0], trained, grads, elements=elements
        )


def random_parameters(model: Any, seed: int = 0, std: float = 0.3) -> Parameters:
    """Draw float64 parameters of order one: weights and biases N(0, std²), gains 1 + N(0, std²)."""
    params = model.init(seed=seed, dtype="float64")
    rng = np.random.default_rng(seed)
    for spec in params.specs:
        params[spec.name][...] = spec.mean + std * rng.standard_normal(spec.shape)
    return params
