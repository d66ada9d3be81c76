"""Does pretraining help? A pretrained model is fine-tuned beside the same model from scratch, task by task.

    python -m minigpt.lab.benchmark.transfer runs/tiny-1 --tasks story-cloze,rte,cola --seeds 2 --out runs/transfer
    python -m minigpt.lab.benchmark.transfer data/checkpoints/tiny --tasks sst2 --examples 10,30,100 --steps 94

Both see the same examples, by the same recipe, for as many epochs; each keeps its best checkpoint on dev, and the
table shows what it scores on test. With `--steps` all runs are equally long, however few the labels, and the last
weights count: a dev part that chooses among them would be more labels than there are to learn from. Each seed draws
other examples, other weights of the head and another order. The gain's interval holds 95% of its values on bootstrap
samples of the test examples and, where there are several, of each arm's seeds (of three seeds, such samples say a
little too little: their spread is √(2/3) of what it should be). The last column has no such fault and is wide: the mean
of the seeds' own gains, ± Student's t · s/√n (pretrained and from scratch have the same labels and order with a seed).
Runs that are there already are not made again, so what was stopped goes on; `--table` and `--figure` write what there
is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.files import write_atomically
from minigpt.evaluate.finetune_run import PREDICTIONS_FILE, RESULT_FILE, conclude, fine_tune, train
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import Loaded, load
from minigpt.lab.plot import save_figure, transfer_figure
from minigpt.tasks import TASKS
from minigpt.tasks import metrics as task_metrics
from minigpt.tasks.world import MADE, task_folder
from minigpt.train.finetuning import Request
from minigpt.train.opening import open_run
from minigpt.train.run_folder import is_run

ARMS = ("pretrained", "scratch")
_RESAMPLES = 1000
# The 97.5% quantile of Student's t with 1 … 9 degrees of freedom; more seeds take the last, which is a little too wide.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Comparison(NamedTuple):
    """One task: the headline metric of every seed of both arms on test, and the gain with its interval."""

    task: str
    examples: int  # to learn from; 0: all
    metric: str
    baseline: float
    pretrained: list[float]
    scratch: list[float]
    gain: float
    low: float
    high: float


def run_all(source: Loaded, tasks: list[str], request: Request, seeds: int, out: Path) -> None:
    """Make every run that is not there yet: OUT/TASK-EXAMPLES-ARM-SEED. `request.folder` is --data, or ""."""
    for task in tasks:
        for seed in range(seeds):
            for arm in ARMS:
                folder, started = out / f"{task}-{request.examples}-{arm}-{seed}", time.perf_counter()
                if (folder / RESULT_FILE).exists():
                    continue
                if is_run(folder):  # it was stopped
                    trainer = open_run(str(folder))
                    train(trainer)
                    conclude(trainer, time.perf_counter() - started)
                else:
                    data, settings = str(task_folder(task, request.folder or None)), request.settings
                    settings = (f"objective.draw={seed}", *settings)
                    one = request._replace(task=task, folder=data, seed=seed, settings=settings)
                    fine_tune(source, one, folder, folder.name, from_scratch=arm == "scratch")
                print(f"{folder}: {time.perf_counter() - started:.0f} s", file=sys.stderr)


def compare(out: Path, task: str, seeds: int, count: int, data: str = "") -> Comparison | None:
    """Read the runs of a task with so many examples; None if some are missing."""
    folders = {arm: [out / f"{task}-{count}-{arm}-{seed}" for seed in range(seeds)] for arm in ARMS}
    if not all((folder / RESULT_FILE).exists() for arm in ARMS for folder in folders[arm]):
        return None
    metric = TASKS[task].metrics[0]
    results = {arm: [_json(folder / RESULT_FILE)["test"] for folder in folders[arm]] for arm in ARMS}
    examples = TASKS[task].read(task_folder(task, data or None), "test")
    statistics: dict[str, list[Any]] = {arm: [] for arm in ARMS}
    for arm in ARMS:
        for folder in folders[arm]:
            predictions = _json(folder / PREDICTIONS_FILE)
            references = [task_metrics.reference(example) for example in examples[: len(predictions)]]
            statistics[arm].append(task_metrics.METRICS[metric][0](predictions, references))

    def gain(chosen: np.ndarray, drawn: np.ndarray) -> float:
        """Of some test examples, and for each arm of some seeds, (2, seeds)."""
        means = [np.mean([statistics[a][seed](chosen) for seed in own]) for a, own in zip(ARMS, drawn, strict=True)]
        return float(means[0] - means[1])

    size, draw = len(references), np.random.default_rng(0)
    samples = [gain(draw.integers(size, size=size), draw.integers(seeds, size=(2, seeds))) for _ in range(_RESAMPLES)]
    low, high = np.percentile(samples, (2.5, 97.5))
    values = {arm: [result[metric] for result in results[arm]] for arm in ARMS}
    baseline = results["scratch"][0][f"{metric}_baseline"]
    all_of_them = np.arange(size), np.tile(np.arange(seeds), (2, 1))
    return Comparison(task, count, metric, baseline, *values.values(), gain(*all_of_them), float(low), float(high))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def table(rows: list[Comparison]) -> str:
    """The comparisons as Markdown, values times 100 (but for BLEU, which is so already)."""
    lines = [
        "| task | labels | metric | no skill | from scratch | pretrained | gain [95%] | by seeds [95%] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        scale = 1 if r.metric == "bleu" else 100
        scratch, pretrained = (_mean_and_spread(x, scale) for x in (r.scratch, r.pretrained))
        gain = f"{scale * r.gain:+.1f} [{scale * r.low:+.1f}, {scale * r.high:+.1f}]"
        of = f"`{r.task}` | {r.examples or 'all'} | {r.metric} | {scale * r.baseline:.1f}"
        lines.append(f"| {of} | {scratch} | {pretrained} | {gain} | {_by_seeds(r, scale)} |")
    return "\n".join(lines)


def _mean_and_spread(values: list[float], scale: float) -> str:
    mean = f"{scale * np.mean(values):.1f}"
    return f"{mean} ± {scale * np.std(values, ddof=1):.1f}" if len(values) > 1 else mean


def _by_seeds(r: Comparison, scale: float) -> str:
    """The interval of the mean of each seed's own gain; of a single seed there is none."""
    gains = scale * (np.array(r.pretrained) - np.array(r.scratch))
    if len(gains) == 1:
        return "–"
    half = _STUDENT[min(len(gains) - 1, len(_STUDENT)) - 1] * gains.std(ddof=1) / np.sqrt(len(gains))
    return f"[{gains.mean() - half:+.1f}, {gains.mean() + half:+.1f}]"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m minigpt.lab.benchmark.transfer",
        description="Fine-tune a pretrained model and the same from scratch.",
    )
    made.add_argument("run", help="a pretrained run, or any model that minigpt.load opens")
    made.add_argument("--tasks", default=",".join(MADE), help="names, separated by commas; by default all of the world")
    made.add_argument("--seeds", type=int, default=1)
    made.add_argument("--examples", default="1000", help="to learn from; 0 takes all; several: 30,100,300")
    made.add_argument("--data", default="", metavar="DIR", help="what `minigpt data tasks` wrote, for other sizes")
    length = made.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, help="by default the recipe's")
    length.add_argument("--steps", type=int, help="so many in every run, whose last weights are judged")
    made.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    made.add_argument("--out", type=Path, default=Path("runs/transfer"), help="where the runs go")
    made.add_argument("--table", type=Path, help="write the table into this Markdown file")
    made.add_argument("--figure", type=Path, help="draw the table into this PNG file")
    made.add_argument("--json", action="store_true")
    return made


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    tasks = args.tasks.split(",")
    for task in tasks:
        if task not in MADE or "train" not in MADE[task].parts:
            raise UserError(f"{task!r} is no task of the story world with examples to learn from")
    counts = [int(word) for word in args.examples.split(",")]
    source = load(find_model(args.run))
    length = [f"train.{key}={args.steps}" for key in ("steps", "eval_every", "checkpoint_every")]
    settings = (*(["train.best=", *length] if args.steps else []), *args.settings)
    for count in counts:
        run_all(source, tasks, Request("", args.data, 0, args.epochs, count, settings), args.seeds, args.out)
    pairs = [(task, count) for task in tasks for count in counts]
    rows = [row for task, count in pairs if (row := compare(args.out, task, args.seeds, count, args.data))]
    if args.table:
        write_atomically(args.table, table(rows) + "\n")
    if args.figure:
        save_figure(transfer_figure(rows), args.figure)
    print(json.dumps([row._asdict() for row in rows]) if args.json else table(rows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"minigpt: error: {error}")
