"""The results of tools/first_gpu_run.sh as the page docs/gpu.md: python tools/gpu_tables.py FOLDER > docs/gpu.md

What was not measured is left out, and said; predictions stand beside what was measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from minigpt.lab.roofline import CHIPS, STATED, rungs


def read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def head(machine: dict[str, Any]) -> list[str]:
    if not machine:
        return ["The machine was not described: its stage did not pass."]
    said = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [f"{machine['device']}, {machine['date']}; {said}.", ""]
    for name, c in machine["ceilings"].items():
        lines.append(f"- {name} ceiling: {c['flops'] / 1e12:.1f} TFLOP/s, {c['bytes'] / 1e12:.2f} TB/s")
    times = dict(machine["times"])
    moved = times.pop("bytes of an add")
    lines += [f"- {name}: {value:.3f}" for name, value in times.items()]
    return [*lines, f"- a bfloat16 add moves {moved / times['bfloat16 add, ms'] / 1e6:,.0f} GB/s"]


def predicted(device: str, shape: str, rung: str, *, backward: bool) -> str:
    """Milliseconds of the roofline, halved for a causal mask; or why there are none."""
    card = next((name for name in CHIPS if all(word in device for word in name.split())), None)
    b, h, t, d = map(int, shape.split("x"))
    name = {"cuda:mma": "mma, bfloat16"}.get(rung, rung.removeprefix("cuda:"))
    work = rungs(b * h, t, d, backward=backward).get(name)
    if card is None or work is None:
        return "none"
    (low, single, bandwidth), chip = STATED[card], CHIPS[card]
    pipe = low * chip.mma if rung == "cuda:mma" else single
    flops = work.products * 2.0 * b * h * t * t * d
    return f"{1e3 * max(flops / pipe / 2, (work.asked + work.shared) / chip.shared / 2, work.moved / bandwidth):.3f}"


def attention(result: dict[str, Any], device: str) -> list[str]:
    lines = [
        "| shape | implementation | pass | predicted, ms | measured, ms | host, ms | TFLOP/s |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    for shape, rows in result.get("shapes", {}).items():
        for name, row in rows.items():
            if "problem" in row:
                lines.append(f"| {shape} | {name} | left out: {row['problem']} | | | | |")
                continue
            for which in ("forward", "backward"):
                guess = predicted(device, shape, name, backward=which == "backward") if "cuda" in name else "none"
                one = row[which]
                lines.append(
                    f"| {shape} | {name} | {which} | {guess} | {one['ms']:.3f} | {one['host_ms']:.3f} "
                    f"| {one['flops_per_second'] / 1e12:.1f} |"
                )
    return lines if len(lines) > 2 else ["Not measured."]


def steps(result: dict[str, Any]) -> list[str]:
    lines = [
        "| shape | ms | host, ms | tokens/s | of the stated FLOP/s | over PyTorch's |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for name, one in result.get("shapes", {}).items():
        ratios = ", ".join(f"{ratio:.2f} x {who}" for who, ratio in one["ratio"].items()) or "not measured"
        share = one["utilisation"].get("stated")
        used = "unknown" if share is None else f"{100 * share:.0f}%"
        lines.append(
            f"| {name} | {one['ms']:.2f} | {one['host_ms']:.2f} | {one['tokens_per_second']:,.0f} | {used} | {ratios} |"
        )
    return lines if len(lines) > 2 else ["Not measured."]


def stages(folder: Path) -> list[str]:
    lines = ["| stage | what became of it | s | of | processors, s |", "|---|---|--:|--:|--:|"]
    for line in (folder / "stages.jsonl").read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        lines.append(f"| {one['stage']} | {one['status']} | {one['seconds']} | {one['limit']} | {one['processor']} |")
    return lines


def page(folder: Path) -> str:
    machine = read(folder, "machine")
    device = machine.get("device", "")
    parts = {
        "# On a GPU": head(machine),
        "## Stages": stages(folder),
        "## Attention, bfloat16, causal": attention(read(folder, "attention"), device),
        "## Attention, float32, causal": attention(read(folder, "attention32"), device),
        "## A training step, bfloat16": steps(read(folder, "step")),
        "## Against torch.compile": steps(read(folder, "compiled")),
    }
    return "\n".join(line for title, lines in parts.items() for line in (title, "", *lines, ""))


if __name__ == "__main__":
    print(page(Path(sys.argv[1])), end="")
