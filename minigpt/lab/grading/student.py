"""What runs beside a student's answer, in a process of its own: it calls the answer, and writes down what came out.

It knows neither minigpt nor what is right. Whatever an answer does to it, only that answer's results change, and the
parent judges them. Started as `python -I -S student.py FOLDER`.
"""

import ast
import json
import os
import sys
import traceback
from types import ModuleType

FOLDER = sys.argv[1]
sys.path[:0] = [FOLDER, os.path.join(FOLDER, "lib")]
import lock  # noqa: E402
import numpy as np  # noqa: E402
import slicing  # noqa: E402
import values  # noqa: E402

LARGEST = 60 * 2**20  # bytes of all arrays of an answer: the file that they go into may have 64 MB
PRELOADED = ("numpy.fft", "numpy.linalg", "numpy.random", "numpy.polynomial", "dataclasses", "fractions", "statistics")


def failed(stage, error):
    """What an answer raised, and where."""
    last = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("cell ")]
    return {
        "stage": stage,
        "type": type(error).__name__,
        "message": str(error)[:500],
        "line": last[-1].lineno if last else None,
    }


def imports_minigpt(node):
    """Whether a statement imports the library."""
    for inner in ast.walk(node):
        names = [alias.name for alias in inner.names] if isinstance(inner, ast.Import) else []
        names += [inner.module or ""] if isinstance(inner, ast.ImportFrom) else []
        if any(name.split(".")[0] == "minigpt" for name in names):
            return True
    return False


def load(job):
    """The answer: what the expression of the check is, after the statements that it needs."""
    chosen, expression = slicing.slice_answer(job["cells"], job["ids"], job["name"], job["function"])
    if any(imports_minigpt(node) for _, node in chosen):
        raise ImportError("the answer uses minigpt: NumPy and the standard library are there")
    module = ModuleType("answer")
    sys.modules["answer"] = module
    for cell, node in chosen:
        exec(compile(ast.Module([node], []), f"cell {cell}", "exec"), module.__dict__)
    whole = ast.fix_missing_locations(ast.Expression(expression))
    return eval(compile(whole, "check_exercise", "eval"), module.__dict__)


def call(answer, described, given, arrays, budget):
    """One call: its result, and the arguments afterwards."""
    arguments = [values.decode(x, given) for x in described]
    try:
        result = answer(*arguments)
        after = [values.encode(x, arrays, budget) for x in arguments]
        return {"result": values.encode(result, arrays, budget), "after": after}
    except BaseException as error:  # SystemExit too: it ends nothing but this call
        return {"error": failed("call", error)}


def work(job, given, arrays):
    try:
        answer = load(job)
    except slicing.NotFound as error:
        return {"missing": str(error)}
    except BaseException as error:
        return {"error": failed("load", error)}
    budget = [LARGEST]
    if not job["calls"] or not callable(answer):
        return {"value": values.encode(answer, arrays, budget)}
    name = str(getattr(answer, "__name__", ""))[:80]
    return {"function": name, "calls": [call(answer, described, given, arrays, budget) for described in job["calls"]]}


def main():
    with open(os.path.join(FOLDER, "job.json"), encoding="utf-8") as file:
        job = json.load(file)
    with np.load(os.path.join(FOLDER, "in.npz"), allow_pickle=False) as stored:
        given = {name: stored[name] for name in stored.files}
    for name in PRELOADED:
        __import__(name)
    told = open(os.path.join(FOLDER, "out", "told.json"), "w", encoding="utf-8")  # noqa: SIM115 (locked in later)
    stored = open(os.path.join(FOLDER, "out", "arrays.npz"), "wb")  # noqa: SIM115
    save, dump, end = np.savez, json.dumps, os._exit
    lock.lock(FOLDER)
    arrays = {}
    text = dump(work(job, given, arrays))
    save(stored, **arrays)
    stored.close()
    told.write(text)
    told.close()
    end(0)


if __name__ == "__main__":
    main()
