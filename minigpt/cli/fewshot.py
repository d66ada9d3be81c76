"""`minigpt fewshot`: what a pretrained model makes of a task that it is shown examples of, in its context alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigpt.cli.abilities import CONTINUE
from minigpt.cli.common import figure_out, show
from minigpt.cli.task_examples import described, find_task, interval, read_task
from minigpt.core.backend import get_backend
from minigpt.core.progress import progress_bar
from minigpt.core.settings import require
from minigpt.evaluate.fewshot import DoesNotFit, Shots, few_shot
from minigpt.evaluate.scoring import check_causal
from minigpt.evaluate.task_data import TaskData, draw
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import Loaded, load
from minigpt.tasks.prompts import SHOWN
from minigpt.tasks.world.labels import Labelled


def run(args: argparse.Namespace) -> None:
    path = figure_out(args)
    backend = get_backend(args.backend).name
    folders = [find_model(args.run_folder, CONTINUE), *map(find_model, args.beside)]
    for folder in folders:
        check_causal(load(folder, backend=backend))
    data = read_questions(args)
    found: dict[str, list[Shots]] = {}
    with progress_bar(unit="text", leave=False) as bar:
        for folder in folders:
            bar.set_description_str(folder.name, refresh=False)
            found[_name(folder, found)] = measure(args, load(folder, backend=backend), data, bar.update)
    if path:
        from minigpt.lab import plot  # matplotlib takes a second to import

        plot.save_figure(plot.shots_figure(data.task.name, data.task.metrics[0], found), path)
    values = {name: [_values(s) for s in some] for name, some in found.items()}
    lines = []
    for name, some in found.items():
        lines.append(f"{name}: {data.task.name}, {some[0].score.count} questions, {some[0].how}")
        for shots, score, _ in some:
            baseline = f"{score.baseline_name} {score.baseline:.3f}"
            lines.append(f"    {shots:3} {'shot' if shots == 1 else 'shots'}: {described(score)}; {baseline}")
    show(args, {"task": data.task.name, "runs": values}, "\n".join(lines))


def read_questions(args: argparse.Namespace) -> TaskData:
    task = find_task(args.task, SHOWN)
    if task.kind is not Labelled:
        return read_task(args, task, others=args.shots != [0])
    require(args.data is None, "the lists of labels are drawn from the story world; they have no --data")
    return TaskData(task, draw(task.read("", args.split or "test"), args.limit, args.seed), [])


def measure(args: argparse.Namespace, loaded: Loaded, data: TaskData, on_row: Any) -> list[Shots]:
    """Each number of examples; without any given, twice as many each time until they do not fit."""
    settings = {"rule": args.rule, "gpt3": args.gpt3, "seed": args.seed, "on_row": on_row}
    if args.shots:
        descending = sorted(set(args.shots), reverse=True)  # what does not fit is known at once
        return [few_shot(loaded, data, shots, **settings) for shots in descending][::-1]
    most = len(data.examples[0].lines) if data.task.kind is Labelled else len(data.others)
    found, shots = [few_shot(loaded, data, 0, **settings)], 1
    while shots <= most:
        try:
            found.append(few_shot(loaded, data, shots, **settings))
        except DoesNotFit:
            break
        shots *= 2
    return found


def _name(folder: Path, taken: dict[str, Any]) -> str:
    name = folder.resolve().name
    return str(folder) if name in taken else name


def _values(s: Shots) -> dict[str, Any]:
    score = s.score
    return {
        "shots": s.shots,
        "metric": score.metric,
        **interval(score),
        "baseline": {score.baseline_name: score.baseline},
        "count": score.count,
        "how": s.how,
    }
