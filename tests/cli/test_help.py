"""The help comes at once: no command's help imports NumPy, and the names that it lists are those of the tables."""

import subprocess
import sys

from minigpt.blocks.mixed import DTYPES
from minigpt.cli.arguments import names
from minigpt.cli.commands import COMMANDS, Group
from minigpt.cli.convert import WRITERS
from minigpt.cli.tokenizer import OPTIONS, SPECIAL
from minigpt.lab.benchmark.shapes import GPU_SHAPES, SHAPES
from minigpt.lab.plan import GPUS
from minigpt.lab.scaling import SIZES
from minigpt.lab.scaling.family import CONTEXT
from minigpt.lab.scaling.results import QUESTIONS
from minigpt.tokenizers import KINDS
from minigpt.tokenizers.patterns import PATTERNS
from minigpt.train.optimizer import OPTIMIZERS


def test_no_help_needs_numpy_or_what_computes():
    lines = [[name, kind] for name, group in COMMANDS.items() if isinstance(group, Group) for kind in group.kinds]
    lines += [[name] for name in COMMANDS]
    code = f"""
import sys
from minigpt.cli import main
for line in (["--version"], ["--help"], ["smple"], ["train", "--steps", "0"], *([*line, "--help"] for line in {lines})):
    try:
        main(line)
    except SystemExit:
        pass
heavy = {{"numpy", "regex", "matplotlib", "threadpoolctl", "minigpt.models", "minigpt.tokenizers", "minigpt.interop"}}
heavy |= {{"minigpt.train.config", "minigpt.lab.plan", "minigpt.lab.scaling", "minigpt.evaluate.scoring"}}
print(heavy & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "set()", done.stderr
    assert done.stdout.startswith("minigpt 0.")
    for line in lines:
        assert f"usage: minigpt {' '.join(line)} [-h]" in done.stdout


def test_the_names_in_the_help_are_those_of_the_tables():
    assert ("float32", *DTYPES) == names.DTYPES
    assert tuple(KINDS) == names.TOKENIZERS
    assert tuple(PATTERNS) == names.PATTERNS
    assert names.OPTIMIZERS == OPTIMIZERS
    assert tuple(WRITERS) == names.FORMATS
    assert tuple(sorted(GPUS)) == names.GPUS
    assert tuple(map(str, SIZES)) == names.SIZES
    assert (names.CONTEXT, names.QUESTIONS) == (CONTEXT, QUESTIONS)
    assert {name: shape.about for name, shape in SHAPES.items()} == names.SHAPES
    assert set(names.GPU_SHAPES) == GPU_SHAPES.keys() - SHAPES.keys()
    assert set(OPTIONS) < set(KINDS) and list(SPECIAL) == ["allowed", "forbidden", "ignored"]
