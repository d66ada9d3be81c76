"""What the damaged inputs reach: the lines of the readers, counted; and atheris, which looks for those not reached."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from types import FunctionType

import minigpt

from . import workers
from .formats import Bench, Damaged, drawn
from .mutate import mutated

LEAST = 90.0  # per cent of the readers' lines
PACKAGE = Path(minigpt.__file__).parent
# What reads files that come from elsewhere.
READERS = (
    *(
        "tokenizers/loading.py",
        "tokenizers/added.py",
        "tokenizers/template.py",
        "tokenizers/oniguruma.py",
    ),
    *("tokenizers/formats/hf_read.py", "tokenizers/formats/readers.py", "tokenizers/formats/sentencepiece_files.py"),
    *("tokenizers/formats/tiktoken_files.py", "tokenizers/formats/hf_steps.py", "tokenizers/pipeline/charsmap.py"),
    *("tokenizers/sentencepiece_vocabulary.py", "interop/keys.py", "interop/weight_files.py", "interop/token_roles.py"),
    *(
        "interop/gpt_arrays.py",
        "interop/llama2c.py",
        "interop/opening.py",
        "interop/hf/reading.py",
        "interop/hf/special_files.py",
    ),
    *("core/settings.py", "train/config.py", "data/shards.py", "data/encoded.py", "tasks/files.py"),
    *(f"tasks/readers/{name}.py" for name in ("glue", "nli", "pronouns", "race", "reading", "stories", "texts", "xml")),
)


def coverage(names: list[str], inputs: int, seed: int) -> int:
    """Try so many inputs of each format in one process; 1 if too few of the readers' lines are reached."""
    from coverage import Coverage

    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "data")
        files = ",".join(str(PACKAGE / name) for name in READERS)
        command = [sys.executable, "-m", "coverage", "run", "--data-file", data, "--include", files, "-m", "tests.fuzz"]
        command += ["--in-process", "--inputs", str(inputs), "--seed", str(seed), "--format", *names]
        subprocess.run(command, check=True)
        measured = Coverage(data_file=data)
        measured.load()
        found = measured.report(show_missing=True, skip_covered=True, file=sys.stdout)
    print(f"{found:.1f} % of the readers' lines, at least {LEAST:.0f} % wanted")
    return int(found < LEAST)


def in_process(names: list[str], inputs: int, seed: int) -> int:
    """Try so many inputs of each format in this process, without limits: what `coverage` measures."""
    with tempfile.TemporaryDirectory() as folder:
        for bench in (Bench(name, Path(folder)) for name in names):
            for number in range(inputs):
                workers.tried(bench, bench.damaged(drawn(bench.format.name, seed, number)))
    return 0


def functions() -> list[FunctionType]:
    """What the readers define, methods and nested ones included."""
    files = {str(PACKAGE / name) for name in READERS}
    found = [thing for thing in gc.get_objects() if isinstance(thing, FunctionType)]
    return [function for function in found if function.__code__.co_filename in files]


def guided(name: str, inputs: int) -> int:
    """atheris on one format: its bytes choose the damage, and what reaches new lines is tried further."""
    import atheris

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(name, Path(folder))
        kinds = list(bench.format.kinds.items())

        def one(data: bytes) -> None:
            file, kind = kinds[data[0] % len(kinds)] if data else kinds[0]
            content = data[1:] if data[:1] > b"\x7f" else mutated(bench.files[file], kind, [data], Random(data))
            outcome = workers.tried(bench, Damaged(file, content))
            if outcome not in ("accepted", "refused"):
                raise AssertionError(f"{file}: {outcome}")

        for function in functions():
            atheris.instrument_func(function)
        atheris.Setup([sys.argv[0], f"-runs={inputs}", f"-timeout={workers.SECONDS:.0f}", "-rss_limit_mb=2048"], one)
        atheris.Fuzz()
    return 0
