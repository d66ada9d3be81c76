"""Scaling laws: how a loss falls with parameters N, tokens D and compute C ≈ 6 N D, fitted to a family of runs.

What is fitted
--------------
One quantity at a time (Kaplan et al. 2020, "Scaling Laws for Neural Language Models"): with X one of N, D, C,

    L(X) = E + (X_c / X)^α                                                              a line in logs: see `fit_power`

and both together (Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models", their third approach),

    L(N, D) = E + A / N^α + B / D^β                                                     `fit_joint`

from which the best split of a budget C = 6 N D follows: minimising A N^−α + B D^−β with D = C/(6 N) gives

    N* = G (C/6)^(β/(α+β)),  D* = (C/6)^(α/(α+β)) / G,  G = (α A / β B)^(1/(α+β))       `Joint.optimum`

Why knowing the entropy helps
-----------------------------
E is the entropy of the text, the loss of a model that knows its distribution p. A model q has

    L = E_p[−log q] = E_p[−log p] + E_p[log p/q] = E + KL(p‖q),

so it is the excess L − E that shrinks to nothing and that a power law describes; log(L − E) = α log X_c − α log X is a
straight line, and least squares in logs is the whole fit. For English nobody knows E, and it has to be fitted along
with the exponent. The two can stand in for each other: over the decade or two of X that one can afford, a smaller E
with a smaller α fits about as well as a larger E with a larger α. To first order in a change δ of E, log(L − E) moves
by −δ/(L − E), which grows as X grows, just as log X does; the better the models, the more so. So the exponent inherits
an uncertainty of about δ/(L − E) over the logarithm of the range, however exact the losses are. In the story world E is
known and δ is 0. And there is less noise: the mean of −log q + log p over the same documents estimates KL(p‖q)
directly, while in −log q alone most of the spread from document to document is that of −log p.

How sure it is
--------------
Losses of one run at several D share its initial weights and its batches, and are not independent; and drawing points
with replacement would leave few different sizes. So `bootstrap` keeps every (N, D) and draws the errors: all residuals
of a run are multiplied with one standard normal number, added to what the fit says, and the law is fitted again (a wild
cluster bootstrap: Wu 1986; Cameron, Gelbach & Miller 2008). Percentiles of the refitted exponents are their interval. A
prediction's interval also has the new run's own deviation in it, drawn from the residuals. What no bootstrap covers is
that the law itself may not hold further on; a held-out model says something about that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError

HUBER = 0.03  # of log(L − E): deviations beyond 3% count linearly


class Points(NamedTuple):
    """Measured losses.

    Attributes:
        parameters, tokens, losses: N, D and L, each (n,). run: (n,) which run each point is of.
    """

    parameters: np.ndarray
    tokens: np.ndarray
    losses: np.ndarray
    run: np.ndarray

    @property
    def compute(self) -> np.ndarray:
        """C = 6 N D."""
        return 6.0 * self.parameters * self.tokens

    def where(self, which: np.ndarray) -> Points:
        return Points(*(x[which] for x in self))


class Power(NamedTuple):
    """L(X) = floor + (scale / X)^exponent, X being `of`: "parameters", "tokens" or "compute"."""

    of: str
    floor: float
    scale: float
    exponent: float

    def __call__(self, x: Any) -> Any:
        return self.floor + (self.scale / np.asarray(x, dtype=np.float64)) ** self.exponent

    def at(self, points: Points) -> np.ndarray:
        return self(getattr(points, self.of))


class Joint(NamedTuple):
    """L(N, D) = floor + a / N^alpha + b / D^beta."""

    floor: float
    a: float
    alpha: float
    b: float
    beta: float

    def __call__(self, parameters: Any, tokens: Any) -> Any:
        n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        return self.floor + self.a * n**-self.alpha + self.b * d**-self.beta

    def at(self, points: Points) -> np.ndarray:
        return self(points.parameters, points.tokens)

    def optimum(self, compute: float) -> tuple[float, float]:
        """N and D of the least loss with 6 N D = C.

        Along that curve dD/D = −dN/N, so at the minimum both terms' derivatives by log N cancel: α A N^−α = β B D^−β.
        """
        g = (self.alpha * self.a / (self.beta * self.b)) ** (1.0 / (self.alpha + self.beta))
        n = g * (compute / 6.0) ** (self.beta / (self.alpha + self.beta))
        return n, compute / (6.0 * n)


Law = Power | Joint


class Interval(NamedTuple):
    low: float
    high: float


def fit_power(points: Points, of: str, floor: float | None = None) -> Power:
    """Fit L(X) = E + (X_c/X)^α.

    With E known, log(L − E) = α log X_c − α log X is linear least squares: two numbers, one solution. Without, E is
    searched between 0 and the smallest loss for the one whose line fits best.

    Args:
        of: X: "parameters", "tokens" or "compute".
    Raises:
        UserError: there are too few points, or a loss is not above the floor.
    """
    x, losses = np.asarray(getattr(points, of), dtype=np.float64), np.asarray(points.losses, dtype=np.float64)
    _check(losses, floor, len(np.unique(x)), 2 if floor is not None else 3)
    if floor is None:
        lowest = float(losses.min())  # what is left above E is searched, by its logarithm: it may be small
        above = _golden(lambda log: _line(x, losses, lowest - math.exp(log))[2], *np.log([1e-6 * lowest, lowest]))
        floor = lowest - math.exp(above)
    log_scale, exponent, _ = _line(x, losses, floor)
    return Power(of, floor, math.exp(log_scale), exponent)


def _line(x: np.ndarray, losses: np.ndarray, floor: float) -> tuple[float, float, float]:
    """log X_c and α of the least-squares line of log(L − E) against log X, and what it leaves, Σ r²."""
    log_x, log_y = np.log(x), np.log(losses - floor)
    centred = log_x - log_x.mean()
    exponent = -float(centred @ (log_y - log_y.mean()) / (centred @ centred))
    left = log_y - log_y.mean() + exponent * centred
    exponent = exponent if abs(exponent) > 1e-3 else math.copysign(1e-3, exponent)  # flat: X_c is anywhere
    log_scale = log_x.mean() + log_y.mean() / exponent
    return min(max(float(log_scale), -700.0), 700.0), exponent, float(left @ left)


def _golden(f: Callable[[float], float], low: float, high: float, steps: int = 80) -> float:
    """The minimum of a function of one number, by a coarse grid and then golden sections around its best point."""
    grid = np.linspace(low, high, 65)
    best = int(np.argmin([f(float(e)) for e in grid]))
    a, b = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, 64)])
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(steps):
        c, d = b - ratio * (b - a), a + ratio * (b - a)
        a, b = (a, d) if f(c) <= f(d) else (c, b)
    return 0.5 * (a + b)


def fit_joint(points: Points, floor: float | None = None, start: Joint | None = None) -> Joint:
    """Fit L(N, D) = E + A/N^α + B/D^β.

    The parameters are log A, α, log B, β (and E, if it is not known), so that A and B stay positive, and what is
    minimised is Huber's loss of log(L − E), model against measurement, from several starting points (Hoffmann et al.
    2022, appendix D.3, do the same with log L).

    Args:
        start: a law to start from, in place of those.
    Raises:
        UserError: scipy is missing, there are too few points, or a loss is not above the floor.
    """
    least_squares = solver()
    n, d = np.log(points.parameters.astype(np.float64)), np.log(points.tokens.astype(np.float64))
    known = floor is not None
    _check(points.losses, floor, min(len(np.unique(n)), len(np.unique(d))), 2 if known else 3)
    if len(n) < (5 if known else 6):
        raise UserError(f"{len(n)} measured losses are too few for a law with N and D; train more sizes or longer")
    middle = n.mean(), d.mean()  # A and B are fitted at the middle of the data, where they do not depend on α and β
    lowest = float(points.losses.min())

    def entropy(t: np.ndarray) -> float:
        """E, kept between 0 and the smallest loss by a logistic function."""
        return floor if known else lowest * 0.5 * (1.0 + math.tanh(0.5 * t[4]))

    def residuals(t: np.ndarray) -> np.ndarray:
        """log(A/N^α + B/D^β) − log(L − E)."""
        law = np.logaddexp(t[0] - t[1] * (n - middle[0]), t[2] - t[3] * (d - middle[1]))
        return law - np.log(np.maximum(points.losses - entropy(t), 1e-12))

    starts = _starts(points, floor) if start is None else [_coordinates(start, middle, lowest)[: 4 if known else 5]]
    most = 500 if start is None else 100
    found = [least_squares(residuals, first, loss="huber", f_scale=HUBER, max_nfev=most) for first in starts]
    t = min(found, key=lambda result: result.cost).x
    a, b = t[0] + t[1] * middle[0], t[2] + t[3] * middle[1]
    return Joint(float(entropy(t)), math.exp(min(a, 700.0)), float(t[1]), math.exp(min(b, 700.0)), float(t[3]))


def _starts(points: Points, floor: float | None) -> list[list[float]]:
    """Both terms of equal size at the middle, with small and large exponents; E at 0.27 or 0.73 of the least loss."""
    half = math.log(0.5 * float(np.mean(points.losses - (0.5 * points.losses.min() if floor is None else floor))))
    entropies = ([],) if floor is not None else ([-1.0], [1.0])
    return [[half, alpha, half, beta, *e] for alpha in (0.2, 0.6) for beta in (0.3, 0.9) for e in entropies]


def _coordinates(law: Joint, middle: tuple[float, float], lowest: float) -> list[float]:
    """A law as the numbers that are fitted."""
    a, b = math.log(law.a) - law.alpha * middle[0], math.log(law.b) - law.beta * middle[1]
    share = min(max(law.floor / lowest, 1e-6), 1 - 1e-6)
    return [a, law.alpha, b, law.beta, math.log(share / (1 - share))]


def solver() -> Any:
    """SciPy's least squares; a UserError where it is not installed."""
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise UserError("fitting a law with N and D needs scipy: in the clone, pip install '.[tasks]'") from None
    return least_squares


def _check(losses: np.ndarray, floor: float | None, different: int, least: int) -> None:
    if different < least:
        raise UserError(f"a law needs at least {least} different sizes, and there {_are(different)}; train more")
    if floor is not None and not losses.min() > floor:
        raise UserError(
            f"a loss of {losses.min():.4f} is not above the floor of {floor:.4f}: no model can be better than the "
            "entropy of its text, so one of the two is measured on other text"
        )


def _are(count: int) -> str:
    return "is one" if count == 1 else f"are {count}"


def deviations(law: Law, points: Points) -> np.ndarray:
    """log(L − E) − log(law − E)."""
    return np.log(points.losses - law.floor) - np.log(law.at(points) - law.floor)


def bootstrap(points: Points, law: Law, fit: Callable[[Points], Law], *, draws: int = 200, seed: int = 0) -> list[Law]:
    """Laws fitted again to what the law says, with errors like those that were found (see the module).

    A fit goes nearer to its points than to the truth, most of all where a run alone decides (the smallest and the
    largest), so each run's residuals are divided by 1 − h, with h = 1/g + (x − x̄)²/Σ (x − x̄)² the leverage of run x =
    log N on a line through g runs (MacKinnon & White 1985). Two numbers are fitted to how the runs differ: each draw is
    divided by √(χ²/(g − 2)), which gives intervals as wide as Student's t has them.
    """
    rng, (runs, of) = np.random.default_rng(seed), np.unique(points.run, return_inverse=True)
    freedom, clean, errors = max(len(runs) - 2, 1), law.at(points) - law.floor, _inflated(law, points)
    found = []
    for _ in range(draws):
        factors = rng.standard_normal(len(runs))[of] / math.sqrt(rng.chisquare(freedom) / freedom)
        found.append(fit(points._replace(losses=law.floor + clean * np.exp(np.clip(factors * errors, -3.0, 3.0)))))
    return found


def _inflated(law: Law, points: Points) -> np.ndarray:
    """Deviations of the points from a law, over 1 − the leverage of their run."""
    runs, first, of = np.unique(points.run, return_index=True, return_inverse=True)
    x = np.log(points.parameters[first].astype(np.float64))
    x -= x.mean()
    leverage = 1.0 / len(runs) + x * x / max(float(x @ x), 1e-12)
    return deviations(law, points) / np.maximum(1.0 - leverage, 0.25)[of]


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The percentile interval of bootstrapped values."""
    low, high = np.percentile(np.asarray(values), [50 * (1 - level), 50 * (1 + level)])
    return Interval(float(low), float(high))


def prediction_interval(
    laws: Sequence[Law], law: Law, points: Points, new: Points, *, seed: int = 0, level: float = 0.95
) -> Interval:
    """Where the loss of a new run is expected: what the refitted laws say of it, and a deviation of its own.

    Args:
        law, points: the fit and what it was fitted to, for the size of deviations. new: one point.
    """
    rng, errors = np.random.default_rng(seed), _inflated(law, points)
    own = rng.choice(errors, len(laws)) * rng.standard_normal(len(laws))
    values = [
        one.floor + float(one.at(new)[0] - one.floor) * math.exp(error) for one, error in zip(laws, own, strict=True)
    ]
    return interval(values, level)


def frontier(compute: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Which points are on the compute-efficient frontier: no other has less loss with as much compute or less."""
    order = np.lexsort((losses, compute))
    best = np.minimum.accumulate(losses[order])
    first = np.concatenate([[True], best[1:] < best[:-1]])
    return np.sort(order[first])
