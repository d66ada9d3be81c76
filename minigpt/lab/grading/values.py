"""Arguments and results on their way to a student's process and back: JSON for what is small, arrays by name.

The student's process has a copy of this file, so it needs NumPy and the standard library alone.
"""

from collections import namedtuple

import numpy as np

PLAIN = (bool, int, float, str, type(None))
MANY = {"tuple": tuple, "list": list, "set": set, "frozenset": frozenset}


class Strange:
    """Stands for a result of a kind that no exercise asks for."""


def encode(value, arrays, budget=None):
    """A description of a value; arrays go into `arrays`, and what is of another kind leaves its kind's name alone.

    Args:
        budget: a list of the one number of bytes that all arrays may take together. It is asked before an array is
            copied, so that a large answer costs no time.
    Raises:
        MemoryError: the arrays are beyond the budget.
    """
    if type(value) in PLAIN:
        return {"plain": value}
    if value is ...:
        return {"dots": True}
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in "fiub":
            return {"strange": f"array of {value.dtype.name}"}
        array = np.array(value if budget is None else spent(value, budget, MemoryError))
        name = f"a{len(arrays)}"
        arrays[name] = array
        return {"array" if isinstance(value, np.ndarray) else "scalar": name}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"record": [encode(item, arrays, budget) for item in value], "fields": list(value._fields)}
    if isinstance(value, dict):
        return {"dict": [[encode(key, arrays, budget), encode(item, arrays, budget)] for key, item in value.items()]}
    for kind, of in MANY.items():
        if isinstance(value, of):
            return {kind: [encode(item, arrays, budget) for item in value]}
    return {"strange": type(value).__name__}


def decode(told, arrays, budget=None):
    """The value that `encode` has described.

    Args:
        budget: what comes from a process that is not trusted: a list of the one number of bytes that its arrays may
            take together. Arrays are not copied then, and records are plain tuples.
    Raises:
        ValueError, TypeError, KeyError, IndexError: it is no such description, or beyond the budget.
    """
    if not isinstance(told, dict) or not told:
        raise ValueError("no description of a value")
    kind = next(iter(told))
    what = told[kind]
    if kind == "plain":
        if type(what) not in PLAIN:
            raise ValueError("no plain value")
        return what
    if kind == "dots":
        return ...
    if kind == "scalar":
        return arrays[what][()]
    if kind == "array":
        return arrays[what].copy() if budget is None else spent(arrays[what], budget)
    if kind == "dict":
        return {decode(key, arrays, budget): decode(item, arrays, budget) for key, item in what}
    if kind == "strange":
        return type("".join(c for c in str(what)[:40] if c.isalnum() or c in " _") or "thing", (Strange,), {})()
    items = [decode(item, arrays, budget) for item in what]
    if kind == "record":
        return tuple(items) if budget is not None else namedtuple("Record", told["fields"])(*items)
    return MANY[kind](items)


def spent(array, budget, error=ValueError):
    """The array, and its bytes taken off the budget: one array may be named many times."""
    budget[0] -= array.nbytes
    if budget[0] < 0:
        raise error("the arrays of an answer are too large together")
    return array
