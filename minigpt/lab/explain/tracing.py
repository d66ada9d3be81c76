"""Watch an operation's statements run, and note every array that one of them makes.

Python tells a trace function of every line before it runs. When the next line is about to run, the statement before it
is done, and the names that it assigned hold what it made: they are noted then, since a later statement may write into
the same array (`scores *= scale`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from minigpt.lab.explain.source import Source, Statement, operation_sources

Note = Callable[[str, np.ndarray], Any]  # a name and its array, to what is kept of it


class Made(NamedTuple):
    """What one statement made: in which function, on which line, under which name."""

    function: str
    line: int
    name: str
    kept: Any


class Tracer:
    """Runs operations and notes what their statements make.

    Args:
        note: is given every name with its array right after the statement, and returns what to keep.
    """

    def __init__(self, note: Note):
        self._note = note
        self._made: list[Made] = []
        self._running: dict[FrameType, Statement | None] = {}
        self._sources = operation_sources()

    def run(self, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """The result of a call, and what its statements made, in order; operations that it calls included."""
        self._made = []
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            result = function(*arguments, **keywords)
        finally:
            sys.settrace(before)
        return result, self._made

    def _trace(self, frame: FrameType, event: str, value: Any) -> Any:
        source = self._sources.get(frame.f_code)
        if source is None:
            return None
        done = self._running.get(frame)
        if event == "call":
            self._running[frame] = None
        elif event == "line":
            now = source.statements.get(frame.f_lineno)
            if done is not None and now is not done:
                self._keep(source, done, frame)
            self._running[frame] = now
        elif event == "return":
            if done is not None:
                self._keep(source, done, frame)
                if done.returns:
                    self._keep_returned(source, done, value)
            self._running.pop(frame, None)
        return self._trace

    def _keep(self, source: Source, statement: Statement, frame: FrameType) -> None:
        for name in statement.targets:
            if name.endswith("_out"):
                continue  # where results will go: nothing was made yet
            self._add(source, statement, name, frame.f_locals.get(name))

    def _keep_returned(self, source: Source, statement: Statement, value: Any) -> None:
        """A forward function returns y and its cache, a backward one dx, or dq, dk and dv; `add` a sum."""
        if source.name.endswith("_forward"):
            self._add(source, statement, "y", value[0])
        elif isinstance(value, tuple):
            for name, part in zip(("dq", "dk", "dv"), value, strict=True):
                self._add(source, statement, name, part)
        else:
            self._add(source, statement, "dx" if source.name.endswith("_backward") else "x + y", value)

    def _add(self, source: Source, statement: Statement, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray | float | np.floating):
            self._made.append(Made(source.name, statement.first, name, self._note(name, np.asarray(value))))
