"""Does the core tier notice when the code is wrong? Two hundred small faults say so.

A mutant is a copy of the package with one operator, number, comparison or constant changed. cosmic-ray makes them;
this script draws them with a stored seed, runs for each the core tests that execute the changed line, and lists those
that no test noticed. A mutant that computes the same as the original is no fault: `mutants-equivalent.toml` names
each one with its reason, and it is left out of the count.

    pip install -e ".[test,mutants]"
    python tools/mutants.py                      # the stored draw: about 20 minutes on two cores
    python tools/mutants.py --only 17 80         # two of them again, after a test was added

The draw takes places in the code first, each with the same chance, and then one of the place's mutations: otherwise
the eleven other operators that a `+` can become would make half of the sample.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("minigpt/ops", "minigpt/blocks", "minigpt/models", "minigpt/data", "minigpt/train/optimizer.py")
# Where the tests of these stand; the core tier's other folders add minutes and notice nothing more.
TESTS = ("blocks", "core", "data", "evaluate", "fast", "generate", "interop/test_api.py", "interop/test_prompting.py")
TESTS += ("lab/test_*.py", "models", "ops", "train")
ALWAYS = ("tests/train/test_stored_formats.py", "tests/data/test_golden.py")  # whose fixtures execute what no test says
# Operators that change no value: decorators hold contracts and registrations, which fail at import.
LEFT_OUT = ("RemoveDecorator", "VariableReplacer", "VariableInserter", "NoOp")
EQUIVALENT = Path(__file__).with_name("mutants-equivalent.toml")
SEED = 20261128
TIMEOUT = 300  # seconds; a mutant that loops for ever is noticed


class Mutant(NamedTuple):
    path: str  # of the module, from the root
    line: int
    before: str  # the line of code as it is
    after: str  # and as the mutant has it
    operator: str
    occurrence: int


def candidates(path: Path) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """Every place of a module that can be mutated, with the (operator, occurrence) pairs that do it."""
    code = path.read_text(encoding="utf-8")
    skipped = annotation_places(ast.parse(code))
    places: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
    nodes = list(ast_nodes(get_ast(code)))
    for name in cosmic_ray.plugins.operator_names():
        if name.split("/")[1] in LEFT_OUT:
            continue
        operator = cosmic_ray.plugins.get_operator(name)()
        positions = (position for node in nodes for position in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(positions):
            if not any(a <= start < b for a, b in skipped):
                places[start].append((name, occurrence))
    return places


def annotation_places(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where the type annotations stand: nothing evaluates them."""
    found = []
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            part = getattr(node, field, None)
            if part is not None:
                found.append(((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)))
    return found


def modules() -> list[Path]:
    files = [ROOT / target for target in TARGETS]
    return sorted(f for file in files for f in ([file] if file.is_file() else file.rglob("*.py")))


def draw(count: int, seed: int) -> list[Mutant]:
    """Draw `count` places without repetition, and one mutation of each."""
    rng = random.Random(seed)
    found = {path: candidates(path) for path in modules()}
    places = [(path, place) for path in found for place in sorted(found[path])]
    print(f"{len(places)} places in {len(found)} modules", flush=True)
    mutants: list[Mutant] = []
    for path, place in rng.sample(places, len(places)):
        operator, occurrence = rng.choice(found[path][place])
        code = path.read_text(encoding="utf-8")
        changed = mutate(code, operator, occurrence)
        line = place[0]
        before, after = code.split("\n")[line - 1], changed.split("\n")[line - 1]
        if is_fault(code, changed):
            mutants.append(Mutant(str(path.relative_to(ROOT)), line, before, after, operator, occurrence))
        if len(mutants) == count:
            break
    return mutants


def is_fault(code: str, changed: str) -> bool:
    """Whether the changed code is Python, and another program: the bare `*` of a signature cannot become `<<`."""
    try:
        return ast.dump(ast.parse(code)) != ast.dump(ast.parse(changed))
    except SyntaxError:
        return False


def mutate(code: str, operator: str, occurrence: int) -> str:
    changed = mutate_code(code, cosmic_ray.plugins.get_operator(operator)(), occurrence)
    assert changed is not None
    return changed


def core_coverage(folder: Path) -> tuple[dict[str, dict[int, set[str]]], dict[str, float]]:
    """Run the core tier's part once: for each line the tests that execute it, and the seconds each test takes.

    The tests are named without parameters: tests/ops/test_table.py::test_dtype_is_kept.
    """
    data, report = folder / "coverage", folder / "coverage.json"
    environment = os.environ | {"COVERAGE_FILE": str(data)}
    settings = folder / "coveragerc"
    settings.write_text("[run]\ndynamic_context = test_function\n", encoding="utf-8")
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}", "--source=minigpt", "-m", "pytest"]
    command += ["-p", "no:cacheprovider", f"--junitxml={folder / 'times.xml'}"]
    command += sorted(str(path) for name in TESTS for path in (ROOT / "tests").glob(name))
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    export = [sys.executable, "-m", "coverage", "json", "--show-contexts", "-q", "-o", str(report)]
    subprocess.run(export, cwd=ROOT, env=environment, check=True)
    lines: dict[str, dict[int, set[str]]] = {}
    for path, entry in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        lines[path] = {int(n): {node_id(c) for c in contexts} for n, contexts in entry["contexts"].items()}
    return lines, test_seconds(folder / "times.xml")


def node_id(context: str) -> str:
    """Turn tests.ops.test_table.test_dtype_is_kept into what pytest calls it; "" is what runs at import."""
    if not context.startswith("tests."):
        return ""
    parts = context.split(".")
    end = next(i for i, part in enumerate(parts) if part.startswith("test_"))
    return "/".join(parts[: end + 1]) + ".py::" + "::".join(parts[end + 1 :])


def test_seconds(report: Path) -> dict[str, float]:
    """Seconds of each test, all its parameters together."""
    import xml.etree.ElementTree as ElementTree

    seconds: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{str(case.get('name')).split('[')[0]}"
        seconds[node_id(name)] += float(case.get("time", 0))
    return seconds


def relevant(mutant: Mutant, lines: dict[str, dict[int, set[str]]], seconds: dict[str, float]) -> list[str]:
    """The core tests that execute the line, the quick ones first; for what runs at import, those of any line there."""
    here = lines.get(mutant.path, {})
    tests = here.get(mutant.line, set()) - {""}
    if not tests:
        tests = set().union(*here.values()) - {""} if here else set()
    return sorted((t for t in tests if t in seconds), key=lambda t: seconds[t]) + list(ALWAYS)


def noticed(mutant: Mutant, tests: list[str], tree: Path) -> bool:
    """Whether one of the tests fails, or never ends, in a copy of the tree that has the mutant."""
    file = tree / mutant.path
    original = file.read_text(encoding="utf-8")
    listed = tree / "listed.txt"
    listed.write_text("\n".join(tests), encoding="utf-8")
    try:
        file.write_text(mutate(original, mutant.operator, mutant.occurrence), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"@{listed}"]
        # The copy is imported, not the installed package; without byte code, which may be of another mutant.
        environment = os.environ | {
            "PYTHONPATH": str(tree),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode not in (0, 1, 2, 4):
            raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        file.write_text(original, encoding="utf-8")


def copies(folder: Path, jobs: int) -> list[Path]:
    """One copy of the tree for each worker, without byte code."""
    trees = []
    for i in range(jobs):
        tree = folder / f"tree-{i}"
        ignore = shutil.ignore_patterns("__pycache__", ".venv", ".git", "runs", ".pytest_cache", ".ruff_cache")
        shutil.copytree(ROOT, tree, ignore=ignore)
        trees.append(tree)
    return trees


def equivalent() -> dict[tuple[str, str, str], str]:
    """The reasons of mutants that compute the same, by (file, line as it is, line as mutated)."""
    table = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.exists() else {"mutant": []}
    return {(m["file"], m["before"].strip(), m["after"].strip()): m["reason"] for m in table["mutant"]}


def show(number: int, mutant: Mutant, verdict: str) -> None:
    print(f"\n{number} {verdict} {mutant.path}:{mutant.line}")
    print(f"  - {mutant.before.strip()}\n  + {mutant.after.strip()}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="how many of many small faults the core tier notices")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the draw")
    parser.add_argument(
        "--coverage", type=Path, help="folder that keeps what the core tier executes, for a second call"
    )
    arguments = parser.parse_args()
    mutants = draw(arguments.count, arguments.seed)
    reasons = equivalent()
    with tempfile.TemporaryDirectory() as scratch:
        kept = arguments.coverage or Path(scratch)
        kept.mkdir(parents=True, exist_ok=True)
        lines, seconds = stored_coverage(kept)
        trees = copies(Path(scratch), arguments.jobs)

        def judge(number: int) -> tuple[int, str]:
            mutant = mutants[number]
            if (mutant.path, mutant.before.strip(), mutant.after.strip()) in reasons:
                return number, "equivalent"
            tests = relevant(mutant, lines, seconds)
            if not tests:
                return number, "not executed"
            tree = trees.pop()
            try:
                return number, "noticed" if noticed(mutant, tests, tree) else "survived"
            finally:
                trees.append(tree)

        verdicts: dict[str, int] = defaultdict(int)
        numbers = arguments.only if arguments.only else range(len(mutants))
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for number, verdict in pool.map(judge, numbers):
                verdicts[verdict] += 1
                if verdict in ("survived", "not executed"):
                    show(number, mutants[number], verdict)
                else:
                    print(".", end="", flush=True)
    faults = sum(verdicts.values()) - verdicts["equivalent"]
    print(f"\n{verdicts['noticed']} of {faults} faults noticed; {dict(verdicts)}")
    return 0 if verdicts["noticed"] >= 0.95 * faults else 1


def stored_coverage(folder: Path) -> tuple[dict[str, dict[int, set[str]]], dict[str, float]]:
    """What the core tier executes: from `folder` if an earlier call left it there, else by running it."""
    file = folder / "executed.json"
    if not file.exists():
        lines, seconds = core_coverage(folder)
        plain = {path: {n: sorted(tests) for n, tests in entry.items()} for path, entry in lines.items()}
        file.write_text(json.dumps({"lines": plain, "seconds": seconds}), encoding="utf-8")
    stored = json.loads(file.read_text(encoding="utf-8"))
    lines = {path: {int(n): set(tests) for n, tests in entry.items()} for path, entry in stored["lines"].items()}
    return lines, stored["seconds"]


if __name__ == "__main__":
    sys.exit(main())
