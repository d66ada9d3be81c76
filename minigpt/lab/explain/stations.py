"""From a recording to the steps of the page: what is shown at each, and which lines of code belong to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from minigpt import ops
from minigpt.lab.explain.arrays import Store
from minigpt.lab.explain.recording import Record, Recording
from minigpt.lab.explain.source import operation_sources
from minigpt.lab.explain.tracing import Made
from minigpt.lab.explain.words import GROUPED, words

Show = tuple[str, str]  # a name, and the sign that stands before it in the picture

# What is drawn large, by operation and part: names of inputs, of what statements made, or of the result.
_FORWARD: dict[tuple[str, str], Sequence[Show]] = {
    ("embedding", ""): [("y", "")],
    ("position", ""): [("x", ""), ("y", "→")],
    ("norm", ""): [("x", ""), ("normalized", "→"), ("y", "→")],
    ("linear", ""): [("x", ""), ("weight", "·"), ("y", "→")],
    ("rope", ""): [("x", ""), ("y", "→")],
    ("attention", "scores"): [("q_heads", ""), ("k_heads", "·"), ("scores", "→")],
    ("attention", "mask"): [("allowed", ""), ("scores", "→")],
    ("attention", "softmax"): [("scores", ""), ("probabilities", "→")],
    ("attention", "mixture"): [("probabilities", ""), ("v_heads", "·"), ("y", "→")],
    ("activation", ""): [("x", ""), ("y", "→")],
    ("add", "sum"): [("x", ""), ("y", "+"), ("result", "→")],
    ("cross_entropy", ""): [("logits", ""), ("exponentials", "→"), ("cost", "→")],
}
_BACKWARD: dict[tuple[str, str], Sequence[Show]] = {
    ("embedding", ""): [("dy", ""), ("dtable", "→")],
    ("position", ""): [("dy", ""), ("result", "→"), ("dtable", "and")],
    ("norm", ""): [("dy", ""), ("result", "→"), ("dgain", "and")],
    ("linear", ""): [("dy", ""), ("result", "→"), ("dweight", "and")],
    ("rope", ""): [("dy", ""), ("result", "→")],
    ("attention", "dv"): [("weights", ""), ("dy_heads", "·"), ("dv", "→")],
    ("attention", "dprobabilities"): [("dy_heads", ""), ("v_heads", "·"), ("dprobabilities", "→")],
    ("attention", "dscores"): [("probabilities", ""), ("dprobabilities", "·"), ("dscores", "→")],
    ("attention", "dq"): [("dscores", ""), ("k_heads", "·"), ("dq", "→")],
    ("attention", "dk"): [("dscores", ""), ("q_heads", "·"), ("dk", "→")],
    ("activation", ""): [("dy", ""), ("result", "→")],
    ("add", "join"): [("x", ""), ("y", "+"), ("result", "→")],
    ("cross_entropy", ""): [("probabilities", ""), ("result", "→")],
}
_WRITTEN = ("dweight", "dgain", "dtable")  # given to be added to: shown as they are afterwards
_GIVEN = ("dq", "dk", "dv")  # shown as attention gives them: of a shared key-value head the sum over its query heads
_FIRST = ("exponentials",)  # which is overwritten by what is made of it
_PARTS = {
    "attention_forward": ("scores", "mask", "softmax", "mixture"),
    "attention_backward": ("dv", "dprobabilities", "dscores", "dq", "dk"),
}


def _grouped(record: Record) -> bool:
    """Whether keys and values have fewer heads than queries: of the results dq, dk and dv."""
    dq, dk = record.result[:2]
    return dk.shape[0] < dq.shape[0]


def part_of(made: Made, text: str) -> str:
    """Which part of attention a statement belongs to, by what it makes."""
    if made.function.startswith("softmax"):
        return "softmax" if made.function.endswith("forward") else "dscores"
    if made.function == "attention_forward":
        if made.name in ("scale", "q_heads", "k_heads", "v_heads") or (made.name == "scores" and "where" not in text):
            return "scores"
        return {"allowed": "mask", "scores": "mask", "probabilities": "softmax"}.get(made.name, "mixture")
    if made.name == "dscores":
        return "dscores" if "softmax" in text else "dq"
    parts = {"dprobabilities": "dprobabilities", "dq": "dq", "dk": "dk"}
    if made.name == "dv" and "matmul" not in text:
        return "dk"  # the sum over the query heads, and what is returned
    return "dk" if text.lstrip().startswith("return") else parts.get(made.name, "dv")


def family_of(name: str) -> str:
    """ "linear_forward" to "linear", both norms to "norm", every activation to "activation"."""
    operation = name.removesuffix("_forward").removesuffix("_backward")
    if operation in ops.ACTIVATIONS:
        return "activation"
    return "norm" if operation in ("layernorm", "rmsnorm") else operation


def _shown(family: str, part: str, *, backward: bool) -> Sequence[Show]:
    table = _BACKWARD if backward else _FORWARD
    return table.get((family, part)) or table[family, ""]


def _code(line: str) -> str:
    """A line without its indentation and its comment."""
    return line.strip().partition("  # ")[0]


class Stations:
    """Builds the page's calls and steps.

    Args:
        store: where arrays go.
        rows: which list of tokens the rows of a place count, and its keys.
    """

    def __init__(self, recording: Recording, store: Store, rows: Any):
        self._recording, self._store, self._rows = recording, store, rows
        self._sources = {s.name: s for s in operation_sources().values()}
        self._text = {name: dict(s.lines) for name, s in self._sources.items()}
        self._undone = {r.call.partner: r for r in recording.backward if r.call.partner is not None}
        self.calls: list[dict[str, Any]] = []
        self._numbers: dict[tuple[bool, int], int] = {}
        for backward, records in enumerate((recording.forward, recording.backward)):
            for record in records:
                self._numbers[bool(backward), record.call.number] = len(self.calls)
                self.calls.append(self._call(record))

    def steps(self) -> list[dict[str, Any]]:
        """All steps, forward and then backward."""
        forward = [step for record in self._recording.forward for step in self._parts(record, backward=False)]
        backward = []
        sums = {r.call.number: r for r in self._recording.forward if r.call.name == "add"}
        for record in self._recording.backward:
            partner = record.call.partner
            if partner is not None and partner + 1 in sums:
                backward.append(self._split(sums[partner + 1], record))
            backward += self._parts(record, backward=True)
        return forward + backward

    def _call(self, record: Record) -> dict[str, Any]:
        call = record.call
        rows, keys = self._rows(call.place)
        made = [(m.line, m.name, self._store.add(m.kept), m.function) for m in record.made]
        kept = [m for n, m in enumerate(made) if n == 0 or m[1:3] != made[n - 1][1:3]]  # a return adds nothing new
        return {
            "name": call.name,
            "place": call.place,
            "site": call.site._asdict() if call.site else None,
            "inputs": {name: self._store.add(x) for name, x in record.inputs.items()},
            "made": kept,
            "rows": rows,
            "keys": keys,
        }

    def _parts(self, record: Record, *, backward: bool) -> Iterator[dict[str, Any]]:
        name = record.call.name
        if name not in _PARTS:
            lines = {(m.function, m.line) for m in record.made}
            yield self._step(record, record.call.place.rpartition(".")[2], lines, backward=backward)
            return
        by_part: dict[str, set[tuple[str, int]]] = {part: set() for part in _PARTS[name]}
        for m in record.made:
            by_part[part_of(m, self._text[m.function][m.line])].add((m.function, m.line))
        for part, lines in by_part.items():
            if lines:
                yield self._step(record, part, lines, backward=backward)

    def _step(self, record: Record, part: str, lines: Collection[tuple[str, int]], *, backward: bool) -> dict[str, Any]:
        call, family = record.call, family_of(record.call.name)
        said = words(family, part, backward=backward)
        say = f"{said.say} {GROUPED}" if part in ("dk", "dv") and _grouped(record) else said.say
        number = self._numbers[backward, call.number]
        undone = self._undone.get(call.number) if not backward else None
        partner = self._numbers.get((False, call.partner)) if call.partner is not None else None
        if undone is not None:
            partner = self._numbers[True, undone.call.number]
        return {
            "phase": "backward" if backward else "forward",
            "place": call.place,
            "part": part if family == "attention" else "",
            "family": family,
            "title": said.title,
            "say": say,
            "call": number,
            "partner": partner,
            "lines": sorted(lines),
            "key": self._key(record, lines, _shown(family, part, backward=backward)),
            "shows": self._shows(record, family, part, backward=backward),
        }

    def _key(self, record: Record, lines: Collection[tuple[str, int]], shows: Sequence[Show]) -> list[tuple[str, str]]:
        """The statements that make what the step is about, as text and "file:line"."""
        found = []
        for name, sign in shows:
            result = ("dz", "dx") if record.call.name.endswith("_backward") else ("y", "x + y")
            names = result if name == "result" else (name,)
            made = [m for m in record.made if m.name in names and (m.function, m.line) in lines]
            made = [m for m in made if m.function == record.call.name]
            told = [m for m in made if self._tells(m)] or made[-1:]
            if sign in ("→", "and") or len(shows) == 1:
                found += [m.line for m in told[:1]]
        source = self._sources[record.call.name]
        text = self._text[record.call.name]
        return [(_code(text[line]), f"{source.file}:{line}") for line in dict.fromkeys(found)]

    def _tells(self, made: Made) -> bool:
        """Whether a statement computes, and does not only clear, copy or return; of `dz` the one that takes 1 off."""
        text = self._text[made.function][made.line].strip()
        computes = not text.startswith("return") and "[...] = 0" not in text
        return computes and (made.name != "dz" or "-=" in text)

    def _shows(self, record: Record, family: str, part: str, *, backward: bool) -> list[dict[str, Any]]:
        shown = []
        for name, sign in _shown(family, part, backward=backward):
            found = self._find(record, name, part)
            if found is not None:
                label = name if name != "result" else "dx" if backward and family != "add" else "x + y"
                label = "dlogits" if label == "dx" and family == "cross_entropy" else label
                shown.append({"name": label, "sign": sign, "array": self._store.add(found)})
        return shown

    def _find(self, record: Record, name: str, part: str) -> Any:
        """An array by its name: what it was given as, or the last that a statement of this part, or of one before it,
        made of it.
        """
        if name == "result":
            return record.result[0] if record.result else None
        if name in _GIVEN and record.call.name == "attention_backward":
            return record.result[_GIVEN.index(name)]
        if (
            name in record.inputs
            and name not in _WRITTEN
            and not (name == "y" and record.call.name.endswith("_forward"))
        ):
            return record.inputs[name]
        parts = _PARTS.get(record.call.name, ())
        reach = parts[: parts.index(part) + 1] if part in parts else ()
        found = None
        for m in record.made:
            if m.name != name or m.function != record.call.name:
                continue
            text = self._text[m.function][m.line]
            if not reach or part_of(m, text) in reach[: -1 if self._before(name, part) else None]:
                found = m.kept
                if name in _FIRST:
                    break
        return found

    @staticmethod
    def _before(name: str, part: str) -> bool:
        """Whether the array is shown as it was before this part changed it."""
        return (name, part) == ("scores", "softmax")

    def _split(self, total: Record, after: Record) -> dict[str, Any]:
        """The residual sum, backwards: the gradient `dy` that the sub-layer gets is the whole sum's."""
        said = words("add", "split", backward=True)
        gradient = self._store.add(after.inputs["dy"])
        return {
            "phase": "backward",
            "place": total.call.place.removesuffix("sum") + "split",
            "part": "",
            "family": "add",
            "title": said.title,
            "say": said.say,
            "call": self._numbers[False, total.call.number],
            "partner": None,
            "lines": [],
            "key": [],
            "shows": [
                {"name": "gradient of x + y", "sign": "", "array": gradient},
                {"name": "dx, along the stream", "sign": "=", "array": gradient},
                {"name": "dy, into the sub-layer", "sign": "=", "array": gradient},
            ],
        }
