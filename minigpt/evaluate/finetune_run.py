"""One fine-tuning from beginning to end: the run's folder, the training, and the numbers that it comes to.

What was measured at the end, on dev and, where it has labels, on test, is kept as `result.json` in the run's folder,
and the predictions for test (or else dev) as `predictions.json`.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import get_backend
from minigpt.core.files import write_atomically
from minigpt.core.params import Parameters
from minigpt.distributed.ranks import ALONE, Ranks
from minigpt.interop.loaded import Loaded
from minigpt.tasks import TASKS
from minigpt.tasks.files import MissingPart
from minigpt.tasks.metrics import check_packages, reference
from minigpt.train.best import chosen_checkpoint
from minigpt.train.checkpoint import latest_checkpoint, load_state, load_weights
from minigpt.train.families import make_model, make_objective
from minigpt.train.finetuning import Request, Start, finetuning_config, start_weights, with_epochs
from minigpt.train.integrity import sealed, unsealed
from minigpt.train.objectives.task import TaskObjective
from minigpt.train.ranked import pool
from minigpt.train.report import Result
from minigpt.train.run_folder import RUNS, create_run, locked, rewrite_config
from minigpt.train.trainer import Trainer

RESULT_FILE, PREDICTIONS_FILE = "result.json", "predictions.json"


class Outcome(NamedTuple):
    """What a fine-tuned run comes to.

    Attributes:
        dev, test: what the objective reports there (see `TaskObjective.report`); None where there are no labels.
        sentences: the same in words, by part.
        predictions: for each example of the part that counts, test where it is labelled, else dev.
        best: the step of the checkpoint that was kept.
    """

    run: Path
    dev: dict[str, Any]
    test: dict[str, Any] | None
    sentences: dict[str, str]
    predictions: list[Any]
    references: list[Any]
    best: int
    steps: int
    seconds: float


def prepare(
    source: Loaded,
    request: Request,
    out: Path | None,
    name: str,
    *,
    from_scratch: bool = False,
    force: bool = False,
    fresh: Collection[str] = (),
    skip: Collection[str] = (),
    ranks: Ranks = ALONE,
) -> tuple[Trainer, Start]:
    """Make the run's folder, with its first checkpoint.

    Args:
        source: the pretrained model. With `from_scratch` only its shape and its tokenizer are used.
        name: what the run is called where `out` is None: runs/NAME-N.
    """
    config = finetuning_config(source.config, request)
    check_packages(TASKS[request.task].metrics)
    objective = make_objective(config, source.text)
    dataset = objective.load()
    config = with_epochs(config, request, len(dataset.train.rows))
    objective.config = config  # with the steps; nothing that batches depend on has changed
    model = make_model(config)
    backend = get_backend(config.train.backend)
    if from_scratch:
        start = Start(model.init(config.train.seed, config.train.dtype), ["everything"], [])
    else:
        host = {key: get_backend("numpy").to_host(x) for key, x in source.params.items()}
        same = source.config.task == request.task
        settings = {"seed": config.train.seed, "dtype": config.train.dtype, "same_task": same}
        start = start_weights(model, host, **settings, fresh=fresh, skip=skip)
    trainer = Trainer(out or RUNS / name, config, model, objective, dataset, backend, ranks)
    trainer.start(Parameters(model.specs, backend.asarray(start.params.flat)))
    trainer.run = create_run(out, name, config, source.text, trainer.save_in, force=force)
    return trainer, start


def train(trainer: Trainer, should_stop: Callable[[], bool] = lambda: False) -> Result:
    """Train from the newest checkpoint on."""
    with locked(trainer.run) if trainer.ranks.first else nullcontext():
        trainer.resume()
        return trainer.train(should_stop=should_stop)


def conclude(trainer: Trainer, seconds: float) -> Outcome:
    """Measure the best checkpoint on dev and test, and keep the numbers with the run."""
    c, dev = trainer.config, trainer.dataset.validation
    best, steps = trainer.best, trainer.state.step
    step = steps if best is None else best.step
    params = _weights(trainer)
    found: dict[str, Any] = {"dev": None, "test": None}
    sentences, last = {}, ([], [])
    with pool(trainer.ranks, c.train.workers) as threads:
        how = {"threads": threads, "passes": trainer.passes}
        objective = _tuned(trainer, params, how)
        for part, data in (("dev", dev), ("test", _test_part(objective))):
            if data is None:
                continue
            batches = objective.evaluation_batches(data, c.train.batch)
            score = objective.evaluate(trainer.model, params, batches, final=True, **how)
            found[part], sentences[part] = objective.report(score, data)
            examples = data.examples[: len(score.predictions)]
            last = score.predictions, [reference(example) for example in examples]
    outcome = Outcome(trainer.run, found["dev"], found["test"], sentences, *last, step, steps, seconds)
    if not trainer.ranks.first:
        return outcome
    kept = {"task": c.task, "dev": outcome.dev, "test": outcome.test, "best_step": step, "steps": steps}
    write_atomically(trainer.run / PREDICTIONS_FILE, json.dumps(last[0]) + "\n")
    write_atomically(trainer.run / RESULT_FILE, sealed(kept))
    return outcome


def _weights(trainer: Trainer) -> Parameters:
    """The weights of the best checkpoint, in float32 as everybody opens them; those at hand where they are that."""
    checkpoint = chosen_checkpoint(trainer.run, trainer.config.train.best)
    if checkpoint.name == f"step-{trainer.state.step}" and trainer.state.params.flat.dtype == np.float32:
        return trainer.state.params
    return load_weights(checkpoint, trainer.model, dtype="float32", backend=trainer.backend)


def concluded(run: Path) -> dict[str, Any] | None:
    """The numbers of a run that was trained and measured to its end; None where there is something left to do."""
    path = run / RESULT_FILE
    if not path.exists():
        return None
    try:
        kept = unsealed(path)
    except ValueError:  # it is damaged, or of before there were hashes: it is measured again
        return None
    return kept if kept.get("steps") == load_state(latest_checkpoint(run))["step"] else None


def _tuned(trainer: Trainer, params: Parameters, how: dict[str, Any]) -> TaskObjective:
    """The objective with what is chosen on dev, which becomes part of the run's configuration."""
    objective, config, dev = trainer.objective, trainer.config, trainer.dataset.validation
    if not objective.tunes:
        return objective
    batches = objective.evaluation_batches(dev, config.train.batch)
    settings = objective.tuned(dev, objective.gather(trainer.model, params, batches, **how).answers)
    if settings == objective.settings:
        return objective
    config = dataclasses.replace(config, objective=settings)
    if trainer.ranks.first:
        rewrite_config(trainer.run, config)
    return make_objective(config, objective.tokenizer)


def _test_part(objective: TaskObjective) -> Any:
    """The examples of the test part; None if there is none, or if nobody says what is right."""
    try:
        examples = objective.task.read(objective.config.data.sources[0], "test")
    except MissingPart:
        return None
    if not examples or any(reference(example) is None for example in examples):
        return None
    return objective.encoded(examples)


def fine_tune(source: Loaded, request: Request, out: Path | None, name: str, **options: Any) -> Outcome:
    """Prepare, train and conclude."""
    started = time.perf_counter()
    trainer, _ = prepare(source, request, out, name, **options)
    train(trainer)
    return conclude(trainer, time.perf_counter() - started)
