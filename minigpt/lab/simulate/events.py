"""The clock: tasks begin when what they wait for has ended and all their streams are free."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

Stream = tuple[str | int, ...]


class Task(NamedTuple):
    """Something that takes time.

    Attributes:
        kind: "forward", "backward", "send", "reduce", "gather" or "update"; pictures colour by it.
        seconds: how long it takes once it has begun.
        streams: what does it, such as a rank's arithmetic or its network card. A stream does one task at a time, in
            the order of the list; a collective occupies a stream of each of its ranks.
        after: the numbers of earlier tasks that must have ended.
        name: what pictures write on it.
    """

    kind: str
    seconds: float
    streams: tuple[Stream, ...]
    after: tuple[int, ...] = ()
    name: str = ""


class Span(NamedTuple):
    """When a task began and ended, in seconds."""

    begin: float
    end: float


def run(tasks: Sequence[Task]) -> list[Span]:
    """Play all tasks; the same tasks give the same times, to the bit.

    Each task counts what it still waits for: predecessors that have not ended, and streams on which another task stands
    before it. The event that ends a task frees its successors and hands its streams on. Events of the same time are
    taken in the tasks' order.

    Raises:
        ValueError: tasks wait for each other in a circle.
    """
    waiting = [len(task.after) + len(task.streams) for task in tasks]
    successors: list[list[int]] = [[] for _ in tasks]
    last: dict[Stream, int] = {}
    for number, task in enumerate(tasks):
        for earlier in task.after:
            successors[earlier].append(number)
        for stream in task.streams:
            if stream in last:
                successors[last[stream]].append(number)
            else:
                waiting[number] -= 1
            last[stream] = number
    begin = [-1.0] * len(tasks)
    events = []
    for number, count in enumerate(waiting):
        if not count:
            begin[number] = 0.0
            events.append((tasks[number].seconds, number))
    heapq.heapify(events)
    ended = 0
    while events:
        now, number = heapq.heappop(events)
        ended += 1
        for later in successors[number]:
            waiting[later] -= 1
            if not waiting[later]:
                begin[later] = now
                heapq.heappush(events, (now + tasks[later].seconds, later))
    if ended < len(tasks):
        raise ValueError(f"{len(tasks) - ended} tasks wait for each other")
    return [Span(at, at + task.seconds) for at, task in zip(begin, tasks, strict=True)]


def finish(spans: Sequence[Span]) -> float:
    """When the last task ends."""
    return max((span.end for span in spans), default=0.0)
