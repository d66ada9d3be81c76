"""Watch a kernel at work: which thread touches which number, when, as data and as a picture.

    trace = Trace()
    Flash(emulation=Emulation(trace=trace), tile=16).attention_forward(q, k, v)
    launch = trace.launches[0]
    launch.records()[:5]            # {"step": 0, "block": (0, 0, 0), "thread": 0, "phase": 0, "access": "read", …}
    launch.rows("k", block=1)       # {phase: rows of K that block 1 reads in it}
    save_figure(figure(launch), Path("flash.png"))

A phase is the time between two barriers (`__syncthreads`); within one, the threads of a GPU run in no particular order.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from minigpt.core.errors import UserError
from minigpt.kernels.emulator import EmulatedKernel, three
from minigpt.kernels.source import KERNEL

SHARED = "shared memory"
_COLOURS = "cividis"  # from dark to light, for colour-blind readers too
_FIELDS = {"address": "u8", "step": "u4", "block": "u4", "thread": "u2", "phase": "u2", "size": "u1", "write": "u1"}
_ACCESS = np.dtype(list(_FIELDS.items()), align=True)  # struct Access of trace_on_cpu.h


class Launch(NamedTuple):
    """One launch: the arrays that it was given, by the kernel's names for them, and every access to them.

    Attributes:
        accesses: a structured array in the order of time, with the fields step, block (its number, x fastest), thread,
            phase, array (a position in `arrays`, or −1 for shared memory), element (the first one, counted through the
            array, or in words of 4 bytes through shared memory), count (how many) and write.
    """

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arrays: dict[str, tuple[int, ...]]  # name to shape
    accesses: np.ndarray

    def of(self, array: str, *, block: int | None = None, write: bool | None = None) -> np.ndarray:
        """The accesses to one array (or SHARED), of one block or all, of one kind or both."""
        names = [*self.arrays, SHARED]
        if array not in names:
            raise UserError(f"{self.kernel} has no array {array!r}: choose one of {', '.join(names)}")
        a = self.accesses
        keep = a["array"] == (-1 if array == SHARED else names.index(array))
        if block is not None:
            keep &= a["block"] == block
        if write is not None:
            keep &= a["write"] == write
        return a[keep]

    def records(self, accesses: np.ndarray | None = None) -> list[dict[str, Any]]:
        """Accesses (by default all) as dictionaries to print: who, when, what and where."""
        names, found = list(self.arrays), []
        for a in self.accesses if accesses is None else accesses:
            shared = a["array"] < 0
            shape = () if shared else self.arrays[names[a["array"]]]
            index = int(a["element"]) if shared else tuple(int(i) for i in np.unravel_index(a["element"], shape))
            x, y, _ = self.grid
            block = int(a["block"])
            found.append(
                {
                    "step": int(a["step"]),
                    "block": (block % x, block // x % y, block // (x * y)),
                    "thread": int(a["thread"]),
                    "phase": int(a["phase"]),
                    "access": "write" if a["write"] else "read",
                    "array": SHARED if shared else names[a["array"]],
                    "index": index,
                    "count": int(a["count"]),
                }
            )
        return found

    def rows(self, array: str, *, block: int) -> dict[int, list[int]]:
        """In which phase a block touches which rows (of the second axis, as in (B, T, H, D)) of an array."""
        found: dict[int, set[int]] = {}
        for a in self.of(array, block=block):
            found.setdefault(int(a["phase"]), set()).add(int(np.unravel_index(a["element"], self.arrays[array])[1]))
        return {phase: sorted(rows) for phase, rows in found.items()}


class Trace:
    """Collects the launches of the kernels that are emulated with it. For small cases: an access takes 24 bytes."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []

    def watched(self, kernel: EmulatedKernel, library: ctypes.CDLL, source: str) -> _TracedKernel:
        """The kernel, of this library and source, which tells of every access from now on."""
        return _TracedKernel(kernel, library, parameter_names(source, kernel.name), self)

    def add(
        self,
        kernel: str,
        grid: Any,
        block: Any,
        arrays: dict[str, np.ndarray],
        shared: tuple[int, int],
        accesses: np.ndarray,
    ) -> None:
        """Translate addresses into elements; what belongs to no array and not to shared memory is left out."""
        where = np.full(len(accesses), -2, np.int16)
        element = np.zeros(len(accesses), np.int64)
        address = accesses["address"].astype(np.int64)
        inside = (address >= shared[0]) & (address < shared[0] + shared[1])
        where[inside], element[inside] = -1, (address[inside] - shared[0]) // 4
        for i, x in enumerate(arrays.values()):
            at, index = _elements(x, address)
            where[at], element[at] = i, index
        known = where > -2
        fields = ("step", "block", "thread", "phase")
        dtype = [
            *((name, "i4") for name in fields),
            ("array", "i2"),
            ("element", "i8"),
            ("count", "i2"),
            ("write", "?"),
        ]
        result = np.zeros(known.sum(), dtype)
        for name in fields:
            result[name] = accesses[name][known]
        sizes = np.array([4, *(x.itemsize for x in arrays.values())])
        result["array"], result["element"], result["write"] = where[known], element[known], accesses["write"][known]
        result["count"] = np.maximum(accesses["size"][known] // sizes[result["array"] + 1], 1)
        shapes = {name: x.shape for name, x in arrays.items()}
        self.launches.append(Launch(kernel, tuple(grid), tuple(block), shapes, result))


class _TracedKernel:
    """A kernel whose every access to memory goes to a trace."""

    def __init__(self, kernel: EmulatedKernel, library: ctypes.CDLL, parameters: list[str], trace: Trace):
        self.kernel, self.parameters, self.trace = kernel, parameters, trace
        self._library = library
        library.coc_trace_length.restype = ctypes.c_size_t
        library.coc_trace_data.restype = ctypes.c_void_p
        library.coc_shared_address.restype = ctypes.c_uint64

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self.kernel.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self.kernel.max_dynamic_shared_size_bytes = size

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0) -> None:
        self._library.coc_trace_start()
        self.kernel(grid, block, args, shared_mem=shared_mem)
        size = self._library.coc_trace_length() * _ACCESS.itemsize
        raw = ctypes.string_at(self._library.coc_trace_data(), size) if size else b""
        arrays = {
            name: value
            for name, value, kind in zip(self.parameters, args, self.kernel.signature, strict=True)
            if "*" in kind and value is not None
        }
        shared = (self._library.coc_shared_address(), shared_mem)
        self.trace.add(self.kernel.name, three(grid), three(block), arrays, shared, np.frombuffer(raw, _ACCESS))


def parameter_names(source: str, kernel: str) -> list[str]:
    """What a kernel calls its parameters, in their order."""
    found = next(match for match in KERNEL.finditer(source) if match[1] == kernel)
    inside = source[found.end() : source.index(")", found.end())]
    return [parameter.split()[-1].lstrip("*&") for parameter in inside.split(",") if parameter.strip()]


def _elements(x: np.ndarray, address: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the addresses lie in x, and which elements they are; x may be a view with gaps, in which others lie."""
    rest = address - x.ctypes.data
    inside, index = rest >= 0, np.zeros(len(address), np.int64)
    steps = np.cumprod([1, *x.shape[::-1]])[-2::-1]  # elements to the next index of each axis
    for stride, size, step in sorted(zip(x.strides, x.shape, steps, strict=True), reverse=True):
        along = rest // stride if size > 1 else np.zeros_like(rest)
        inside &= along < size
        rest = rest - along * stride
        index += along * step
    inside &= rest < x.itemsize
    return np.flatnonzero(inside), index[inside]


def who(launch: Launch, array: str, *, write: bool, head: int = 0) -> np.ndarray:
    """Which thread first touches each number of one head of batch row 0, (T, D), of (B, T, H, D); NaN: none."""
    shape = launch.arrays[array]
    threads = np.full(shape, np.nan)
    for a in launch.of(array, write=write)[::-1]:  # so that the first one is what stays
        threads.reshape(-1)[a["element"] : a["element"] + a["count"]] = a["thread"]
    return threads[0, :, head]


def figure(launch: Launch, *, read: str = "k", write: str = "o") -> Figure:
    """Draw one launch: which thread reads each number of `read`, which writes each of `write`, and in which phase each
    block reads which rows of `read`."""
    picture = Figure(figsize=(11, 4.6), layout="constrained")
    left, middle, right = picture.subplots(1, 3, width_ratios=(1, 1, 1.5))
    last = int(np.prod(launch.block)) - 1
    for axes, array, verb in ((left, read, "reads"), (middle, write, "writes")):
        image = axes.imshow(
            who(launch, array, write=verb == "writes"),
            cmap=_COLOURS,
            vmin=0,
            vmax=last,
            aspect="auto",
            interpolation="none",
        )
        axes.set(title=f"which thread {verb} {array} first", xlabel="column", ylabel=f"row of {array} (head 0)")
        axes.grid(False)
    picture.colorbar(image, ax=middle, label="thread of its block")
    blocks = _blocks_of_head(launch, write)
    last_phase = 0
    for i, block in enumerate(blocks):
        for phase, rows in launch.rows(read, block=block).items():
            at, last_phase = phase + 0.8 * (i + 0.5) / len(blocks) - 0.4, max(last_phase, phase)
            for first, length in _runs(rows):
                right.bar(at, length, 0.8 / len(blocks), bottom=first - 0.5, color=f"C{i % 10}")
        right.bar(np.nan, 0, color=f"C{i % 10}", label=f"block {block}")
    right.set(title=f"when a block reads {read}", xlabel="phase (barriers passed)", ylabel=f"row of {read} (head 0)")
    right.set(xlim=(-0.6, last_phase + 0.6), ylim=(launch.arrays[read][1] - 0.5, -0.5))
    right.xaxis.get_major_locator().set_params(integer=True)
    right.legend()
    picture.suptitle(f"{launch.kernel}: grid {launch.grid}, {last + 1} threads a block")
    return picture


def _blocks_of_head(launch: Launch, array: str) -> list[int]:
    """The blocks that write head 0 of batch row 0 of a (B, T, H, D) array."""
    a, shape = launch.of(array, write=True), launch.arrays[array]
    row, _, head, _ = np.unravel_index(a["element"], shape)
    return [int(block) for block in np.unique(a["block"][(row == 0) & (head == 0)])]


def _runs(rows: list[int]) -> list[tuple[int, int]]:
    """Consecutive numbers as (first, how many)."""
    edges = np.flatnonzero(np.diff(rows) > 1) + 1
    return [(int(part[0]), len(part)) for part in np.split(np.array(rows), edges)]
