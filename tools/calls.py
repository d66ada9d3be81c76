"""How much code one training step walks through: the functions that it enters, and the files that they stand in.

    python tools/calls.py               # the counts, for the loop to read and for the trainer
    python tools/calls.py --list        # and which functions, by file

The step is serial (one worker), of a GPT with one layer and dropout, from the batch that is drawn to the parameters
that are updated. Left out are

    what is made once before the first step (gradients, the optimizer's moments) or found out in it and remembered
        (masks, the number of cores): a step is made first that is not counted
    evaluation, which `train` of the loop begins and ends with, and in the trainer what tells of the step: log, progress
    functions of other packages, and comprehensions, which are functions in some versions of Python only
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

import numpy as np

from minigpt.core.backend import get_backend
from minigpt.core.params import Parameters
from minigpt.data.dataset import Dataset
from minigpt.models import GPT, GPTConfig
from minigpt.tokenizers import ByteTokenizer
from minigpt.train import loop
from minigpt.train.families import make_objective
from minigpt.train.objectives.causal import CausalConfig
from minigpt.train.optimizer import AdamW, OptimizerConfig
from minigpt.train.schedule import ScheduleConfig
from minigpt.train.settings import RunConfig, TrainConfig
from minigpt.train.trainer import Trainer

PACKAGE = Path(__file__).resolve().parents[1] / "minigpt"
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
MODEL = GPT(GPTConfig(vocab_size=256, layers=1, context=16, width=16, dropout=0.1))
TOKENS = np.arange(200) % 97
Step = Callable[[], object]


class Tracer:
    """Notes which functions of the package are entered, except inside those that are left out."""

    def __init__(self, *left_out: Callable[..., object]):
        self.entered: set[CodeType] = set()
        self._left_out = {function.__code__ for function in left_out}
        self._inside: FrameType | None = None  # of what is left out

    def trace(self, step: Step) -> None:
        step()
        sys.setprofile(self._note)
        try:
            step()
        finally:
            sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if self._inside is not None:
            if frame is self._inside and event == "return":
                self._inside = None
        elif event == "call" and code in self._left_out:
            self._inside = frame
        elif event == "call" and code.co_name not in COMPREHENSIONS and PACKAGE in parents(code):
            self.entered.add(code)

    def by_file(self) -> dict[str, list[str]]:
        """The names of the functions that were entered, under the files that they stand in."""
        files: dict[str, list[str]] = {}
        for code in sorted(self.entered, key=lambda code: (code.co_filename, code.co_firstlineno)):
            name = Path(code.co_filename).relative_to(PACKAGE.parent).as_posix()
            files.setdefault(name, []).append(code.co_qualname)
        return files


def parents(code: CodeType) -> list[Path]:
    """The folders that a function's file lies in."""
    return list(Path(code.co_filename).parents)


def loop_step() -> Tracer:
    """A step of `minigpt.train.loop`, with plain operations."""
    params, tracer = MODEL.init(seed=0), Tracer(loop.evaluate, Parameters.zeros_like, AdamW.__init__)
    settings = {"steps": 1, "rows": 4, "optimizer": OptimizerConfig(), "schedule": ScheduleConfig()}
    tracer.trace(lambda: loop.train(MODEL, params, TOKENS, TOKENS, **settings))
    return tracer


def trainer_step(operations: str) -> Tracer:
    """A step as `minigpt.train.trainer` makes it (see `minigpt.train.stepper`)."""
    train = TrainConfig(steps=2, batch=4, workers=1, operations=operations)
    config = RunConfig(model=MODEL.config, objective=CausalConfig(), train=train)
    tokenizer = ByteTokenizer()
    objective = make_objective(config, tokenizer)
    data = Dataset([TOKENS], [TOKENS], tokenizer, "")
    tracer = Tracer()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Path(folder), config, MODEL, objective, data, get_backend("numpy"))
        trainer.start()
        with trainer.session() as session:
            tracer.trace(lambda: session.stepper.make(trainer.state))
    return tracer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--list", action="store_true", help="name the functions as well")
    named = parser.parse_args().list
    traces = {
        "train/loop.py, plain operations": loop_step(),
        "train/trainer.py, plain operations": trainer_step("plain"),
        "train/trainer.py, fast operations": trainer_step("fast"),
    }
    for title, tracer in traces.items():
        files = tracer.by_file()
        print(f"{title}: {sum(map(len, files.values()))} functions in {len(files)} files")
        for file, functions in files.items() if named else ():
            print(f"  {file}: {', '.join(functions)}")


if __name__ == "__main__":
    main()
