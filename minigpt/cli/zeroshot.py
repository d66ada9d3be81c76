"""`minigpt zeroshot`: what a pretrained model can do on a task that it was not trained for."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from minigpt import __version__
from minigpt.cli.abilities import CONTINUE
from minigpt.cli.common import check_force, figure_path, show
from minigpt.cli.task_examples import described, find_task, read_task
from minigpt.core.backend import get_backend
from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.distributed.join import join
from minigpt.distributed.ranks import Ranks
from minigpt.evaluate.scoring import check_causal
from minigpt.evaluate.task_data import TaskData
from minigpt.evaluate.zeroshot import Finding, Settings, needs_others, zero_shot
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import load
from minigpt.lab import skill
from minigpt.tasks.prompts import ASKED
from minigpt.tasks.world import MADE
from minigpt.train.integrity import checkpoint_paths
from minigpt.train.run_folder import find_run


def run(args: argparse.Namespace) -> None:
    ranks = join(__version__)
    if not ranks.first and not args.checkpoints:
        return  # of one checkpoint rank 0 has all to do
    if args.out is not None and not args.checkpoints:
        raise UserError("--out is where --checkpoints draws; give both")
    check_force(args, "picture")
    path = None if args.out is None or not ranks.first else figure_path(args.out, force=args.force)
    settings, backend = Settings(args.rule, args.seed), get_backend(args.backend).name
    folder = (find_run if args.checkpoints else find_model)(args.run_folder, CONTINUE)
    loaded = load(folder, backend=backend)
    check_causal(loaded)
    tasks = read_tasks(args)
    if args.checkpoints:
        _over_checkpoints(args, folder, path or folder / "zeroshot.png", tasks, settings, backend, ranks)
        return
    findings = []
    with progress_bar(unit="text", leave=False) as bar:
        for data in tasks:
            bar.set_description_str(data.task.name, refresh=False)
            findings.append(zero_shot(loaded, data.task, data.examples, data.others, settings, on_row=bar.update))
            if not args.json:
                bar.clear()
                print_finding(findings[-1])
    if args.json:
        print(json.dumps({"run": str(folder), "tasks": {f.task: finding_values(f) for f in findings}}))


def read_tasks(args: argparse.Namespace) -> list[TaskData]:
    """The tasks that were asked for; of all, those that the story world has, or whose files are there."""
    if "all" not in args.task:
        named = [find_task(name, ASKED) for name in dict.fromkeys(args.task)]
        return [read_task(args, task, others=needs_others(task)) for task in named]
    found = []
    for task in ASKED.values():
        if args.data is None and task.name not in MADE:
            continue
        try:
            found.append(read_task(args, task, others=needs_others(task)))
        except UserError as error:
            print(f"without {task.name}: {error}", file=sys.stderr)
    if not found:
        raise UserError(f"no task's files are in {args.data}")
    return found


def print_finding(finding: Finding) -> None:
    metrics = ", ".join(map(described, finding.scores))
    print(
        f"{finding.task}: {metrics} on {finding.scores[0].count} examples; chance {finding.chance:.3f}; {finding.how}"
    )
    first = finding.scores[0]
    others = {} if first.baseline_name == "chance" else {f"{first.baseline_name}, {first.metric}": first.baseline}
    others |= finding.beside
    if others:
        print("    for comparison: " + "; ".join(f"{name} {value:.3f}" for name, value in others.items()))


def finding_values(finding: Finding) -> dict[str, Any]:
    scores = {s.metric: {"value": s.value, "low": s.low, "high": s.high} for s in finding.scores}
    return {
        "count": finding.scores[0].count,
        "scores": scores,
        "chance": finding.chance,
        "skill": finding.skill,
        "baseline": {finding.scores[0].baseline_name: finding.scores[0].baseline},
        "beside": finding.beside,
        "how": finding.how,
    }


# Over the checkpoints of a run.


def _over_checkpoints(
    args: argparse.Namespace,
    folder: Path,
    path: Path,
    tasks: list[TaskData],
    settings: Settings,
    backend: str,
    ranks: Ranks,
) -> None:
    from minigpt.lab import plot  # matplotlib takes a second to import

    total = -(-len(checkpoint_paths(folder)) // ranks.size) * len(tasks)
    with progress_bar(total=total, unit="measurement", leave=False) as bar:
        how = {"backend": backend, "ranks": ranks, "on_done": lambda step, finding: bar.update()}
        curves = skill.skill_curves(folder, tasks, settings, **how)
    if not ranks.first:
        return
    plot.save_figure(plot.skill_figure(curves), path)
    values = {"run": str(folder), "figure": str(path), "curves": {c.task: skill.curve_values(c) for c in curves}}
    meaning = "skill = (score − chance)/(best − chance); " + "; ".join(skill.constants(c) for c in curves)
    show(args, values, f"{skill.skill_table(curves)}\n{meaning}\n{path}")
