"""The roofline of attention, rung by rung, computed and not measured: `python -m minigpt.lab.roofline`.

Counted for dense self-attention of `heads` heads (batch rows times heads) over T tokens, each array moved to and from
memory once for every kernel that touches it: what a perfect cache would leave. Softmax's own arithmetic is left out.
A multiprocessor moves 128 bytes a clock between its registers and its first cache and shared memory, which are one: a
warp's 16-byte loads take four clocks, its 4-byte loads one, whether lanes share a number or not. What takes longest is
the prediction; `minigpt bench attention` measures.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

from minigpt.blocks.mixed import low_dtype
from minigpt.kernels.mma import Tiles, backward_tiles, forward_tiles
from minigpt.lab.benchmark.events import STATED


class Work(NamedTuple):
    """One pass of one rung.

    Attributes:
        products: products of T × T × D multiply-adds (of two floating-point operations each) for every head.
        scores: how often the T × T matrix goes through memory.
        moved: bytes to and from memory.
        asked: bytes that threads load from beyond their own block's shared memory; caches serve most of them.
        shared: bytes to and from shared memory, at 128 a clock and multiprocessor.
    """

    products: int
    scores: int
    moved: float
    asked: float
    shared: float


class Chip(NamedTuple):
    """Multiprocessors and their clock (that of the stated peak), and the part of it that mma.sync reaches.

    Hopper keeps its full rate for wgmma; mma.sync reaches 0.62 of it (Luo et al. 2024, arXiv:2402.13499).
    """

    multiprocessors: int
    clock: float
    mma: float = 1.0

    @property
    def shared(self) -> float:
        """Bytes a second to and from shared memory and the first cache."""
        return 128 * self.multiprocessors * self.clock


CHIPS = {
    "H100": Chip(132, 1.83e9, 0.62),
    "H200": Chip(132, 1.83e9, 0.62),
    "A100": Chip(108, 1.41e9),
    "L4": Chip(58, 2.04e9),
    "RTX 4090": Chip(128, 2.52e9),
}


def naive_or_tiled(heads: int, t: int, d: int, *, tile: int, backward: bool) -> Work:
    """Rungs 1 (tile 1) and 2 (tile 64): a product loads each operand once for `tile` rows or columns of its result.

    A thread of rung 2 loads two times 16 bytes from shared memory for 16 multiply-adds.
    """
    matrix, rows = 4.0 * heads * t * t, 4.0 * heads * t * d  # bytes of T × T scores and of one (T, D) array
    products, scores, arrays = (4, 7, 8) if backward else (2, 4, 4)
    asked = products * 8.0 * heads * t * t * d / tile + (4 if backward else 3) * matrix  # softmax passes over rows
    shared = 0.0 if tile == 1 else products * 2.0 * heads * t * t * d
    return Work(products, scores, scores * matrix + arrays * rows, asked, shared)


def flash(heads: int, t: int, d: int, *, size: int, tile: int, backward: bool, shared: float = 0.0) -> Work:
    """Rungs 3 and 4, dQ in a pass of its own: a block owns `tile` rows, and the others pass by."""
    rows, sums = float(size * heads * t * d), 4.0 * heads * t  # bytes of one (T, D) array, and of log-sum-exps or δ
    passing = 2 * rows * t / tile
    if backward:
        return Work(7, 0, 13 * rows + 5 * sums, 2 * (2 * rows + passing) + 2 * rows, shared)
    return Work(2, 0, 4 * rows + sums, rows + passing, shared)


def flash_shared(heads: int, t: int, d: int, *, tile: int, backward: bool) -> float:
    """Of rung 3: rows times rows load 16 bytes a lane, scores times rows 4, of which a thread owns so many of each."""
    rows, columns = tile // 16, -(-d // 16)
    with_rows = 4.0 * (rows + rows) / (rows * rows)  # bytes for a multiply-add
    with_scores = 4.0 * (columns + rows) / (columns * rows)
    first, second = (4, 3) if backward else (1, 1)
    return heads * t * t * d * (first * with_rows + second * with_scores)


def mma_shared(heads: int, t: int, d: int, tiles: Tiles, *, backward: bool, warps: int = 4) -> float:
    """Of rung 4, in 16 bits: a warp loads its own rows for Q Kᵀ, and all that pass by for every product."""
    own, stream = 2.0 * tiles.own * d, 2.0 * tiles.stream * d  # bytes of the two tiles
    kernels = ((2, 4), (2, 3)) if backward else ((1, 2),)  # products that load own rows, and products in all
    a_tile = sum(rows * own + (warps * products + 2) * stream for rows, products in kernels)  # 2: copied in
    return heads * a_tile * (t / tiles.own) * (t / tiles.stream)


def rungs(heads: int, t: int, d: int, *, backward: bool) -> dict[str, Work]:
    """The work of every rung, by its name."""
    tile, tiles = 64 if d <= 64 else 32, (backward_tiles if backward else forward_tiles)(low_dtype("bfloat16"), d)
    shared = flash_shared(heads, t, d, tile=tile, backward=backward)
    mma = mma_shared(heads, t, d, tiles, backward=backward)
    return {
        "naive": naive_or_tiled(heads, t, d, tile=1, backward=backward),
        "tiled": naive_or_tiled(heads, t, d, tile=64, backward=backward),
        "flash": flash(heads, t, d, size=4, tile=tile, backward=backward, shared=shared),
        "mma, bfloat16": flash(heads, t, d, size=2, tile=tiles.own, backward=backward, shared=mma),
    }


def table(heads: int, t: int, d: int, gpu: str) -> str:
    """A row for each rung and pass: what it does, what it moves, and the times below which it cannot be."""
    (low, single, bandwidth), chip = STATED[gpu], CHIPS[gpu]
    lines = [
        f"{gpu}: {single / 1e12:g} TFLOP/s in float32, {low / 1e12:g} in bfloat16 ({low * chip.mma / 1e12:.0f} by "
        f"mma.sync), {bandwidth / 1e12:g} TB/s, shared memory {chip.shared / 1e12:.0f} TB/s; "
        f"{heads} heads, T = S = {t}, D = {d}, no mask",
        "",
        "| rung | pass | GFLOP | T × T moved | moved, MB | asked for, MB | shared, GB | arithmetic, ms | on chip, ms "
        "| memory, ms | predicted, ms | measured, ms |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for backward in (False, True):
        for name, work in rungs(heads, t, d, backward=backward).items():
            flops = work.products * 2.0 * heads * t * t * d
            pipe = low * chip.mma if name.startswith("mma") else single
            times = 1e3 * flops / pipe, 1e3 * (work.asked + work.shared) / chip.shared, 1e3 * work.moved / bandwidth
            lines.append(
                f"| {name} | {'backward' if backward else 'forward'} | {flops / 1e9:.1f} | {work.scores} "
                f"| {work.moved / 1e6:.0f} | {work.asked / 1e6:,.0f} | {work.shared / 1e9:.1f} "
                f"| {times[0]:.3f} | {times[1]:.3f} | {times[2]:.3f} | {max(times):.3f} | not yet |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m minigpt.lab.roofline", description=__doc__.split("\n")[0])
    parser.add_argument("--gpu", choices=CHIPS, help="one of them; all by default")
    parser.add_argument("--heads", type=int, default=128, help="batch rows times heads")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--width", type=int, choices=range(16, 129, 16), default=64, help="of a head")
    args = parser.parse_args()
    for gpu in [args.gpu] if args.gpu else CHIPS:
        print(table(args.heads, args.tokens, args.width, gpu), end="\n" if args.gpu else "\n\n")


if __name__ == "__main__":
    main()
