"""The roofline of attention, rung by rung, computed and not measured: `python -m minigpt.lab.benchmark.roofline`.

Counted for dense self-attention of `heads` heads (batch rows times heads) over T tokens, each array moved to and from
memory once for every kernel that touches it: what a perfect cache would leave. Softmax's own arithmetic is left out.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

from minigpt.blocks.mixed import low_dtype
from minigpt.kernels.mma import backward_tiles, forward_tiles
from minigpt.lab.benchmark.events import STATED, Ceiling


class Work(NamedTuple):
    """One pass of one rung.

    Attributes:
        products: products of T × T × D multiply-adds (of two floating-point operations each) for every head.
        scores: how often the T × T matrix goes through memory.
        moved: bytes to and from memory.
        asked: bytes that threads load from beyond their own block's shared memory; caches serve most of them.
    """

    products: int
    scores: int
    moved: float
    asked: float


def naive_or_tiled(heads: int, t: int, d: int, *, tile: int, backward: bool) -> Work:
    """Rungs 1 (tile 1) and 2 (tile 64): a product loads each operand once for `tile` rows or columns of its result."""
    matrix, rows = 4.0 * heads * t * t, 4.0 * heads * t * d  # bytes of T × T scores and of one (T, D) array
    products, scores, arrays = (4, 7, 8) if backward else (2, 4, 4)
    asked = products * 8.0 * heads * t * t * d / tile + (4 if backward else 3) * matrix  # softmax passes over rows
    return Work(products, scores, scores * matrix + arrays * rows, asked)


def flash(heads: int, t: int, d: int, *, size: int, tile: int, backward: bool) -> Work:
    """Rungs 3 and 4, dQ in a pass of its own: a block owns `tile` rows, and the others pass by."""
    rows, sums = float(size * heads * t * d), 4.0 * heads * t  # bytes of one (T, D) array, and of log-sum-exps or δ
    passing = 2 * rows * t / tile
    if backward:
        return Work(7, 0, 13 * rows + 5 * sums, 2 * (2 * rows + passing) + 2 * rows)
    return Work(2, 0, 4 * rows + sums, rows + passing)


def table(heads: int, t: int, d: int, gpu: str) -> str:
    """A row for each rung and pass: what it does, what it moves, and the times below which it cannot be."""
    low, single, bandwidth = STATED[gpu]
    fp32, bf16 = Ceiling(single, bandwidth), Ceiling(low, bandwidth)
    lines = [
        f"{gpu}: {single / 1e12:g} TFLOP/s in float32, {low / 1e12:g} in bfloat16, {bandwidth / 1e12:g} TB/s; "
        f"{heads} heads, T = S = {t}, D = {d}, no mask",
        "",
        "| rung | pass | GFLOP | T × T moved | moved, MB | asked for, MB | FLOP / byte | arithmetic, ms | memory, ms |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    bfloat16, fp32_tile = low_dtype("bfloat16"), 64 if d <= 64 else 32
    for backward in (False, True):
        own = (backward_tiles if backward else forward_tiles)(bfloat16, d).own
        rungs = [
            ("naive", naive_or_tiled(heads, t, d, tile=1, backward=backward), fp32),
            ("tiled", naive_or_tiled(heads, t, d, tile=64, backward=backward), fp32),
            ("flash", flash(heads, t, d, size=4, tile=fp32_tile, backward=backward), fp32),
            ("mma, bfloat16", flash(heads, t, d, size=2, tile=own, backward=backward), bf16),
        ]
        for name, work, ceiling in rungs:
            flops = work.products * 2.0 * heads * t * t * d
            times = 1e3 * flops / ceiling.flops, 1e3 * work.moved / ceiling.bytes
            lines.append(
                f"| {name} | {'backward' if backward else 'forward'} | {flops / 1e9:.1f} | {work.scores} "
                f"| {work.moved / 1e6:.0f} | {work.asked / 1e6:,.0f} | {flops / work.moved:.0f} "
                f"| {times[0]:.3f} | {times[1]:.3f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minigpt.lab.benchmark.roofline", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--gpu", choices=STATED, default="H200")
    parser.add_argument("--heads", type=int, default=128, help="batch rows times heads")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--width", type=int, choices=range(16, 129, 16), default=64, help="of a head")
    args = parser.parse_args()
    print(table(args.heads, args.tokens, args.width, args.gpu))


if __name__ == "__main__":
    main()
