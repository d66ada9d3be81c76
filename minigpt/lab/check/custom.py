"""Operations that are not known here: what `CHECK = {…}` in the learner's file says of them, or a guess.

Nothing is compared with a reference then; gradients are held against finite differences of the learner's own forward
pass. Inputs: a shape is drawn at random; {"integers": 7, "shape": [2, 5]} are ids below 7, with repetitions;
{"mean": 1, "shape": [4]} are numbers around 1; anything else that is no list of sizes goes as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigpt.lab.check.binding import Binding, CannotBind, backward_plan
from minigpt.lab.check.finding import Pair
from minigpt.lab.check.known import Case, Operation

LESSON = "notebook 0, “Is it right?”, and notebook 4, “The gradient”, for how a gradient is derived"


class Custom(Operation):
    """An operation without a reference; the shape of y is what forward gives."""

    @property
    def y_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.__dict__.setdefault("_y_shapes", {})


def custom_operation(pair: Pair) -> Binding:
    """A pair with the inputs that CHECK gives it.

    Raises:
        CannotBind: what CHECK says makes no sense.
    """
    told = pair.described["inputs"]
    if not isinstance(told, dict) or not told:
        raise CannotBind(f'CHECK[{pair.name!r}]["inputs"] must be a dictionary of shapes and values')
    cases = []
    for seed in range(3):
        rng, inputs, fixed = np.random.default_rng(seed), {}, {}
        for name, value in told.items():
            array = _drawn(pair, str(name), value, rng)
            (inputs if isinstance(array, np.ndarray) and array.dtype == np.float64 else fixed)[str(name)] = array
        cases.append(Case(f"draw {seed + 1}", inputs, fixed))
    return _binding(pair, cases)


def _drawn(pair: Pair, name: str, value: Any, rng: np.random.Generator) -> Any:
    shape = value.get("shape", []) if isinstance(value, dict) else value
    if not isinstance(shape, (list, tuple)) or not all(isinstance(n, int) and 0 < n <= 64 for n in shape):
        if isinstance(value, (dict, list, tuple)):
            raise CannotBind(f"CHECK[{pair.name!r}]: {name!r} must be a shape of sizes up to 64, such as [2, 5, 3]")
        return value
    if isinstance(value, dict) and "integers" in value:
        if not isinstance(value["integers"], int) or value["integers"] < 1:
            raise CannotBind(f'CHECK[{pair.name!r}]: "integers" of {name!r} must be a number of ids, such as 7')
        ids = rng.integers(0, int(value["integers"]), shape)
        if ids.size > 1:
            ids.reshape(-1)[-1] = ids.reshape(-1)[0]
        return ids
    mean = float(value.get("mean", 0.0)) if isinstance(value, dict) else 0.0
    x = mean + 0.6 * rng.standard_normal(shape)
    return x + 0.02 * np.sign(x)


def guessed_operation(pair: Pair) -> Binding:
    """A function of one array is tried as one that works on any shape.

    Raises:
        CannotBind: it takes more.
    """
    needed = [p for p in pair.forward.parameters if not p.optional]
    made = [p for p in pair.constructor.parameters if not p.optional] if pair.constructor else []
    if len(needed) != 1 or made:
        raise CannotBind(f"{pair.name} is no operation that is known here")
    rng, cases = np.random.default_rng(0), []
    for shape in ((2, 3, 7), (3, 5), (1, 4, 6)):
        x = 1.2 * rng.standard_normal(shape)
        cases.append(Case(str(shape), {needed[0].name: x + 0.02 * np.sign(x)}))
    return _binding(pair, cases)


def _binding(pair: Pair, cases: list[Case]) -> Binding:
    names = {*cases[0].inputs, *cases[0].fixed}
    forward = {p.name: p.name for p in pair.forward.parameters if p.name in names}
    made = pair.constructor.parameters if pair.constructor is not None else ()
    constructor = {p.name: p.name for p in made if p.name in names}
    if pair.kind == "call":
        forward = {name: name for name in names}
    elif pair.kind != "class" and names - set(forward):
        raise CannotBind(
            f"{pair.forward.name} has no argument {sorted(names - set(forward))[0]!r}, which CHECK gives it"
        )
    roles = {name: (name.lower().replace("_", ""),) for name in cases[0].inputs}
    operation = Custom(
        pair.name,
        (),
        roles,
        {},
        lambda: cases,
        None,
        (),
        {},
        LESSON,  # type: ignore[arg-type]
    )
    return Binding(operation, pair, forward, constructor, backward_plan(pair, forward, operation))


def template(pair: Pair) -> str:
    """The lines that would make a pair checkable."""
    names = [p.name for p in pair.forward.parameters if not p.optional]
    inputs = ", ".join(f'"{name}": [2, 5, 3]' for name in names) or '"x": [2, 5, 3]'
    return f'say what its inputs are, in the file: CHECK = {{"{pair.name}": {{"inputs": {{{inputs}}}}}}}'
