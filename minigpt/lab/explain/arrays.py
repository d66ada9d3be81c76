"""What is kept of an array: which axis is which, a part that a page can hold, and the length of all of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

_KEYS = {"k", "v", "dk", "dv", "k_heads", "v_heads"}  # their rows are keys, not queries
_HEADS = {"q_heads", "k_heads", "v_heads", "dy_heads", "dq", "dk", "dv"}  # their columns are a head's numbers
_SPARSE = 0.25  # the share of zeros, or of −∞, from which on it pays to leave them out
_MATRICES = {"weight", "dweight", "table", "dtable"}


class Heads(NamedTuple):
    """The heads of which attention is kept: `shown`, counted from 0, of `all`."""

    shown: tuple[int, ...]
    all: int

    def kept(self, length: int) -> list[int] | None:
        """Which of so many heads: themselves, or the key-value heads that serve them; None is all."""
        found = sorted({head * length // self.all for head in self.shown})
        return found if len(found) < length else None


class Limits(NamedTuple):
    """How much of an array is kept: of long axes the first numbers, of the vocabulary the tokens that matter here.

    Attributes:
        features: the most columns of an activation.
        weights: the most rows and columns of a weight's gradient.
        vocabulary: how many tokens there are, V.
        tokens: those that are kept, in the order of their ids.
        heads: those that are kept; None is all.
    """

    features: int
    weights: int
    vocabulary: int
    tokens: tuple[int, ...]
    heads: Heads | None = None


class Snapshot(NamedTuple):
    """An array as it was at one moment.

    Attributes:
        axes: what each axis counts: "head", "query", "key", "token", "feature", "in", "vocabulary".
        shape: of all of it, without the batch's axis of 1.
        data: float32, the part that is kept.
        kept: for each axis the indices of the part, None where it is whole.
        norm: the root of the sum of squares of all of it, over its finite entries.
    """

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    data: np.ndarray
    kept: tuple[list[int] | None, ...]
    norm: float


def snapshot(operation: str, name: str, x: np.ndarray, limits: Limits, *, output: bool = False) -> Snapshot:
    """Keep a part of an array of an operation ("attention", "linear", …).

    Args:
        name: what the code calls it.
        output: whether an axis as long as the vocabulary counts the vocabulary.
    """
    x, axes = _arranged(operation, name, x)
    if output:
        axes = tuple("vocabulary" if n == limits.vocabulary else a for a, n in zip(axes, x.shape, strict=True))
    kept: list[list[int] | None] = []
    part = x
    for axis, (kind, length) in enumerate(zip(axes, x.shape, strict=True)):
        chosen = _chosen(kind, length, name, limits)
        kept.append(chosen)
        part = part if chosen is None else np.take(part, chosen, axis=axis)
    return Snapshot(axes, x.shape, np.array(part, dtype=np.float32), tuple(kept), _norm(x))


def _norm(x: np.ndarray) -> float:
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(x))
    if np.isfinite(norm):
        return norm
    return float(np.linalg.norm(np.where(np.isfinite(x), x, 0).astype(np.float64)))  # squares may be too large, too


def _chosen(kind: str, length: int, name: str, limits: Limits) -> list[int] | None:
    if kind == "vocabulary":
        return list(limits.tokens) if len(limits.tokens) < length else None
    if kind == "head":
        return limits.heads.kept(length) if limits.heads else None
    most = limits.weights if name in _MATRICES else limits.features
    return list(range(most)) if kind in ("in", "feature") and length > most else None


def _arranged(operation: str, name: str, x: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Without the batch's axis, heads first; and what each axis counts."""
    row = "key" if name in _KEYS else "query"
    if operation in ("attention", "rope"):
        if x.ndim == 5:  # (1, G, R, T, S) or (1, G, R, T, D)
            x = x.reshape(-1, *x.shape[3:])
            return x, ("head", row, "feature" if name in _HEADS else "key")
        if x.ndim == 4:  # (1, T, H, D)
            return x[0].swapaxes(0, 1), ("head", row, "feature")
        if x.ndim == 2:
            return x, ("query", "key")
    if name in _MATRICES and x.ndim == 2:
        return x, ("in", "feature")
    if x.ndim == 3:  # (1, T, C)
        return x[0], ("token", "feature")
    if x.ndim == 2:
        return x, ("token", "feature") if name != "one_hot" else ("in", "token")
    if x.ndim == 1:
        return x, ("token" if operation in ("cross_entropy", "embedding") else "feature",)
    return x, ("feature",) * x.ndim


class Store:
    """The arrays of a page, each once however often it comes.

    Half of a causal model's attention is exactly 0, or −∞. Such numbers are left out, and a mask of bits, which many
    arrays share, says where they were.

    Attributes:
        entries: of each array axes, shape, norm and data; "kept" if not all of it is, "fill" and "holes" if numbers
            were left out: 0 or None for −∞, and which mask.
        holes: the masks.
        bytes: how long all data and masks are.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.holes: list[str] = []
        self.bytes = 0
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._masks: dict[bytes, int] = {}

    def add(self, s: Snapshot) -> int:
        """The number of an array in `entries`."""
        data = s.data.tobytes()
        key = (s.axes, s.shape, data)
        if key not in self._numbers:
            self._numbers[key] = len(self.entries)
            entry: dict[str, Any] = {"axes": s.axes, "shape": s.shape, "norm": _digits(s.norm), **self._packed(s.data)}
            if any(k is not None for k in s.kept):
                entry["kept"] = s.kept
            self.entries.append(entry)
            self.bytes += len(entry["data"])
        return self._numbers[key]

    def _packed(self, x: np.ndarray) -> dict[str, Any]:
        for fill, value in ((0, 0.0), (None, -np.inf)):
            hole = x == value
            if hole.mean() > _SPARSE:
                return {"data": _base64(x[~hole].tobytes()), "fill": fill, "holes": self._mask(hole)}
        return {"data": _base64(x.tobytes())}

    def _mask(self, hole: np.ndarray) -> int:
        bits = np.packbits(hole, bitorder="little").tobytes()
        if bits not in self._masks:
            self._masks[bits] = len(self.holes)
            self.holes.append(_base64(bits))
            self.bytes += len(self.holes[-1])
        return self._masks[bits]

    def plain(self, x: np.ndarray, *axes: str) -> int:
        """Add a whole array whose axes are known."""
        x = np.asarray(x)
        return self.add(Snapshot(axes, x.shape, np.array(x, dtype=np.float32), (None,) * x.ndim, _norm(x)))

    def of_heads(self, x: np.ndarray, heads: Heads, *axes: str) -> int:
        """Add an array whose first axis counts heads, and keep those that are shown."""
        kept = heads.kept(len(x))
        part = np.array(x if kept is None else x[kept], dtype=np.float32)
        return self.add(Snapshot(("head", *axes), x.shape, part, (kept, *(None,) * len(axes)), _norm(x)))


def unpacked(entry: Mapping[str, Any], holes: Sequence[str]) -> np.ndarray:
    """The part of an array that an entry of a `Store` keeps."""
    kept = entry.get("kept") or [None] * len(entry["shape"])
    shape = [size if some is None else len(some) for size, some in zip(entry["shape"], kept, strict=True)]
    data = np.frombuffer(base64.b64decode(entry["data"]), np.float32)
    if "holes" not in entry:
        return data.reshape(shape)
    bits = np.frombuffer(base64.b64decode(holes[entry["holes"]]), np.uint8)
    hole = np.unpackbits(bits, count=int(np.prod(shape)), bitorder="little").astype(bool)
    x = np.full(hole.shape, -np.inf if entry["fill"] is None else entry["fill"], np.float32)
    x[~hole] = data
    return x.reshape(shape)


def _digits(x: float) -> float:
    return float(f"{x:.6g}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
