"""`minigpt fewshot`: what a pretrained model makes of a task that it is shown examples of, in its context alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigpt.cli.abilities import CONTINUE
from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import add_run_argument, at_least, figure_path, new_parser, print_json
from minigpt.cli.task_arguments import add_task_arguments, described, find_task, read_task
from minigpt.core.backend import get_backend
from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.evaluate.fewshot import DoesNotFit, Shots, few_shot
from minigpt.evaluate.scoring import RULES, check_causal
from minigpt.evaluate.task_data import TaskData, draw
from minigpt.evaluate.zeroshot import can_ask
from minigpt.interop.loaded import Loaded, load
from minigpt.tasks import TASKS, Summary
from minigpt.tasks.labels import LABELS, LABELS8
from minigpt.train.run_folder import find_model

OF_LISTS = (LABELS, LABELS8)
SHOWN = {task.name: task for task in OF_LISTS} | {
    name: task for name, task in TASKS.items() if can_ask(task) and task.kind is not Summary
}


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "fewshot",
        COMMANDS["fewshot"],
        "minigpt fewshot runs/tiny-1 --task labels --shots 0 1 2 4 8 --limit 200 --out shots.png",
    )
    add_run_argument(parser, also="; or any model that convert reads")
    parser.add_argument("--task", required=True, metavar="NAME", help=f"one of {', '.join(SHOWN)}")
    parser.add_argument(
        "--shots",
        type=at_least(0),
        nargs="+",
        metavar="K",
        help="how many examples stand before a question; by default 0, 1, 2, 4, … as long as they fit the context",
    )
    add_task_arguments(parser)
    parser.add_argument("--rule", choices=RULES, help="how options are compared (see zeroshot)")
    parser.add_argument("--gpt3", action="store_true", help="GPT-3's layout of RACE, LAMBADA and translations")
    parser.add_argument(
        "--beside", action="append", default=[], metavar="RUN", help="the same for another run; repeatable"
    )
    parser.add_argument("--out", metavar="FILE.png", help="draw the scores against K")
    parser.add_argument("--force", action="store_true", help="replace the picture in --out if there is one")
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.force and args.out is None:
        raise UserError("--force replaces the picture in --out; name it with --out")
    path = None if args.out is None else figure_path(args.out, force=args.force)
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
    if args.json:
        print_json({"task": data.task.name, "runs": {name: [_values(s) for s in some] for name, some in found.items()}})
        return 0
    for name, some in found.items():
        print(f"{name}: {data.task.name}, {some[0].score.count} questions, {some[0].how}")
        for s in some:
            shots = "shot" if s.shots == 1 else "shots"
            print(f"    {s.shots:3} {shots}: {described(s.score)}; {s.score.baseline_name} {s.score.baseline:.3f}")
    return 0


def read_questions(args: argparse.Namespace) -> TaskData:
    task = find_task(args.task, SHOWN)
    if task not in OF_LISTS:
        return read_task(args, task, others=args.shots != [0])
    if args.data is not None:
        raise UserError("the lists of labels are drawn from the story world; they have no --data")
    return TaskData(task, draw(task.read("", args.split or "test"), args.limit, args.seed), [])


def measure(args: argparse.Namespace, loaded: Loaded, data: TaskData, on_row: Any) -> list[Shots]:
    """Each number of examples; without any given, twice as many each time until they do not fit."""
    settings = {"rule": args.rule, "gpt3": args.gpt3, "seed": args.seed, "on_row": on_row}
    if args.shots:
        descending = sorted(set(args.shots), reverse=True)  # what does not fit is known at once
        return [few_shot(loaded, data, shots, **settings) for shots in descending][::-1]
    most = len(data.examples[0].lines) if data.task in OF_LISTS else len(data.others)
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
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "baseline": {score.baseline_name: score.baseline},
        "count": score.count,
        "how": s.how,
    }
