"""Stored outputs are those of the code as it is now; and what makes them older is what the notebook ran, no more."""

import ast
import os
import subprocess
import sys

import pytest

from tools.notebooks import executing, fingerprint, recording

pytestmark = pytest.mark.notebooks

PROGRAM = {
    "__init__.py": "from sums.adding import add\nfrom sums.sizes import LARGE\n",
    "adding.py": '''"""Adding."""
import math
from sums import sizes
from .twice import twice

LIMIT = 3  # a comment
UNUSED = 4


class Base:
    step = 1

    def plus(self, x):
        return x + self.step


class Sum(Base):
    def minus(self, x):
        return x - self.step


def add(x: int) -> int:
    """Add."""
    def inner():
        return twice(x)

    return Sum().plus(inner()) + LIMIT + sizes.SMALL


def other(x):
    return math.sqrt(x)
''',
    "twice.py": "def twice(x):\n    return x + x\n\n\ndef thrice(x):\n    return x + x + x\n",
    "sizes.py": "SMALL, LARGE = 1, 2\n\n\ndef size():\n    return open(__file__[:-8] + 'size.txt').read()\n",
    "never.py": "def f():\n    return 1\n",
}
CELLS = ["import sums\nx = sums.add(1)", "from sums.sizes import size\nsize()  # a comment"]
CHANGES = [  # what is changed, and whether the outputs are older than it
    ("adding", "x + self.step", "x + 2 * self.step", True),
    ("adding", "x - self.step", "x - 2 * self.step", False),
    ("adding", "    def minus", "    def plus(self, x):\n        return x\n\n    def minus", True),
    ("adding", "return twice(x)", "return 2 * twice(x)", True),
    ("adding", "LIMIT = 3", "LIMIT = 5", True),
    ("adding", "step = 1", "step = 2", True),
    ("adding", "from .twice import twice", "from .twice import thrice as twice", True),
    ("adding", "import math", "import cmath as math", False),
    ("adding", "UNUSED = 4", "UNUSED = 5", False),
    ("adding", '"""Add."""', '"""Subtract."""', False),
    ("adding", "  # a comment", "", False),
    ("adding", "x: int", "x: float", False),
    ("adding", "math.sqrt(x)", "math.exp(x)", False),
    ("adding", "UNUSED = 4", "UNUSED = 4\nprint(UNUSED)", True),
    ("twice", "return x + x\n", "return 2 * x\n", True),
    ("twice", "return x + x + x", "return 3 * x", False),
    ("sizes", "SMALL, LARGE = 1, 2", "SMALL, LARGE = 2, 2", True),
    ("never", "return 1", "return 2", False),
]


def code(cells):
    return [{"cell_type": "code", "source": [cell], "outputs": [], "execution_count": 1} for cell in cells]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A package, a program's cells, and what is recorded while they run in a process that starts another and forks."""
    root = tmp_path_factory.mktemp("program")
    package, folder = root / "sums", root / "recording"
    folder.mkdir()
    package.mkdir()
    for name, text in PROGRAM.items():
        (package / name).write_text(text, encoding="utf-8")
    (package / "size.txt").write_text("7", encoding="utf-8")
    for installed in ("sums.egg-info", ".venv"):
        (root / installed).mkdir()
        (root / installed / "names.txt").touch()
    variables = os.environ | recording.environment(package, folder)
    script = (
        "import os, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {CELLS[0]!r}], check=True)\n"
        "open('sums.egg-info/names.txt'), open('.venv/names.txt')\n"
        f"if os.fork() == 0:\n    exec({CELLS[1]!r})\n    os.kill(os.getpid(), 9)\nos.wait()\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=root, env=variables, check=True, timeout=600)
    return package, recording.recorded(package, folder)


def test_what_is_entered_is_recorded(program):
    _, used = program
    assert used.functions == {
        "sums": set(),
        "sums.adding": {"add", "Base.plus"},
        "sums.twice": {"twice"},
        "sums.sizes": {"size"},
    }
    assert used.files == ["sums/size.txt"]  # and not what an installation left there: that differs by machine


@pytest.mark.parametrize("module, before, after, older", CHANGES)
def test_what_makes_outputs_old(program, module, before, after, older):
    package, used = program
    taken = fingerprint.take(fingerprint.Source(package), CELLS, used)
    text = PROGRAM[f"{module}.py"]
    assert text.count(before) == 1 or before == "x + self.step"
    changed = fingerprint.Source(package, {f"sums.{module}": text.replace(before, after)})
    assert fingerprint.changes(fingerprint.again(fingerprint.Source(package), CELLS, taken), taken) == []
    found = fingerprint.changes(fingerprint.again(changed, CELLS, taken), taken)
    assert found == ([f"sums.{module}"] if older else [])


def test_cells_and_files_make_outputs_old(program):
    package, used = program
    source = fingerprint.Source(package)
    taken = fingerprint.take(source, CELLS, used)
    assert fingerprint.again(source, [CELLS[0], CELLS[1].replace("comment", "word")], taken) == taken
    assert fingerprint.changes(fingerprint.again(source, [CELLS[0].replace("1", "2"), CELLS[1]], taken), taken) == [
        "its cells"
    ]
    missing = {**taken, "files": {"sums/size.txt": "other", "sums/gone.txt": "one"}}
    assert fingerprint.changes(fingerprint.again(source, CELLS, missing), missing) == ["sums/size.txt", "sums/gone.txt"]


def test_outputs_as_they_are_stored():
    def stream(text, name="stdout"):
        return {"output_type": "stream", "name": name, "text": text}

    (joined,) = executing.small([stream("one \n 1%\r 2%"), stream("\r done\n")])
    assert joined["text"] == ["one\n", " done\n"]
    notebook = {"cells": [{**cell, "id": "a"} for cell in code(CELLS)]}
    assert executing.faults(notebook) == ["cell a: it has not been executed"]
    notebook["cells"][1]["execution_count"] = 2
    assert executing.faults(notebook) == []
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}
    notebook["cells"][0]["outputs"] = [stream("x.py:1: UserWarning: beware\n"), stream("odd", "stderr"), error]
    assert executing.faults(notebook) == [
        "cell a: x.py:1: UserWarning: beware",
        "cell a: odd",
        "cell a: ValueError: no",
    ]
    notebook["cells"][0]["outputs"] = [stream("x" * executing.MOST)]
    assert executing.faults(notebook) == ["its outputs have 400 kB, and may have 400"]


@pytest.fixture(scope="module")
def source():
    return fingerprint.Source(executing.PACKAGE)


@pytest.mark.parametrize("path", executing.NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_not_older_than_their_code(path, source):
    """If this fails, `python -m tools.notebooks` executes what is old and stores it."""
    assert executing.outdated(source, executing.read(path)) == []


RUN = {  # a function, and the notebooks that run it, as their texts say
    ("lab.explain.building", "build"): {"00-start-here"},
    ("tokenizers.wordpiece_train", "learn_pieces"): {"01-text-to-tokens"},
    ("ops.rope", "rope_forward"): {"02-embeddings-and-positions", "16-llama"},
    ("ops.norm", "rmsnorm_backward"): {"04-layer-norm", "16-llama"},
    ("kernels.attention", "attention_forward"): {"09-cuda"},
    ("data.masking", "mask_tokens"): {"13-bert"},
    ("data.noising", "add_noise"): {"14-bart"},
    ("evaluate.fewshot", "few_shot"): {"15-gpt3"},
    ("interop.llama2c", "write_model"): {"16-llama"},
    ("models.transformer", "_glorot"): {"17-translation"},
    ("lab.gradcheck.bert", "_score"): set(),
}


@pytest.mark.parametrize("name", RUN, ids=lambda name: ".".join(name))
def test_a_change_touches_the_notebooks_that_run_it(name, source):
    module, function = f"minigpt.{name[0]}", name[1]
    tree = ast.parse(source.paths[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            node.body.append(ast.parse("changed = 1").body[0])
    changed = fingerprint.Source(executing.PACKAGE, {module: ast.unparse(tree)})
    dump = changed.dump
    changed.dump = lambda of, name: (dump if of == module else source.dump)(of, name)  # the rest is parsed once
    old = {path.stem for path in executing.NOTEBOOKS if module in executing.outdated(changed, executing.read(path))}
    assert old == RUN[name]
