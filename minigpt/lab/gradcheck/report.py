"""What is checked under a name, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minigpt.core.errors import UserError, nearest
from minigpt.lab.gradcheck.cases import MODEL_CASES, operation_cases, operation_names
from minigpt.lab.testing import DIRECTION_BOUND, ELEMENT_BOUND, ELEMENTS, GradientCheck

Case = tuple[str, Callable[[], Iterator[GradientCheck]]]
Row = tuple[str, GradientCheck]


def cases(name: str, thorough: bool) -> list[Case]:
    """What is checked under a name.

    Raises:
        UserError: nothing is called so.
    """
    asked = name.strip().lower().replace("_", "-")
    operations = [
        case for case in operation_cases() if asked in ("all", "ops", case.operation, case.name.replace("_", "-"))
    ]
    models = MODEL_CASES if asked == "all" else {key: make for key, make in MODEL_CASES.items() if key == asked}
    if not operations and not models:
        known = ["all", "ops", *operation_names(), *MODEL_CASES]
        raise UserError(f"there is nothing called {name!r} to check: {nearest(asked, known)}")
    checks = [(case.name, case.checks) for case in operations]
    elements = None if thorough else ELEMENTS
    return checks + [(key, lambda make=make: make().checks(elements)) for key, make in models.items()]


def line(case: str, check: GradientCheck) -> str:
    errors = f"{check.error:9.1e} {check.directional:9.1e}"
    return f"{case:<34} {check.name:<28} {errors} {'ok' if check.passed else 'WRONG'}"


def values(rows: list[Row]) -> dict[str, Any]:
    return {
        "worst": max(check.error for _, check in rows),
        "worst_directional": max(check.directional for _, check in rows),
        "parameters": [{"model": m, "name": c.name, "error": c.error, "directional": c.directional} for m, c in rows],
    }


def text(rows: list[Row]) -> str:
    found, wrong = values(rows), sum(not check.passed for _, check in rows)
    return (
        f"\n{len(rows)} gradients, {wrong} wrong. "
        f"Worst: {found['worst']:.1e} by element (allowed {ELEMENT_BOUND:.0e}), "
        f"{found['worst_directional']:.1e} along a direction (allowed {DIRECTION_BOUND:.0e})."
    )
