"""The flash attention kernel phase by phase: what each block has in memory and registers, worked out from a trace.

The emulator's trace says which thread touched what between which barriers, and no numbers. They follow from it: a
thread that reads a number of K and then writes to shared memory has copied it. From the copies come the tiles, from the
tiles the scores, and from the scores the running maximum m and sum l of each row,

    m' = max(m, maxⱼ zⱼ),  r = exp(m − m'),  l' = r l + Σⱼ exp(zⱼ − m'),  a' = r a + Σⱼ exp(zⱼ − m') vⱼ,

in float32 and the kernel's order of tiles. At the end O = a / l and lse = m + log l, which tests hold to the kernel's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigpt import ops
from minigpt.kernels.attention import Flash
from minigpt.kernels.emulator import Emulation
from minigpt.lab.trace import SHARED, Launch, Trace

TILES = ("qs", "ks", "vs", "ps")  # in shared memory, in this order
_ACROSS = 16  # threads across a tile's columns: flash.cu's TX
_GLOBAL = ("q", "k", "v", "o", "lse")
_MASKED = np.float32(-1e30)


class Sizes(NamedTuple):
    """T, H, D and the rows of a tile, BR = BC."""

    tokens: int = 40
    heads: int = 2
    width: int = 16
    tile: int = 16

    @property
    def stride(self) -> int:
        """Words from row to row of a (tile, D) tile in shared memory: flash.cu's DS."""
        return -(-self.width // _ACROSS) * _ACROSS + 4

    @property
    def score_stride(self) -> int:
        """The same of the tile of scores, PS."""
        return self.tile + 4


SMALL = Sizes()
CAUSAL = ops.Mask(causal=True)


class Rows(NamedTuple):
    """The online softmax of a block's rows at a tile of keys, each (tile,).

    Attributes:
        largest: of the tile's scores.
        m_before, m, l_before, l: the running maximum and sum, before the tile and after it.
        shrink: exp(m_before − m).
        total: of the tile's exponentials.
    """

    largest: np.ndarray
    m_before: np.ndarray
    m: np.ndarray
    shrink: np.ndarray
    total: np.ndarray
    l_before: np.ndarray
    l: np.ndarray


class Phase(NamedTuple):
    """What a block did between two barriers, and what it has then.

    Attributes:
        block, phase: numbers, as the trace counts them.
        kind: "load", "scores", "mixture" or "write".
        keys: the first key of the tile at hand.
        touched: (array, "read" or "write") to the threads and elements, (n, 2), without doubles; elements of shared
            memory are words.
        shared: the four tiles (rows, stride).
        scores: the tile's, scaled, −∞ where the mask rules.
        sums: a (tile, D), the output so far, before it is divided by l.
        output, lse: what the last phase writes, else None.
    """

    block: int
    phase: int
    kind: str
    keys: int
    touched: dict[tuple[str, str], np.ndarray]
    shared: dict[str, np.ndarray]
    scores: np.ndarray | None
    rows: Rows | None
    sums: np.ndarray
    output: np.ndarray | None
    lse: np.ndarray | None


class Traced(NamedTuple):
    """A launch of flash_forward with what went in and came out."""

    sizes: Sizes
    mask: ops.Mask
    launch: Launch
    arrays: dict[str, np.ndarray]  # q, k, v, o: (1, T, H, D); lse: (1, H, T)


def run_flash(sizes: Sizes = SMALL, mask: ops.Mask = CAUSAL, seed: int = 0) -> Traced:
    """Emulate the kernel on random numbers, and trace it.

    Raises:
        UserError: there is no C++ compiler.
    """
    rng, trace = np.random.default_rng(seed), Trace()
    shape = (1, sizes.tokens, sizes.heads, sizes.width)
    q, k, v = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
    y, cache = Flash(emulation=Emulation(trace=trace), tile=sizes.tile).attention_forward(q, k, v, mask=mask)
    return Traced(sizes, mask, trace.launches[0], {"q": q, "k": k, "v": v, "o": y, "lse": cache.lse})


class Walk:
    """One block's way through the kernel; `phases` are made in order, each from the one before."""

    def __init__(self, traced: Traced, block: int):
        self._traced, self._sizes, self._block = traced, traced.sizes, block
        a = traced.launch.accesses
        self._accesses = a[a["block"] == block]
        self._names = list(traced.launch.arrays)
        tile, words = self._sizes.tile, self._sizes.tile * self._sizes.stride
        self._words = np.full(3 * words + tile * self._sizes.score_stride, np.nan, np.float32)  # as the emulator's
        self._sums = np.zeros((tile, self._sizes.width), np.float32)
        self._m, self._l = np.full(tile, _MASKED), np.zeros(tile, np.float32)
        self._first_query, self._head = block % traced.launch.grid[0] * tile, block // traced.launch.grid[0]
        self._keys = 0
        self.phases = [self._phase(int(phase)) for phase in np.unique(self._accesses["phase"])]

    def _phase(self, phase: int) -> Phase:
        accesses = self._accesses[self._accesses["phase"] == phase]
        touched = self._touched(accesses)
        scores = rows = output = lse = None
        if ("o", "write") in touched:
            kind = "write"
            some = np.where(self._l > 0, self._l, 1)  # a row with nothing to look at: zeros
            output = self._sums / some[:, None]
            lse = np.where(self._l > 0, self._m + np.log(some), 0)
        elif ("k", "read") in touched:
            kind = "load"
            self._copy(accesses)
        elif (SHARED, "write") in touched:
            kind = "scores"
            scores, rows = self._online_softmax()
        else:
            kind = "mixture"
            tiles = self._tiles()
            size = self._sizes
            self._sums = self._sums + tiles["ps"][:, : size.tile] @ tiles["vs"][:, : size.width]
        tiles = {name: x.copy() for name, x in self._tiles().items()}
        return Phase(self._block, phase, kind, self._keys, touched, tiles, scores, rows, self._sums.copy(), output, lse)

    def _touched(self, accesses: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        found = {}
        for number, name in [(-1, SHARED), *((self._names.index(name), name) for name in _GLOBAL)]:
            for write, verb in ((False, "read"), (True, "write")):
                a = accesses[(accesses["array"] == number) & (accesses["write"] == write)]
                if len(a):
                    found[name, verb] = _expanded(a)
        return found

    def _copy(self, accesses: np.ndarray) -> None:
        """Carry numbers from the arrays to shared memory, as each thread did: it reads a few, then writes as many.

        What it writes without having read is zeros: rows beyond the end.
        """
        for thread in np.unique(accesses["thread"]):
            held: list[float] = []
            for a in accesses[accesses["thread"] == thread]:
                elements = range(int(a["element"]), int(a["element"]) + int(a["count"]))
                if a["write"]:
                    for word in elements:
                        self._words[word] = held.pop(0) if held else 0.0
                else:
                    name = self._names[a["array"]]
                    held += [float(self._traced.arrays[name].reshape(-1)[e]) for e in elements]
                    if name == "k" and thread == 0:
                        self._keys = int(np.unravel_index(a["element"], self._traced.arrays[name].shape)[1])

    def _tiles(self) -> dict[str, np.ndarray]:
        """Views of the shared memory as flash.cu lays it out."""
        size, found, at = self._sizes, {}, 0
        for name in TILES:
            stride = size.score_stride if name == "ps" else size.stride
            found[name] = self._words[at : at + size.tile * stride].reshape(size.tile, stride)
            at += size.tile * stride
        return found

    def _online_softmax(self) -> tuple[np.ndarray, Rows]:
        """Scores of the two tiles in shared memory, and what they make of m, l and a."""
        size, tiles = self._sizes, self._tiles()
        q, k = (tiles[name][:, : size.width] for name in ("qs", "ks"))
        z = np.where(self._allowed(), q @ k.T * np.float32(1 / np.sqrt(size.width)), _MASKED)
        m_before, l_before, largest = self._m, self._l, z.max(axis=1)
        self._m = np.maximum(m_before, largest)
        shrink = np.exp(m_before - self._m)
        p = np.where(z == _MASKED, np.float32(0), np.exp(z - self._m[:, None]))
        total = p.sum(axis=1)
        self._l = l_before * shrink + total
        self._sums = self._sums * shrink[:, None]
        tiles["ps"][:, : size.tile] = p
        shown = [np.where(x == _MASKED, -np.inf, x).astype(np.float32) for x in (largest, m_before, self._m)]
        return np.where(z == _MASKED, -np.inf, z), Rows(*shown, shrink, total, l_before, self._l)

    def _allowed(self) -> np.ndarray:
        """Which of the tile's scores count: the key is there, and the mask lets the row see it."""
        n, tile = self._sizes.tokens, self._sizes.tile
        whole = np.ones((n + tile, n + tile), bool)  # rows beyond the end are computed too, and not kept
        allowed = self._traced.mask.allowed(np, *whole.shape)
        if allowed is not None:
            whole &= allowed.reshape(whole.shape)
        whole[:, n:] = False
        return whole[self._first_query : self._first_query + tile, self._keys : self._keys + tile]


def _expanded(a: np.ndarray) -> np.ndarray:
    """Accesses as (thread, element), one row an element, by thread and then element, without doubles."""
    counts = a["count"].astype(np.int64)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.unique(np.stack([np.repeat(a["thread"], counts), np.repeat(a["element"], counts) + within], 1), axis=0)
