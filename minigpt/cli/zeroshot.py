"""`minigpt zeroshot`: what a pretrained model can do on a task that it was not trained for."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from minigpt import __version__
from minigpt.cli.abilities import CONTINUE
from minigpt.cli.common import figure_out, show
from minigpt.cli.task_examples import described, find_task, interval, read_task
from minigpt.core.backend import get_backend
from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.core.settings import require
from minigpt.distributed.join import join
from minigpt.evaluate.scoring import check_causal
from minigpt.evaluate.task_data import TaskData
from minigpt.evaluate.zeroshot import Finding, Settings, needs_others, zero_shot
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import load
from minigpt.tasks.prompts import ASKED
from minigpt.tasks.world import MADE
from minigpt.train.run_folder import find_run


def run(args: argparse.Namespace) -> None:
    ranks = join(__version__)
    if not ranks.first and not args.checkpoints:
        return  # of one checkpoint rank 0 has all to do
    if args.out is not None and not args.checkpoints:
        raise UserError("--out is where --checkpoints draws; give both")
    path = figure_out(args) if ranks.first else None
    settings, backend = Settings(args.rule, args.seed), get_backend(args.backend).name
    folder = (find_run if args.checkpoints else find_model)(args.run_folder, CONTINUE)
    loaded = load(folder, backend=backend)
    check_causal(loaded)
    tasks = read_tasks(args)
    if args.checkpoints:
        from minigpt.lab import skill  # matplotlib takes a second to import

        found = skill.drawn_curves(folder, path or folder / "zeroshot.png", tasks, settings, backend, ranks)
        if ranks.first:
            show(args, *found)
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
    require(bool(found), f"no task's files are in {args.data}")
    return found


def print_finding(finding: Finding) -> None:
    metrics, first = ", ".join(map(described, finding.scores)), finding.scores[0]
    print(f"{finding.task}: {metrics} on {first.count} examples; chance {finding.chance:.3f}; {finding.how}")
    others = {} if first.baseline_name == "chance" else {f"{first.baseline_name}, {first.metric}": first.baseline}
    others |= finding.beside
    if others:
        print("    for comparison: " + "; ".join(f"{name} {value:.3f}" for name, value in others.items()))


def finding_values(finding: Finding) -> dict[str, Any]:
    return {
        "count": finding.scores[0].count,
        "scores": {score.metric: interval(score) for score in finding.scores},
        "chance": finding.chance,
        "skill": finding.skill,
        "baseline": {finding.scores[0].baseline_name: finding.scores[0].baseline},
        "beside": finding.beside,
        "how": finding.how,
    }
