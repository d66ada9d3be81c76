"""What the benchmarks say: times with their intervals, and what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minigpt.lab.benchmark.events import Ceiling


def clock(name: str) -> str:
    return f"{'processor' if name == 'cpu' else 'wall'} time, medians [95% interval]"


def times(r: Mapping[str, Any]) -> str:
    """A shape's time and memory, and in further lines those of what it was compared with."""
    low, high = r["ms_interval"]
    lines = [f"{r['ms']:.1f} ms [{low:.1f}, {high:.1f}], {r['tokens_per_second']:,.0f} tokens/s"]
    if r["peak_mb"]:
        lines[0] += f", peak {r['peak_mb']:,.0f} MB"
    lines[0] += f"; {r['rounds']} rounds, {r['dropped']} disturbed ones dropped"
    for other, ratio in r["ratio"].items():
        low, high = r["ratio_interval"][other]
        what = {"gemm": "its own matrix products", "limit": "one product over the weights' bytes"}.get(other, other)
        memory = f", memory {r['memory_ratio'][other]:.2f}x" if other in r["memory_ratio"] else ""
        lines.append(f"   {ratio:.2f}x [{low:.2f}, {high:.2f}] {what} ({r['others_ms'][other]:.1f} ms){memory}")
    return "\n".join(lines)


def profile(results: Mapping[str, Mapping[str, float]], repeats: int, by: str) -> Iterator[str]:
    """Where a step's time goes: one thread, with the rows that one of two workers would have."""
    for name, parts in results.items():
        total = sum(parts.values())
        measured = f"{'processor' if by == 'cpu' else 'wall'} time, medians of {repeats}"
        yield f"{name}: {total:.1f} ms in one thread, half the batch; {measured}"
        yield from (f"   {operation:<28} {ms:9.3f} ms {100 * ms / total:6.1f}%" for operation, ms in parts.items())


def of_limit(r: Mapping[str, Any]) -> str:
    """How near decoding comes to what reading the weights allows."""
    low, high = r["of_limit_interval"]
    limit = f"{100 * r['of_limit']:.0f}% [{100 * low:.0f}, {100 * high:.0f}] of what reading the weights allows"
    return f"   {limit} ({r['gb_per_second']:.1f} GB/s)"


def scaling(records: list[dict[str, Any]]) -> Iterator[str]:
    for r in records:
        low, high = r["interval"]
        time = f"{r['us_per_token']:8.2f} µs per token [{low:.2f}, {high:.2f}]"
        yield f"{r['axis']:>8} {r['value']:5}  {r['operations']:<8}  {time}  {r['peak_mb'] or 0:7,.0f} MB"


def gpu_step(r: Mapping[str, Any]) -> str:
    lines = [f"{r['ms']:.2f} ms ({r['ms_p10']:.2f} to {r['ms_p90']:.2f}), {r['tokens_per_second']:,.0f} tokens/s"]
    lines[0] += f", pool {r['pool_mb']:,.0f} MB; attention {r['attention']}"
    lines += [f"   {100 * share:.0f}% of the {name} FLOP/s" for name, share in r["utilisation"].items()]
    lines += [f"   {r['ratio'][o]:.2f}x {o} ({r['others_ms'][o]:.2f} ms)" for o in r["ratio"]]
    return "\n".join(lines)


def ranks(r: Mapping[str, Any]) -> str:
    low, high = r["ms_quartiles"]
    return (
        f"{r['ms']:.1f} ms [{low:.1f}, {high:.1f}], fastest {r['ms_fastest']:.1f}; "
        f"{100 * r['exchange']:.1f}% of it is exchange and waiting "
        f"({100 * r['exchange_cpu']:.1f}% of processor time); parameters, gradients and moments take "
        f"{r['bytes'] / 1e6:.2f} MB on a rank, {r['bytes'] / r['zero_bytes']:.3f} times what ZeRO's first stage says"
    )


def ceiling(name: str, found: Ceiling) -> str:
    return f"{name} ceiling: {found.flops / 1e12:.1f} TFLOP/s, {found.bytes / 1e12:.2f} TB/s"


def attention(row: Mapping[str, Any]) -> str:
    """The times of both passes, or why there are none."""
    if "problem" in row:
        return f"left out: {row['problem']}"
    passes = []
    for one in (row["forward"], row["backward"]):
        of = "".join(f", {100 * share:.0f}% of {name}" for name, share in one["of_floor"].items())
        host = f" (host {one['host_ms']:.3f})" if one["host_ms"] else ""
        passes.append(f"{one['ms']:9.3f} ms{host} {one['flops_per_second'] / 1e12:7.3f} TFLOP/s{of}")
    return "   ".join(passes)


def tokenizer(result: Mapping[str, Any], repeats: int, by: str) -> Iterator[str]:
    how = f"medians of {repeats} interleaved runs [95% interval], {by} time"
    yield f"{result['bytes'] / 1e6:.2f} MB, {result['merges']} merges, {how}"
    for task, r in result["tasks"].items():
        ratios = "".join(
            f", {name} {s * 1e3:.0f} ms: {r['speed'][name]:.2f}x [{low:.2f}, {high:.2f}]"
            for (name, s), (low, high) in zip(r["others"].items(), r["speed_interval"].values(), strict=True)
        )
        yield f"{task:12} {r['seconds'] * 1e3:7.0f} ms, {r['mb_per_second']:5.1f} MB/s{ratios}"
    yield "x: our speed over theirs; above 1 we are faster"
