"""What the checks of exercises are made of: a function against a reference on many inputs, or a value against another.

A check that finds an answer wrong says where: in the shape, in the first entry that differs, in an input that was
changed. Where the answer is that of a well-known mistake, it names the mistake.
"""

from __future__ import annotations

import copy
import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

_BOUNDS = {"float64": 1e-9, "float32": 1e-4}  # of |got − wanted| / max(1, max |wanted|)


def fold(text: str) -> str:
    """Break a text between words, in lines that fit a notebook."""
    return textwrap.fill(text, 96, break_long_words=False, break_on_hyphens=False)


class WrongAnswer(AssertionError):
    """An answer is wrong; the message says what is wrong about it.

    Attributes:
        mistakes: the sentences of the well-known mistakes that it is; they end the message.
    """

    def __init__(self, problem: str, mistakes: Sequence[str] = ()):
        super().__init__(" ".join([problem, *mistakes]))
        self.mistakes = tuple(mistakes)

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in a notebook, not the way into the check."""
        return [fold(f"WrongAnswer: {self}")]


class NotAnswered(Exception):
    """Nothing stands where the answer should."""


class Mistake(NamedTuple):
    """A well-known wrong answer (a function like the reference, or a value), and the sentence that it deserves."""

    answer: Any
    says: str


Inputs = Callable[[np.random.Generator], Iterable[tuple]]


class Function(NamedTuple):
    """A check of a function, which must do what `reference` does with each of its inputs.

    Its result is compared, and so are its arguments afterwards: what the reference leaves alone must stay as it is,
    and what the reference adds into must hold the same.

    Attributes:
        reference: a function of the library, or made of them; its arguments' names appear in messages.
        inputs: from a random generator to tuples of arguments, the smallest first: other shapes, other dtypes.
        mistakes: compared with a wrong result, on the same arguments.
        bound: how far a result may be off; by default what its dtype allows.
        drawn: more inputs for grading, where those of `inputs` are the same whatever the generator is.
        before: looks at the answer itself before it is called, and raises WrongAnswer.
    """

    reference: Callable
    inputs: Inputs
    mistakes: Sequence[Mistake] = ()
    bound: float | None = None
    drawn: Inputs | None = None
    before: Callable[[Any], None] | None = None

    def __call__(self, answer: Any) -> None:
        if not callable(answer):
            raise WrongAnswer(f"the answer must be a function, not {_kind(answer)}.")
        if self.before is not None:
            self.before(answer)
        for arguments in self.inputs(np.random.default_rng(2024)):
            self.judge(arguments, *_called(answer, arguments, note=True))

    def cases(self, seed: int) -> list[tuple]:
        """Inputs drawn with a seed, for grading."""
        rng = np.random.default_rng(seed)
        return [*self.inputs(rng), *(() if self.drawn is None else self.drawn(rng))]

    def judge(self, arguments: tuple, got: Any, changed: tuple) -> None:
        """Compare a result, and the arguments as the call left them.

        Raises:
            NotAnswered, WrongAnswer: see there.
        """
        wanted, after = _called(self.reference, arguments)
        if _is_nothing(got) and not _is_nothing(wanted):
            raise NotAnswered
        if _is_nothing(wanted) and _same(changed, arguments, self.bound):
            raise NotAnswered  # what it should add into, it left alone
        problem = None if _is_nothing(wanted) else difference(got, wanted, "the result", self.bound)
        if problem is None:
            problem = _changed_wrongly(changed, after, arguments, self.reference, self.bound)
        if problem is not None:
            said = [m.says for m in self.mistakes if _is_mistake(m, arguments, got, changed, wanted, self.bound)]
            raise WrongAnswer(f"with {_about(self.reference, arguments)}, {problem}.", said)


class Value(NamedTuple):
    """A check of a value: a number, an array, a text, or a tuple or list of them.

    Attributes:
        wanted: called for the right value, which messages do not give away.
        mistakes: well-known wrong values; a callable is called for its value.
        bound: see `Function`.
    """

    wanted: Callable[[], Any]
    mistakes: Sequence[Mistake] = ()
    bound: float | None = None

    def __call__(self, answer: Any) -> None:
        right = self.wanted()
        problem = difference(answer, right, "the answer", self.bound, tell=False)
        if problem is None:
            return
        wrong = [(m.answer() if callable(m.answer) else m.answer, m.says) for m in self.mistakes]
        said = [says for mistake, says in wrong if difference(answer, mistake, "", self.bound) is None]
        raise WrongAnswer(f"{problem}.", said)


class Exercise(NamedTuple):
    """A hint, and a check that raises WrongAnswer or NotAnswered, or returns if the answer is right.

    Attributes:
        calls: of a check that is neither a Function nor a Value, the arguments of the calls that it makes, in order.
            Without them, it cannot be graded by a machine that does not trust the answer.
    """

    hint: str
    check: Callable[[Any], None]
    calls: Sequence[tuple] = ()


def difference(got: Any, wanted: Any, what: str, bound: float | None = None, *, tell: bool = True) -> str | None:
    """Say in what `got` differs from `wanted`, or return None if it does not.

    Args:
        tell: whether to say what was wanted.
    """
    if isinstance(wanted, (tuple, list)):
        if not isinstance(got, (tuple, list)):
            return f"{what} is {_kind(got)}, but it must be {_kind(wanted)} of {len(wanted)}"
        if len(got) != len(wanted):
            return f"{what} has {len(got)} items, but " + (f"it must have {len(wanted)}" if tell else "not so many")
        pairs = enumerate(zip(got, wanted, strict=True), start=1)
        problems = (difference(a, b, f"item {i} of {what}", bound, tell=tell) for i, (a, b) in pairs)
        return next((problem for problem in problems if problem is not None), None)
    if isinstance(wanted, (str, bytes, bool, dict, set)):
        if type(got) is not type(wanted):
            return f"{what} is {_kind(got)}, but it must be {_kind(wanted)}"
        shown = f", but it must be {wanted!r}" if tell else ", which is not right"
        return None if got == wanted else f"{what} is {got!r}{shown}"
    return _array_difference(got, wanted, what, bound, tell)


def _array_difference(got: Any, wanted: Any, what: str, bound: float | None, tell: bool) -> str | None:
    try:
        a, b = np.asarray(got), np.asarray(wanted)
    except ValueError:  # rows of different lengths
        return f"{what} is no array of numbers"
    if a.dtype.kind not in "bifu":
        return f"{what} is {_kind(got)}, but it must be {'an array of numbers' if b.ndim else 'a number'}"
    if a.shape != b.shape:
        return f"{what} has shape {a.shape}, but it must have shape {b.shape}"
    if b.ndim and a.dtype.kind == "f" and b.dtype.kind == "f" and a.dtype != b.dtype:
        return f"{what} is {a.dtype}, but it must be {b.dtype}, as the input is"
    bound = _BOUNDS.get(b.dtype.name, 1e-9) if bound is None else bound
    limit = bound * max(1.0, float(np.abs(b).max(initial=0.0)) if np.isfinite(b).all() else 1.0)
    with np.errstate(invalid="ignore"):
        wrong = ~((a == b) | (np.abs(a.astype(float) - b.astype(float)) <= limit))
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    shown, right = (f"{x[index]:.6g}" for x in (a, b))
    entry = f"entry [{', '.join(map(str, index))}] of {what}" if index else what
    more = f" ({int(wrong.sum())} of {wrong.size} entries are wrong)" if wrong.size > 1 else ""
    if tell:
        return f"{entry} is {shown}, but it must be {right}{more}"
    how = "not a number" if np.isnan(a[index]) else "too large" if a[index] > b[index] else "too small"
    return f"{entry} is {shown}, which is {how}{more}"


def _called(call: Callable, arguments: tuple, *, note: bool = False) -> tuple[Any, tuple]:
    """The result of a call, and the arguments as it left them."""
    own = copy.deepcopy(arguments)
    try:
        return call(*own), own
    except NotImplementedError:
        raise NotAnswered from None
    except Exception as error:
        if note:
            error.add_note(f"Raised by your function, which was called with {_about(call, arguments)}.")
        raise


def _changed_wrongly(
    changed: tuple, after: tuple, before: tuple, reference: Callable, bound: float | None
) -> str | None:
    for name, got, wanted, was in zip(_names(reference, len(before)), changed, after, before, strict=True):
        problem = _unlike(got, wanted, f"{name} afterwards", bound)
        if problem is not None:
            left_alone = _unlike(wanted, was, "", bound) is None
            return f"{name} was changed, but inputs must stay as they are" if left_alone else problem
    return None


def _unlike(got: Any, wanted: Any, what: str, bound: float | None) -> str | None:
    """The difference between two arguments, of which only arrays and lists are looked at."""
    return difference(got, wanted, what, bound) if isinstance(wanted, (np.ndarray, list)) else None


def _same(got: tuple, wanted: tuple, bound: float | None) -> bool:
    return all(_unlike(a, b, "", bound) is None for a, b in zip(got, wanted, strict=True))


def _is_mistake(mistake: Mistake, arguments: tuple, got: Any, changed: tuple, wanted: Any, bound: float | None) -> bool:
    result, after = _called(mistake.answer, arguments)
    return (_is_nothing(wanted) or difference(got, result, "", bound) is None) and _same(changed, after, bound)


def _is_nothing(x: Any) -> bool:
    return x is None or x is ...


def _names(call: Callable, count: int) -> list[str]:
    try:
        names = list(inspect.signature(call).parameters)
    except (TypeError, ValueError):  # some built-in functions do not say
        names = []
    return [*names[:count], *(f"argument {i}" for i in range(len(names) + 1, count + 1))]


def _about(call: Callable, arguments: tuple) -> str:
    """The arguments in a few words: small ones as they are, arrays by shape and dtype."""
    words = []
    for name, x in zip(_names(call, len(arguments)), arguments, strict=True):
        if isinstance(x, np.ndarray):
            words.append(f"{name} of shape {x.shape} ({x.dtype})")
        else:
            text = " ".join(repr(x).split())
            words.append(f"{name} = {text}" if len(text) <= 60 else f"{name} = {text[:57]}…")
    return ", ".join(words)


def _kind(x: Any) -> str:
    if isinstance(x, np.ndarray):
        return f"an array of shape {x.shape}"
    name = type(x).__name__
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"
