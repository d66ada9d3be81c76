"""Exercises of notebook 15, GPT-3."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value
from minigpt.lab.plan.flops import PF_DAY
from minigpt.lab.plan.workload import pairs
from minigpt.lab.scaling.laws import Points, fit_power
from minigpt.ops import Mask
from minigpt.tasks import TASKS, Classification
from minigpt.tasks import prompts as ask


def _pairs(tokens: int, window: int) -> int:
    return pairs(Mask(causal=True, window=window), tokens, tokens)


def _lengths(rng: np.random.Generator) -> Iterator[tuple]:
    yield 4, 2
    yield 7, 1
    yield 5, 5
    yield 6, 9
    yield 2048, 256


def _drawn_lengths(rng: np.random.Generator) -> Iterator[tuple]:
    yield from (tuple(sizes) for sizes in rng.integers(1, 300, (4, 2)).tolist())


def _reach(windows: list[int], position: int) -> int:
    """By multiplying masks: what each layer lets through, of what the layers below let through."""
    seen = np.eye(position + 1, dtype=bool)
    for window in windows:
        seen = Mask(causal=True, window=window).allowed(np, position + 1, position + 1) @ seen
    return int(seen[-1].sum())


def _stacks(rng: np.random.Generator) -> Iterator[tuple]:
    yield [3], 9
    yield [3, 3], 9
    yield [2, 4, 3], 20
    yield [5, 5, 5], 6
    yield [0], 7
    yield [4, 0], 12
    yield [], 5


def _drawn_stacks(rng: np.random.Generator) -> Iterator[tuple]:
    for layers in (1, 2, 3):
        yield rng.integers(1, 6, layers).tolist(), int(rng.integers(0, 30))


def _fit(x: np.ndarray, losses: np.ndarray, floor: float) -> tuple[float, float]:
    nothing = np.zeros_like(x)
    law = fit_power(Points(x, nothing, losses, nothing), "parameters", floor)
    return law.scale, law.exponent


def _laws(rng: np.random.Generator) -> Iterator[tuple]:
    for scale, exponent, floor in ((8.0, 0.5, 1.0), (3.0, 0.2, 0.5), (40.0, 0.35, 0.0)):
        x = np.geomspace(10.0, 1e5, 6)
        yield x, floor + (scale / x) ** exponent * np.exp(0.05 * rng.standard_normal(6)), floor


def _prompt(shots: list[tuple[str, str, bool]], premise: str, hypothesis: str) -> str:
    examples = [Classification(text, pair, 0 if follows else 1) for text, pair, follows in shots]
    asked, _ = ask.choices(TASKS["rte"], Classification(premise, hypothesis, None))[0]
    return ask.in_context([ask.demonstration(TASKS["rte"], e) for e in examples], asked)


def _questions(rng: np.random.Generator) -> Iterator[tuple]:
    yield [], "Mia has a kite.", "Mia has a toy."
    shots = [("Leo ran home.", "Leo was at home first.", False), ("Eva ate a plum.", "Eva ate.", True)]
    yield shots[:1], "Tom sleeps.", "Tom is awake."
    yield shots, "Tom sleeps.", "Tom is awake."


def _drawn_questions(rng: np.random.Generator) -> Iterator[tuple]:
    names = rng.permutation(["Ada", "Ben", "Cleo", "Dan", "Ida", "Max"]).tolist()
    shots = [(f"{a} met {b}.", f"{b} was met.", bool(rng.integers(0, 2))) for a, b in pairwise(names)]
    yield shots, f"{names[0]} sang.", f"{names[1]} sang."


EXERCISES = (
    Exercise(
        "query i = 1 … T sees min(i, w) keys: the first w queries make a triangle, the others w keys each.",
        Function(
            _pairs,
            _lengths,
            drawn=_drawn_lengths,
            mistakes=[
                Mistake(lambda t, w: t * w, "The first queries have fewer than w tokens behind them."),
                Mistake(lambda t, w: t * t, "Those are all pairs, as if there were no mask."),
                Mistake(lambda t, w: t * (t + 1) // 2, "That is the whole causal triangle; the band is missing."),
            ],
        ),
    ),
    Exercise(
        "a banded layer reaches w − 1 tokens further back than the layer below it, a dense one to the first token; no "
        "layer sees what lies before the text.",
        Function(
            _reach,
            _stacks,
            drawn=_drawn_stacks,
            mistakes=[
                Mistake(
                    lambda windows, position: min(position + 1, sum(windows)) if all(windows) else position + 1,
                    "Each layer's window has the token itself in it, which is no step back.",
                ),
                Mistake(
                    lambda windows, position: 1 + sum(w - 1 for w in windows),
                    "A window of 0 is no limit, and before the first token there is nothing to see.",
                ),
            ],
        ),
    ),
    Exercise(
        "C = 6 N D, and a PF-day is 10¹⁵ operations a second for 24 · 60 · 60 seconds.",
        Value(
            lambda: 100 * PF_DAY / (6 * 13e9),
            bound=1e-3,  # of D: any way of rounding it to a few digits
            mistakes=[
                Mistake(100 * PF_DAY / 13e9, "Each parameter takes six operations for each token."),
                Mistake(100 * PF_DAY / (2 * 13e9), "Training is forward and backward: 6, not 2."),
                Mistake(100 * 1e15 * 3600 / (6 * 13e9), "That is hours, not days."),
            ],
        ),
    ),
    Exercise(
        "log(L − E) = α log X_c − α log X: fit a straight line (np.polyfit(x, y, 1) gives slope and intercept); "
        "α = −slope and log X_c = intercept/α.",
        Function(
            _fit,
            _laws,
            bound=1e-6,
            mistakes=[
                Mistake(lambda x, losses, floor: _fit(x, losses, 0.0), "What falls as a power is L − E, not L."),
                Mistake(
                    lambda x, losses, floor: (_fit(x, losses, floor)[0], -_fit(x, losses, floor)[1]),
                    "The exponent is −slope: the loss falls.",
                ),
                Mistake(
                    lambda x, losses, floor: (
                        _fit(x, losses, floor)[0] ** _fit(x, losses, floor)[1],
                        _fit(x, losses, floor)[1],
                    ),
                    "The intercept is α log X_c, not log X_c.",
                ),
            ],
        ),
    ),
    Exercise(
        "every example is `{premise}⏎question: {hypothesis} True or False?⏎answer: True` (⏎ is a line break), then a "
        "blank line; what is asked ends with `answer:`, without a space.",
        Function(
            _prompt,
            _questions,
            drawn=_drawn_questions,
            mistakes=[
                Mistake(
                    lambda *a: _prompt(*a) + " ",
                    "A space at the end is half of the token ' True', and never stood there.",
                ),
                Mistake(
                    lambda *a: _prompt(*a).replace("\n\n", "\n"), "Between examples of several lines is a blank line."
                ),
                Mistake(lambda shots, *a: _prompt([], *a), "The examples are missing."),
            ],
        ),
    ),
)
