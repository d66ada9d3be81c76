"""For notebooks: what most of them use, in one line, and a command line in a cell.

`from minigpt.cli.notebook import *` brings

    math, tempfile, Path, islice, np, plt       Python, NumPy (np) and Matplotlib (plt)
    minigpt, ops, fast, tokenizers              the package; its operations, to be read and for speed; its tokenizers
    Run, Batch, GPT, GPTConfig                  what a pass needs, what it reads, and a model
    AdamW, OptimizerConfig, clip_factor, global_norm, ScheduleConfig, learning_rate, stepping, read_log      training
    storyworld, TASKS                           the story world's texts, and the tasks
    attention_maps, COLORS, draw_attention, draw_tokens, ink, shown, use_notebook_style                      figures
    check_exercise, hint, check_gradient, check_gradients, random_parameters                                 checks
    command, project_data                       a command as in a terminal; a file of the project's folder data/
"""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
import tempfile
from itertools import islice
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minigpt
from minigpt import fast, ops, tokenizers
from minigpt.blocks.run import Run
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.data import storyworld
from minigpt.data.batch import Batch
from minigpt.lab.inspect import attention_maps
from minigpt.lab.plot import COLORS, draw_attention, draw_tokens, ink, shown, use_notebook_style
from minigpt.lab.testing import check_exercise, check_gradient, check_gradients, hint, random_parameters
from minigpt.models import GPT, GPTConfig
from minigpt.tasks import TASKS
from minigpt.train.log import read_log
from minigpt.train.optimizer import AdamW, OptimizerConfig, clip_factor, global_norm
from minigpt.train.schedule import ScheduleConfig, learning_rate
from minigpt.train.stepper import stepping

# As in the docstring, line by line.
__all__ = ["Path", "islice", "math", "np", "plt", "tempfile"]
__all__ += ["fast", "minigpt", "ops", "tokenizers"]
__all__ += ["GPT", "Batch", "GPTConfig", "Run"]
__all__ += ["AdamW", "OptimizerConfig", "clip_factor", "global_norm"]
__all__ += ["ScheduleConfig", "learning_rate", "read_log", "stepping"]
__all__ += ["TASKS", "storyworld"]
__all__ += ["COLORS", "attention_maps", "draw_attention", "draw_tokens", "ink", "shown", "use_notebook_style"]
__all__ += ["check_exercise", "check_gradient", "check_gradients", "hint", "random_parameters"]
__all__ += ["command", "project_data"]


def command(line: str) -> None:
    """Run a command such as "minigpt train --steps 100" here; all that it says becomes the cell's output.

    Raises:
        RuntimeError: it is no command of minigpt, or it failed.
    """
    program, *arguments = shlex.split(line)
    if program != "minigpt":
        raise RuntimeError(f"only minigpt can be run, not {program}")
    with contextlib.redirect_stderr(sys.stdout):
        try:
            status = main(arguments)
        except SystemExit as stopped:  # --help, or arguments that do not parse
            status = stopped.code
    if status:
        raise RuntimeError(f"the command ended with {status}: {line}")


def project_data(name: str) -> Path:
    """The path of something in the project's folder data/, such as "checkpoints/tiny".

    It is looked for beside the package, and in the folder that the notebook runs in and those above it.

    Raises:
        UserError: it is in none of them.
    """
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parents[2], here, *here.parents):
        if (found := folder / "data" / name).exists():
            return found
    raise UserError(f"data/{name} is not there: run the notebook in a copy of the project (git clone), which has it")
