"""The flash attention kernel as a page that is stepped through: blocks, tiles, threads, and the running softmax."""

from __future__ import annotations

import base64
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from minigpt import ops
from minigpt.core.files import write_atomically
from minigpt.lab.explain.arrays import Store
from minigpt.lab.explain.bundling import bundle
from minigpt.lab.explain.kernel_walk import CAUSAL, SMALL, TILES, Phase, Sizes, Traced, Walk, run_flash
from minigpt.lab.explain.still import as_image, as_png
from minigpt.lab.explain.words import Words
from minigpt.lab.trace import SHARED, figure

_WORDS = {
    "load": Words(
        "Fetch the tiles",
        "All threads copy together: rows of K and V, and at first the block's own rows of Q, go from memory into "
        "shared memory, where they are read many times. Rows beyond the end become zeros. Then all wait at "
        "the barrier.",
    ),
    "scores": Words(
        "Scores, and the softmax as far as it is known",
        "Each thread multiplies one row of Q with one row of K. The 16 threads of a row find the largest score "
        "together. If it beats the maximum m so far, the sum l and the output are shrunk by exp(m − m′); then "
        "exp(score − m′) is written to shared memory for the others, who wait at the barrier.",
    ),
    "mixture": Words(
        "Add the values",
        "Each thread owns one number of the output: its row of probabilities times one column of V is added to it. "
        "They are not divided by l yet, since l may still grow. The barrier keeps tiles from being overwritten "
        "too early.",
    ),
    "write": Words(
        "Divide and write",
        "All keys were seen, so m and l are those of the whole row. The output is divided by l and written once. "
        "All that the backward pass needs of the softmax is one number a row: lse = m + log l.",
    ),
}
_GRID = Words(
    "A grid of blocks",
    "Each block owns a tile of queries of one head, and walks over tiles of keys. Blocks know nothing of each other: a "
    "GPU runs them in any order, as many at once as fit. The mask is causal, so a block stops at its own tile: the "
    "first has one tile of keys to see, the last all of them. The T × S scores are never in memory.",
)

_GLOSSARY = [
    ("kernel", "A function that a GPU runs in very many threads at once."),
    ("thread", "One worker with its own registers. It knows its place in its block: column tx, row ty."),
    ("block", "Threads that share a memory and can wait for each other. Here each owns a tile of queries of a head."),
    ("warp", "32 threads of a block that run in step."),
    ("grid", "All blocks of a launch."),
    ("barrier", "A line at which every thread of a block waits until all have come: `__syncthreads()`."),
    ("phase", "What a block does between two barriers: a step of this page."),
    ("memory", "Large and slow, seen by all blocks: q, k and v lie here, and the output o is written to it."),
    ("shared memory", "Small and fast, seen by one block alone. Its numbers are counted in words of 4 bytes."),
    ("register", "A number that one thread has for itself; the fastest."),
    ("tile", "As many rows of an array as a block works on at a time, here 16."),
    ("query, key, value", "The rows of q, k and v: what a token looks for, what it offers, what it hands over."),
    (
        "online softmax",
        "A softmax over scores that come tile by tile. It keeps m, the largest score so far, and l, the "
        "sum of exp(score − m), and corrects both when a larger score comes.",
    ),
    ("lse", "m + log l: the log of the sum of all exponentials of a row. The backward pass needs no more of it."),
]


class KernelPage:
    """A page: `.html` is the file's text, `.save` writes it."""

    def __init__(self, traced: Traced):
        self.traced = traced
        self.data = kernel_data(traced)

    @cached_property
    def html(self) -> str:
        picture = as_image(as_png(figure(self.traced.launch)), "Which thread touches what, and when")
        title = "Flash attention, barrier by barrier"
        return bundle(self.data, picture, title=title, heading=title, first="kernels")

    def save(self, path: str | Path) -> Path:
        """Write the page, one file that needs no other.

        Raises:
            UserError: it cannot be written.
        """
        return write_atomically(path, self.html)


def explain_kernels(sizes: Sizes = SMALL, mask: ops.Mask = CAUSAL) -> KernelPage:
    """Emulate flash attention's forward kernel on random numbers, and make a page of its trace.

    Raises:
        UserError: there is no C++ compiler.
    """
    return KernelPage(run_flash(sizes, mask))


def kernel_data(traced: Traced) -> dict[str, Any]:
    """Everything that the page holds: blocks, steps, arrays, accesses, and the kernel's lines."""
    store, touches = Store(), Touches()
    blocks = int(np.prod(traced.launch.grid))
    steps = [_overview()]
    for block in range(blocks):
        for phase in Walk(traced, block).phases:
            steps.append(_step(traced, phase, store, touches))
    parts = phase_lines()
    lines = kernel_lines()
    return {
        "kernel": traced.launch.kernel,
        "file": "minigpt/kernels/flash.cu",
        "grid": traced.launch.grid,
        "threads": traced.launch.block[0],
        "sizes": traced.sizes._asdict(),
        "model": {"heads": traced.sizes.heads},
        "lists": {},
        "headsShown": [0],
        "glossary": _GLOSSARY,
        "memory": {
            name: [store.plain(_of_head(traced, name, head), "row", "column") for head in range(traced.sizes.heads)]
            for name in traced.arrays
        },
        "lines": lines,
        "parts": parts,
        "steps": steps,
        "touches": touches.entries,
        "holes": store.holes,
        "arrays": store.entries,
    }


def _of_head(traced: Traced, name: str, head: int) -> np.ndarray:
    x = traced.arrays[name]
    return x[0, head][:, None] if name == "lse" else x[0, :, head]


def _overview() -> dict[str, Any]:
    return {"title": _GRID.title, "say": _GRID.say, "kind": "grid", "block": 0, "phase": 0, "touched": {}}


def _step(traced: Traced, phase: Phase, store: Store, touches: Touches) -> dict[str, Any]:
    said = _WORDS[phase.kind]
    head = phase.block // traced.launch.grid[0]
    touched: dict[str, dict[str, int]] = {}
    for (array, verb), pairs in phase.touched.items():
        for name, own in _own_elements(traced, array, head, pairs).items():
            touched.setdefault(name, {})[verb] = touches.add(own)
    rows = phase.rows
    return {
        "title": said.title,
        "say": said.say,
        "kind": phase.kind,
        "block": phase.block,
        "phase": phase.phase,
        "keys": phase.keys,
        "touched": touched,
        "shared": {name: store.plain(x, "row", "column") for name, x in phase.shared.items()},
        "scores": None if phase.scores is None else store.plain(phase.scores, "row", "column"),
        "rows": None if rows is None else {name: _written(x) for name, x in rows._asdict().items()},
        "sums": store.plain(phase.sums, "row", "column"),
        "output": None if phase.output is None else store.plain(phase.output, "row", "column"),
        "lse": None if phase.lse is None else _written(phase.lse),
    }


def _written(x: np.ndarray) -> list[float | None]:
    """For JSON: None is −∞."""
    return [float(f"{n:.7g}") if np.isfinite(n) else None for n in x]


def _own_elements(traced: Traced, array: str, head: int, pairs: np.ndarray) -> dict[str, np.ndarray]:
    """By picture, (thread, element): of the head's (T, D) matrix, or of one of the four tiles in shared memory."""
    threads, elements = pairs.T
    if array != SHARED:
        shape = traced.launch.arrays[array]
        if array == "lse":
            own = elements - head * shape[2]
        else:
            _, row, _, column = np.unravel_index(elements, shape)
            own = row * shape[3] + column
        return {array: np.stack([threads, own], axis=1)}
    size, found, start = traced.sizes, {}, 0
    for name in TILES:
        length = size.tile * (size.score_stride if name == "ps" else size.stride)
        inside = (elements >= start) & (elements < start + length)
        if inside.any():
            found[name] = np.stack([threads[inside], elements[inside] - start], axis=1)
        start += length
    return found


class Touches:
    """Lists of (thread, element), as base64 of 16-bit numbers; each once, since most phases repeat an earlier one."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, pairs: np.ndarray) -> int:
        data = pairs.astype("<u2").tobytes()
        if data not in self._numbers:
            self._numbers[data] = len(self.entries)
            self.entries.append(base64.b64encode(data).decode("ascii"))
        return self._numbers[data]


def kernel_lines() -> list[tuple[int, str]]:
    """The kernel's lines with their numbers in flash.cu."""
    lines = (resources.files("minigpt.kernels") / "flash.cu").read_text(encoding="utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("flash_forward("))
    last = next(n for n in range(first, len(lines)) if lines[n] == "}")
    return [(n + 1, lines[n]) for n in range(first - 1, last + 1)]


def phase_lines() -> dict[str, list[int]]:
    """Which of the kernel's lines run in which kind of phase: they are cut by its barriers."""
    lines = kernel_lines()
    barriers = [number for number, text in lines if "__syncthreads()" in text]
    loop = next(number for number, text in lines if "for (int k0" in text)
    end = next(number for number, text in lines if number > barriers[-1] and text == "  }")
    before = next(number for number, text in lines if "load_tile<BR>" in text)
    return {
        "grid": [number for number, text in lines if number < before],
        "load": list(range(loop, barriers[0] + 1)),
        "first": [before, before + 1],
        "scores": list(range(barriers[0] + 1, barriers[1] + 1)),
        "mixture": list(range(barriers[1] + 1, barriers[2] + 1)),
        "write": list(range(end + 1, lines[-1][0])),
    }
