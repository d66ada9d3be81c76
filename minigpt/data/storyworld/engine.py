"""Programs that make choices: one source for drawing texts, for parsing them, and for the entropy of their language.

A kind of document is a Python function that is handed a chooser and says what it has to say through it:

    c.emit(text)                        text that is certain here
    c.say(texts, weights)               one of several wordings; nothing that follows can depend on which
    c.any(options, show=…)              one of several exchangeable options: which one it is may change the words that
                                        follow, but neither how many choices there are nor their weights
    c.pick(options, weights, show=…)    one of several options on which anything may depend
    c.call(program, *arguments)         a part of the program; what follows may depend on what it returns alone
    c.mark(), c.note(fact)              a sentence ends here; a fact to be known outside, on which nothing here depends

`show(option)` is the text that the option puts on the page at once. The same function is run in four ways:

    draw(program, key)          at random, which gives a text and the logarithm of its probability
    parse(program, text)        along every choice whose words fit the text, to the end: all its derivations
    entropy(program)            along one option of each `say` and `any`, all of each `pick`: H in closed form
    outcomes(program)           along all of them: every text with its probability (for small programs)

The entropy of a derivation is the sum, over the choices on its way, of each choice's own entropy, averaged over all
derivations: H = E[Σ_choices H(weights)] (the chain rule). A wording counts with its own entropy and leads nowhere; one
exchangeable option stands for all; a part is summed over once for each set of arguments (memoisation), and ways on
which it returned the same are one way from there. If every text has one derivation, H is the entropy of the texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

Show = Callable[[Any], str]
Weights = Sequence[float] | None

_MASK, _STEP = (1 << 64) - 1, 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    """Scramble 64 bits: the output function of SplitMix64 (Steele, Lea & Flood 2014)."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


class Chooser:
    """What all ways of running a program share. A way says how `pick` chooses and what `emit` does."""

    def __init__(self) -> None:
        self.log_p = 0.0
        self.marks: list[int] = []
        self.notes: list[Any] = []

    def emit(self, text: str) -> None:
        raise NotImplementedError

    def pick(self, options: Sequence[Any], weights: Weights = None, *, show: Show | None = None) -> Any:
        raise NotImplementedError

    def any(self, options: Sequence[Any], *, show: Show | None = None) -> Any:
        return self.pick(options, show=show)

    def say(self, texts: Sequence[str], weights: Weights = None) -> None:
        self.pick(texts, weights, show=_itself)

    def maybe(self, text: str, p: float = 0.5) -> None:
        """Say it with probability p, or nothing."""
        self.say((text, ""), (p, 1.0 - p))

    def call(self, program: Callable[..., Any], *arguments: Any) -> Any:
        return program(self, *arguments)

    def mark(self) -> None:
        """Remember this place in the text, where a sentence ends and the next will begin."""

    def note(self, fact: Any) -> None:
        self.notes.append(fact)


def _itself(text: str) -> str:
    return text


def _shares(weights: Weights, count: int) -> list[float]:
    if weights is None:
        return [1.0 / count] * count
    total = math.fsum(weights)
    return [w / total for w in weights]


class Drawing(Chooser):
    """At random: draw n of a program with key k is SplitMix64's output at counter k + n · step."""

    def __init__(self, key: int):
        super().__init__()
        self.state, self.parts = key & _MASK, []

    def uniform(self) -> float:
        self.state = (self.state + _STEP) & _MASK
        return (mix(self.state) >> 11) * 2.0**-53

    def emit(self, text: str) -> None:
        self.parts.append(text)

    def mark(self) -> None:
        self.marks.append(sum(map(len, self.parts)))

    def pick(self, options: Sequence[Any], weights: Weights = None, *, show: Show | None = None) -> Any:
        if weights is None:
            option = options[int(self.uniform() * len(options))]
            self.log_p -= math.log(len(options))
        else:
            total = math.fsum(weights)
            left, last = self.uniform() * total, len(options) - 1
            for i, weight in enumerate(weights):
                left -= weight
                if left < 0 or i == last:
                    break
            option = options[i]
            self.log_p += math.log(weight / total)
        if show is not None:
            self.parts.append(show(option))
        return option


class Derivation(NamedTuple):
    """One way through a program: its text, what the program returned, log p in nats, and what it marked and noted."""

    text: str
    value: Any
    log_p: float
    sentences: tuple[str, ...]
    notes: tuple[Any, ...]


def draw(program: Callable[..., Any], key: int, *arguments: Any) -> Derivation:
    """Run the program at random; a pure function of its arguments."""
    c = Drawing(key)
    value = program(c, *arguments)
    text = "".join(c.parts)
    return Derivation(text, value, c.log_p, cut(text, c.marks), tuple(c.notes))


def cut(text: str, marks: Sequence[int]) -> tuple[str, ...]:
    """The pieces of text that end at the marks, without the white space around them."""
    return tuple(text[a:b].strip() for a, b in zip([0, *marks], marks, strict=False))


class _Refused(Exception):
    """The words of the text are not those of the program."""


class _Scripted(Chooser):
    """Follows the decisions of a script as far as it goes, then the first option; `open` are the ways not taken."""

    def __init__(self, script: tuple[int, ...]):
        super().__init__()
        self.script, self.taken, self.open = script, [], []

    def follow(self, fitting: Sequence[int]) -> int:
        """One of the numbered options, by the script or the first; the others are left for later."""
        if len(self.taken) < len(self.script):
            i = self.script[len(self.taken)]
        else:
            i = fitting[0]
            self.open += [(*self.taken, j) for j in fitting[1:]]
        self.taken.append(i)
        return i


def _all_ways(new: Callable[[tuple[int, ...]], _Scripted], run: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
    """Run a program along each of its ways; those on which its words do not fit are left out."""
    scripts: list[tuple[int, ...]] = [()]
    while scripts:
        c = new(scripts.pop())
        try:
            value = run(c)
        except _Refused:
            value = _Refused
        scripts += c.open
        if value is not _Refused:
            yield c, value


class _Parsing(_Scripted):
    def __init__(self, text: str, script: tuple[int, ...]):
        super().__init__(script)
        self.text, self.at = text, 0

    def emit(self, text: str) -> None:
        if not self.text.startswith(text, self.at):
            raise _Refused
        self.at += len(text)

    def mark(self) -> None:
        self.marks.append(self.at)

    def pick(self, options: Sequence[Any], weights: Weights = None, *, show: Show | None = None) -> Any:
        if len(self.taken) < len(self.script):
            i = self.follow(())
        else:
            text, at = self.text, self.at
            fits = [i for i, o in enumerate(options) if show is None or text.startswith(show(o), at)]
            if not fits:
                raise _Refused
            i = self.follow(fits)
        if show is not None:
            self.at += len(show(options[i]))
        self.log_p += math.log(1.0 / len(options) if weights is None else weights[i] / math.fsum(weights))
        return options[i]


def parse(program: Callable[..., Any], text: str, *arguments: Any) -> list[Derivation]:
    """All derivations of a text, in no particular order; none if the program cannot write it."""
    ways = _all_ways(lambda script: _Parsing(text, script), lambda c: program(c, *arguments))
    whole = [(c, value) for c, value in ways if c.at == len(text)]
    return [Derivation(text, value, c.log_p, cut(text, c.marks), tuple(c.notes)) for c, value in whole]


class _Listing(_Scripted):
    """Takes every option of every choice."""

    def __init__(self, script: tuple[int, ...]):
        super().__init__(script)
        self.parts: list[str] = []

    def emit(self, text: str) -> None:
        self.parts.append(text)

    def pick(self, options: Sequence[Any], weights: Weights = None, *, show: Show | None = None) -> Any:
        i = self.follow(range(len(options)))
        self.log_p += math.log(_shares(weights, len(options))[i])
        if show is not None:
            self.parts.append(show(options[i]))
        return options[i]


def outcomes(program: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, float, Any]]:
    """Every derivation of a (small) program: its text, its probability, and what the program returned."""
    for c, value in _all_ways(_Listing, lambda c: program(c, *arguments)):
        yield "".join(c.parts), math.exp(c.log_p), value


class _Summing(_Scripted):
    """Adds up the entropies of the choices on one way; `known` holds the parts that were summed over before."""

    def __init__(self, known: dict[Any, Any], script: tuple[int, ...]):
        super().__init__(script)
        self.known, self.nats, self.p = known, 0.0, 1.0

    def emit(self, text: str) -> None:
        pass

    def pick(self, options: Sequence[Any], weights: Weights = None, *, show: Show | None = None) -> Any:
        shares = _shares(weights, len(options))
        self.nats += choice_entropy(shares)
        i = self.follow([i for i, share in enumerate(shares) if share > 0])
        self.p *= shares[i]
        return options[i]

    def any(self, options: Sequence[Any], *, show: Show | None = None) -> Any:
        self.nats += math.log(len(options))
        return options[0]

    def say(self, texts: Sequence[str], weights: Weights = None) -> None:
        self.nats += choice_entropy(_shares(weights, len(texts)))

    def call(self, program: Callable[..., Any], *arguments: Any) -> Any:
        nats, returned = _summed(program, arguments, self.known)
        self.nats += nats
        values = list(returned)
        i = self.follow(range(len(values)))
        self.p *= returned[values[i]]
        return values[i]


def choice_entropy(shares: Sequence[float]) -> float:
    """−Σ p log p of one choice, in nats."""
    return -math.fsum(p * math.log(p) for p in shares if p > 0)


def _summed(program: Callable[..., Any], arguments: tuple[Any, ...], known: dict[Any, Any]) -> tuple[float, dict]:
    """The mean of the entropies on a program's ways, and how probable each value that it returns is."""
    key = (program, arguments)
    if key not in known:
        nats, returned = [], {}
        for c, value in _all_ways(lambda script: _Summing(known, script), lambda c: program(c, *arguments)):
            nats.append(c.p * c.nats)
            returned[value] = returned.get(value, 0.0) + c.p
        known[key] = math.fsum(nats), returned
    return known[key]


def entropy(program: Callable[..., Any], *arguments: Any) -> float:
    """The entropy of the program's derivations in nats, in closed form."""
    return _summed(program, arguments, {})[0]
