"""The run's log: one JSON object a line in log.jsonl, a function of configuration, text and machine alone.

Times would differ from run to run, so they go into timing.jsonl instead; two runs that should be equal can then be
compared with a plain diff. On resuming, log and samples are cut back to where the checkpoint was made, so nothing
stands in them twice.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError

LOG, TIMING, SAMPLES = "log.jsonl", "timing.jsonl", "samples.txt"


class RunLog:
    """Appends to a run's log files."""

    def __init__(self, run: Path):
        self.run = run

    def _append(self, name: str, text: str) -> None:
        try:
            with open(self.run / name, "a", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            raise UserError(f"cannot write {self.run / name}: {error.strerror}") from None

    def line(self, **values: Any) -> None:
        """Log one line, such as step=10, loss=2.5."""
        self._append(LOG, json.dumps(values) + "\n")

    def timing(self, **values: Any) -> None:
        self._append(TIMING, json.dumps(values) + "\n")

    def sample(self, step: int, text: str) -> None:
        self._append(SAMPLES, f"--- step {step} ---\n{text}\n\n")

    def positions(self) -> dict[str, int]:
        """How long the files are now; a checkpoint keeps this."""
        return {name: self._size(name) for name in (LOG, SAMPLES)}

    def _size(self, name: str) -> int:
        path = self.run / name
        return path.stat().st_size if path.exists() else 0

    def cut_back(self, positions: dict[str, int]) -> None:
        """Drop what was written after the checkpoint that had these positions."""
        for name in (LOG, SAMPLES):
            if self._size(name) > positions[name]:
                os.truncate(self.run / name, positions[name])


def last_sample(run: Path, step: int) -> str | None:
    """The text that was written after this step, if it is the last one in the samples, and whole."""
    path = run / SAMPLES
    samples = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    head = f"--- step {step} ---\n"
    at = samples.rfind(head)
    return samples[at + len(head) : -2] if at >= 0 and samples.endswith("\n\n") else None


def read_log(run: Path) -> list[dict]:
    """Return the log's lines; one that a kill cut short, or that is no log line at all, is left out."""
    path = run / LOG
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and isinstance(values.get("step"), int):
            lines.append(values)
    return lines
