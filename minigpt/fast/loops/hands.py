"""More hands for the products of a single token: threads that look for work, and sleep only when none comes.

A product takes 0.05 to 0.3 ms there, and waking a thread takes as long. So helpers look into a box where work is laid,
for half a millisecond after the last, and sleep only then. Nobody waits for a helper that has not begun: a product is
cut into pieces, whoever is free takes the next one, and the caller does what is left.

How work is cut and the order in which sums are added depend on the number of threads alone, never on who did what: the
bits are the same every time.
"""

from __future__ import annotations

import os
from threading import Event, Lock, Thread
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from minigpt.fast.loops.compiled import compiled
from minigpt.fast.loops.rows import dot_products, summed_rows

_PIECES = 4  # of a product, for each thread
_LOOKS = 1 << 20  # before a helper sleeps, about half a millisecond
_PATIENCE = 1 << 22  # looks for a helper's last piece; one that takes longer was kept from its core by another program,
_ALONE = 256  # and for so many products, a few tokens, the caller does without it
_FLOAT, _BYTE = np.float32, np.int8
SUMMED, DOTS, BYTES = 0, 1, 2  # what is to be done: `summed_rows`, or `dot_products` of floats or of bytes
# The box: numbers that one thread writes while others look have a line of the cache, eight numbers, to themselves.
_NEXT, _DONE, _PIECE_COUNT, _KIND, _X, _ROWS, _MATRIX, _HEIGHT, _WIDTH, _SCALE, _SCALES, _Y = 0, 8, *range(16, 26)


def _cell(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The address of box[place], the first two arguments."""
    box = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(box.data, [arguments[1]])


def _load_code(context: Any, box: Any, place: Any) -> Any:
    """box[place], and whatever was written before it was (an atomic load that acquires)."""
    return types.int64(box, place), lambda *call: call[1].load_atomic(_cell(*call), "acquire", 8)


def _store_code(context: Any, box: Any, place: Any, value: Any) -> Any:
    """box[place] = value, for others to see not before what was written earlier (an atomic store that releases)."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[2], _cell(context, builder, signature, arguments), "release", 8)
        return context.get_dummy_value()

    return types.void(box, place, types.int64), code


def _count_code(context: Any, box: Any, place: Any) -> Any:
    """box[place] before it is counted one up, by nobody else at the same time."""
    one = ir.Constant(ir.IntType(64), 1)
    return types.int64(box, place), lambda *call: call[1].atomic_rmw("add", _cell(*call), one, "acq_rel")


def _at_code(context: Any, address: Any) -> Any:
    """The address as a pointer, of which `carray` makes an array."""
    pointer = ir.PointerType(ir.IntType(8))
    return types.voidptr(types.int64), lambda *call: call[1].inttoptr(call[3][0], pointer)


_load, _store, _count, _at = (intrinsic(code) for code in (_load_code, _store_code, _count_code, _at_code))


@compiled
def _lay(box: np.ndarray, kind: int, x: np.ndarray, matrix: np.ndarray, scale: np.ndarray, y: np.ndarray) -> None:
    """Lay work into the box, where all that was there is done."""
    box[_KIND], box[_X], box[_ROWS] = kind, x.ctypes.data, x.shape[0]
    box[_MATRIX], box[_HEIGHT], box[_WIDTH] = matrix.ctypes.data, matrix.shape[0], matrix.shape[1]
    box[_SCALE], box[_SCALES], box[_Y] = scale.ctypes.data, scale.size, y.ctypes.data
    _store(box, _DONE, 0)
    _store(box, _NEXT, 0)  # from here on pieces are taken


@compiled
def _work(box: np.ndarray, looks: int) -> None:
    """Take pieces and do them, until so many looks in a row have found none."""
    pieces, left = box[_PIECE_COUNT], looks
    while left >= 0:
        if _load(box, _NEXT) >= pieces:
            left -= 1
            continue
        piece = _count(box, _NEXT)
        if piece >= pieces:
            continue
        rows, height, width = box[_ROWS], box[_HEIGHT], box[_WIDTH]
        first, last = height * piece // pieces, height * (piece + 1) // pieces
        if box[_KIND] == SUMMED:
            row, parts = carray(_at(box[_X]), (height,), _FLOAT), carray(_at(box[_Y]), (pieces, width), _FLOAT)
            summed_rows(row, carray(_at(box[_MATRIX]), (height, width), _FLOAT), parts[piece], first, last)
        else:
            x, y = carray(_at(box[_X]), (rows, width), _FLOAT), carray(_at(box[_Y]), (rows, height), _FLOAT)
            scale = carray(_at(box[_SCALE]), (box[_SCALES],), _FLOAT)
            if box[_KIND] == DOTS:
                dot_products(x, carray(_at(box[_MATRIX]), (height, width), _FLOAT), scale, y, first, last)
            else:
                dot_products(x, carray(_at(box[_MATRIX]), (height, width), _BYTE), scale, y, first, last)
        _count(box, _DONE)
        left = looks


@compiled
def _wait(box: np.ndarray) -> int:
    """Until every piece is done; how many looks it took."""
    looks = 0
    while _load(box, _DONE) < box[_PIECE_COUNT]:
        looks += 1
    return looks


@compiled
def _add(parts: np.ndarray, y: np.ndarray) -> None:
    """y = Σ parts, (P, O) to (O,), in their order."""
    for j in range(y.size):
        y[j] = parts[0, j]
    for p in range(1, len(parts)):
        for j in range(y.size):
            y[j] += parts[p, j]


def _new_box(pieces: int) -> np.ndarray:
    box = np.zeros(32, np.int64)
    box[[_NEXT, _PIECE_COUNT]] = pieces  # nothing to do
    return box


class Hands:
    """The caller and its helpers, who make one product at a time. Of one thread, the caller is alone."""

    def __init__(self, threads: int):
        self._pieces = _PIECES * threads if threads > 1 else 1
        self._box, self._own_box, self._alone = _new_box(self._pieces), _new_box(self._pieces), 0
        self._turn, self._awake, self._ended = Lock(), Event(), False
        self._helpers = [Thread(target=self._help, name="hands", daemon=True) for _ in range(threads - 1)]
        for helper in self._helpers:
            helper.start()

    def _help(self) -> None:
        while not self._ended:
            self._awake.wait()
            _work(self._box, _LOOKS)
            self._awake.clear()  # work that came just now the caller does alone, and the next wakes us

    def sum(self, x: np.ndarray, matrix: np.ndarray, y: np.ndarray) -> None:
        """y (O,) = x W, all of them contiguous and of float32."""
        parts = np.empty((self._pieces, len(y)), y.dtype)
        self._share(SUMMED, x, matrix, x, parts)
        _add(parts, y)

    def dots(self, x: np.ndarray, matrix: np.ndarray, scale: np.ndarray, y: np.ndarray) -> None:
        """All of `dot_products`, of float32 and, as the matrix may be, of bytes; all contiguous."""
        self._share(BYTES if matrix.dtype == np.int8 else DOTS, x, matrix, scale, y)

    def _share(self, kind: int, x: np.ndarray, matrix: np.ndarray, scale: np.ndarray, y: np.ndarray) -> None:
        with self._turn:
            alone = self._alone > 0
            box = self._own_box if alone else self._box
            if not alone and not self._awake.is_set():
                self._awake.set()
            _lay(box, kind, x, matrix, scale, y)
            _work(box, 0)
            late = _wait(box) > _PATIENCE
            self._alone = self._alone - 1 if alone else _ALONE * late

    def end(self) -> None:
        """Send the helpers home."""
        self._ended = True
        self._awake.set()
        for helper in self._helpers:
            helper.join()


def prepare() -> None:
    """Compile all of this, without a helper."""
    x, matrix, alone = np.ones((1, 4), np.float32), np.ones((4, 4), np.float32), Hands(1)
    alone.sum(x[0], matrix, x[0].copy())
    alone.dots(x, matrix, x[0], x.copy())
    alone.dots(x, matrix.astype(np.int8), x[0], x.copy())


_ALL: dict[int, Hands] = {}


def hands(threads: int) -> Hands:
    """So many threads, the same ones every time."""
    if threads not in _ALL:
        _ALL[threads] = Hands(threads)
    return _ALL[threads]


def _dismiss() -> None:
    while _ALL:
        _ALL.popitem()[1].end()


os.register_at_fork(before=_dismiss)  # a child has none of its parent's threads
