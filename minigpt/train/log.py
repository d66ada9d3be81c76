"""The run's log: one JSON object a line in log.jsonl, a function of configuration, text and machine alone.

Times would differ from run to run, so they go into timing.jsonl instead; two runs that should be equal can then be
compared with a plain diff. On resuming, log and samples are cut back to where the checkpoint was made, so nothing
stands in them twice. A log may be long: what is asked of its end is read from its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from minigpt.core import disk
from minigpt.core.errors import UserError, warn
from minigpt.core.reading import parse_json
from minigpt.train.integrity import GROWING, LOG, SAMPLES, Digest, Entry, digest_of

TIMING = "timing.jsonl"
_BLOCK = 1 << 16  # bytes read at a time from the end


class RunLog:
    """Appends to a run's log files, and knows their hashes without reading them again."""

    def __init__(self, run: Path, digests: dict[str, Digest] | None = None):
        """Args: digests are those of log and samples, where there are any yet."""
        self.run, self._digests = run, digests or {name: Digest() for name in GROWING}

    @classmethod
    def resumed(cls, run: Path, digests: Mapping[str, Digest], positions: Mapping[str, int]) -> RunLog:
        """That of a run that goes on.

        Args:
            digests: of what is there already, as far as it was compared with a checkpoint's list; the rest is read.
            positions: how long the files were at that checkpoint; what was written after it is dropped.
        """
        for name in GROWING:
            if _size(run / name) < positions[name]:  # in a run of before there were lists; else it was refused
                warn(f"{run / name} is shorter than it was at the checkpoint: a part of it is missing")
            elif _size(run / name) > positions[name]:
                disk.truncate(run / name, positions[name])
        return cls(run, {name: digests.get(name) or digest_of(run / name) for name in GROWING})

    def _append(self, name: str, text: str) -> None:
        data = text.encode("utf-8")
        try:
            disk.append(self.run / name, data)
        except OSError as error:
            raise UserError(f"cannot write {self.run / name}: {error.strerror}") from None
        if name in GROWING:
            self._digests[name].update(data)

    def line(self, **values: Any) -> None:
        """Log one line, such as step=10, loss=2.5."""
        self._append(LOG, json.dumps(values) + "\n")

    def timing(self, **values: Any) -> None:
        self._append(TIMING, json.dumps(values) + "\n")

    def sample(self, step: int, text: str) -> None:
        self._append(SAMPLES, f"--- step {step} ---\n{text}\n\n")

    def entries(self) -> dict[str, Entry]:
        """What log and samples are now; a checkpoint keeps this."""
        return {name: digest.entry() for name, digest in self._digests.items()}


class NoLog(RunLog):
    """That of a rank that writes nothing."""

    def _append(self, name: str, text: str) -> None:
        pass


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def last_sample(run: Path, step: int, start: int) -> str | None:
    """The text that was written after this step, if it is all that stands from byte `start` of the samples on."""
    if not (run / SAMPLES).exists():
        return None
    with open(run / SAMPLES, "rb") as file:
        file.seek(start)
        samples, head = file.read().decode("utf-8", errors="replace"), f"--- step {step} ---\n"
    return samples[len(head) : -2] if samples.startswith(head) and samples.endswith("\n\n") else None


def read_log(run: Path) -> list[dict[str, Any]]:
    """The log's lines; one that a kill cut short, or that is no log line at all, is left out."""
    return list(log_lines(run))


def log_lines(run: Path, start: int = 0) -> Iterator[dict[str, Any]]:
    """The same one by one, from byte `start` on."""
    if (run / LOG).exists():
        with open(run / LOG, "rb") as file:
            file.seek(start)
            yield from parsed(file)


def log_backwards(run: Path) -> Iterator[dict[str, Any]]:
    """The log's lines, the last one first."""
    path = run / LOG
    end, rest = _size(path), b""
    while end > 0:
        start = max(0, end - _BLOCK)
        with open(path, "rb") as file:
            file.seek(start)
            block = file.read(end - start) + rest
        first, *lines = block.split(b"\n")
        yield from parsed(reversed(lines))
        end, rest = start, first
    yield from parsed([rest])


def last_losses(run: Path, count: int) -> list[float]:
    """The last so many training losses, in their order."""
    found = (line["loss"] for line in log_backwards(run) if "loss" in line)
    return list(islice(found, count))[::-1]


def last_evaluation(run: Path, step: int) -> dict[str, Any] | None:
    """What was measured after this step, if no later step was logged; None if nothing was."""
    for line in log_backwards(run):
        if line["step"] != step:
            return None
        if "val_loss" in line:
            return line
    return None


def parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """What the lines say that have a step, and losses that are numbers."""
    for line in lines:
        try:
            values = parse_json(line.decode("utf-8", errors="replace"))
        except (ValueError, RecursionError):
            continue
        numbers = ("step", "loss", "val_loss")
        if isinstance(values, dict) and "step" in values and all(is_number(values.get(name, 0)) for name in numbers):
            yield values


def is_number(value: Any) -> bool:
    """Whether something read from a file is a number that fits a float."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)
