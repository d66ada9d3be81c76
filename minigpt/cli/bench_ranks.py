"""`mpiexec -n N minigpt bench step --ranks`: a step on ranks, the share of their exchange, what a rank holds."""

from __future__ import annotations

import argparse

from minigpt import __version__
from minigpt.cli.common import show
from minigpt.core.errors import UserError
from minigpt.distributed.join import join
from minigpt.lab.benchmark.ranks import bench_ranks
from minigpt.lab.benchmark.shapes import SHAPES


def run_ranks(args: argparse.Namespace) -> None:
    ranks = join(__version__)
    if ranks.size == 1:
        raise UserError("--ranks times several processes: mpiexec -n 2 minigpt bench step --ranks")
    names = args.shape or ["S", "M"]
    if args.against or args.profile or not set(names) <= set(SHAPES):
        raise UserError(f"with --ranks a step is timed alone, at shapes {', '.join(SHAPES)}")
    results = {name: bench_ranks(SHAPES[name], ranks, rounds=args.repeats) for name in names}
    lines = [f"{ranks.size} ranks, a shard each; step = forward + backward + AdamW, float32; medians [quartiles]"]
    for name, r in results.items():
        of_zero = f"{r['bytes'] / r['zero_bytes']:.3f} times what ZeRO's first stage says"
        low, high = r["ms_quartiles"]
        lines.append(
            f"{name}: {r['ms']:.1f} ms [{low:.1f}, {high:.1f}], fastest {r['ms_fastest']:.1f}; "
            f"{100 * r['exchange']:.1f}% of it is exchange and waiting "
            f"({100 * r['exchange_cpu']:.1f}% of processor time); parameters, gradients and moments take "
            f"{r['bytes'] / 1e6:.2f} MB on a rank, {of_zero}"
        )
    show(args, {"shapes": results, "ranks": ranks.size}, "\n".join(lines))
