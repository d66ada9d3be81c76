"""What runs beside a learner's file, in a process of its own: it calls the file's functions and writes down arrays.

It knows nothing of minigpt and judges nothing. Of this project's files it is the only one that the learner's code
shares a process with, so whatever that code does to it, only the arrays that come back are affected, and the parent
judges those. Started as `python -I -S child.py FOLDER`; NumPy and the standard library are all that can be imported.
"""

import json
import os
import sys
import time
import traceback
from types import ModuleType, SimpleNamespace

FOLDER = sys.argv[1]
sys.path[:0] = [FOLDER, os.path.join(FOLDER, "lib")]
import child_model  # noqa: E402
import numpy as np  # noqa: E402
from child_places import bound_places, parameter_places, put  # noqa: E402

FORBIDDEN = {
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "os.exec",
    "os.spawn",
    "subprocess.Popen",
    "pty.spawn",
}
LARGEST = 60 * 2**20  # bytes of all results: the file that they go into may have 64 MB
STEPS = (-2.0, -1.0, 1.0, 2.0)


def forbid(event, arguments):
    """An audit hook, which cannot be taken off again: no other programs, no network, no reference."""
    if event in FORBIDDEN or event.startswith(("socket.", "ctypes.dlopen")):
        raise PermissionError(f"a checked file may not use {event}")
    if event == "import" and arguments[0].split(".")[0] == "minigpt":
        raise ImportError("minigpt cannot be imported in a checked file: only NumPy and the standard library can")


class Failure(Exception):
    """What the learner's code raised, and where."""

    def __init__(self, stage, error):
        last = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith("learner.py")]
        self.told = {
            "stage": stage,
            "type": type(error).__name__,
            "message": str(error)[:500],
            "line": last[-1].lineno if last else getattr(error, "lineno", None),
        }


def guarded(stage, function, *arguments, **named):
    try:
        return function(*arguments, **named)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they end nothing but this call
        raise Failure(stage, error) from None


class Draws:
    """Random numbers come out the same at every call: dropout keeps its mask while inputs are moved a little."""

    def __init__(self):
        original = np.random.default_rng
        np.random.default_rng = lambda seed=None: original(0 if seed is None else seed)
        self.kept = []

    def keep(self, holder):
        """Remember the state of every generator that a module or an object holds."""
        for value in list(vars(holder).values()):
            if isinstance(value, np.random.Generator):
                self.kept.append((value.bit_generator, value.bit_generator.state))

    def again(self):
        np.random.seed(0)
        for generator, state in self.kept:
            generator.state = state


def load(path):
    module = ModuleType("learner")
    module.__file__ = path
    sys.modules["learner"] = module
    with open(path, encoding="utf-8") as file:
        source = file.read()
    guarded("import", lambda: exec(compile(source, path, "exec"), module.__dict__))
    return module


def zeros_like(value, start):
    """An array to be added into, or a dictionary of them."""
    if isinstance(value, dict):
        return {name: zeros_like(x, start) for name, x in value.items()}
    return np.full_like(value, start)


class Runner:
    """Calls one pair, as the parent described it, on the inputs of one run."""

    def __init__(self, module, pair, run, arrays, draws):
        self.module, self.pair, self.run, self.arrays, self.draws = module, pair, run, arrays, draws
        self.object = None
        if pair["kind"] == "class":
            self.draws.again()
            given = self.values(run["construct"])
            self.object = guarded("constructor", function_of(module, pair["class"]), **given)
            draws.keep(self.object)
            self.bound = bound_places(parameter_places(self.object), run.get("attributes", {}), arrays)
            unbound = [role for role in run.get("required", []) if role not in self.bound]
            if unbound:
                raise Failure("binding", LookupError(", ".join(unbound)))

    def value(self, described):
        if "array" in described:
            x = self.arrays[described["array"]]
            if not (self.run.get("strided") and x.ndim):
                return x.copy()
            wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
            wide[..., ::2] = x
            return wide[..., ::2]
        if "dict" in described:
            return self.values(described["dict"])
        if "object" in described:
            return SimpleNamespace(**self.values(described["object"]))
        return np.random.default_rng(0) if "rng" in described else described["json"]

    def values(self, described):
        return {name: self.value(v) for name, v in described.items()}

    def reset(self):
        """Put parameters and zero gradients where the object keeps them."""
        for role, path in self.bound.items():
            put(self.object, path, self.value(self.run["attributes"][role]["value"]))

    def forward(self):
        """y, what goes to backward, and the arguments as they were given."""
        self.draws.again()
        if self.object is not None:
            self.reset()
        given = self.values(self.run["forward"])
        if self.pair["kind"] == "call":
            return guarded("forward", function_of(self.module, self.pair["forward"]), given, None), None, given
        if self.object is not None:
            function = function_of(self.object, self.pair["forward"])
        else:
            function = function_of(self.module, self.pair["forward"])
        result = guarded("forward", function, *given.pop("*", {}).values(), **given)
        if self.pair["kind"] == "class" and not isinstance(result, tuple):
            return result, (), given
        if isinstance(result, (tuple, list)) and result:
            return result[0], tuple(result[1:]), given
        return result, (), given

    def backward(self, y, kept, given, dy):
        """Call backward; returns its result, the arrays that it was to add into, and what it could have spoiled."""
        if self.pair["kind"] == "call":
            result = guarded("backward", function_of(self.module, self.pair["forward"]), given, dy)
            return result[1], {}
        cache = kept[0] if len(kept) == 1 else kept
        sums, named = {}, {}
        for parameter, source in self.run["backward"]:
            kind, _, what = source.partition(":")
            if kind == "zeros":
                named[parameter] = sums[parameter] = zeros_like(given[what], self.run.get("start", 0.0))
            elif kind == "returned":
                named[parameter] = ((y, *kept)[int(what)]) if int(what) <= len(kept) else cache
            elif kind == "json":
                named[parameter] = json.loads(what)
            else:
                named[parameter] = {"dy": dy, "cache": cache, "y": y}.get(kind, given.get(what))
        if self.pair["kind"] == "closure":
            return guarded("backward", kept[-1], *named.values()), sums
        holder = self.module if self.object is None else self.object
        return guarded("backward", function_of(holder, self.pair["backward"]), **named), sums


def function_of(holder, name):
    try:
        return getattr(holder, name)
    except AttributeError as error:
        raise Failure("import", error) from None


def named_results(result):
    """What backward returned, as pairs of a label and an array or None; `None` alone is an empty list."""
    if result is None:
        return []
    if isinstance(result, dict):
        return [(str(name), value) for name, value in result.items()]
    if hasattr(result, "_asdict"):
        return list(result._asdict().items())
    if isinstance(result, (tuple, list)):
        flat = []
        for position, value in enumerate(result):
            inner = named_results(value) if isinstance(value, dict) else [(str(position), value)]
            flat.extend(inner)
        return flat
    return [("0", result)]


def number_array(value):
    array = np.array(value)
    if array.dtype == object or array.dtype.kind not in "fiub":
        raise TypeError(f"a result is no array of numbers but {type(value).__name__}")
    return array


class Answers:
    """Arrays by number, and a description that names them."""

    def __init__(self):
        self.arrays, self.left = {}, LARGEST

    def add(self, value):
        self.left -= getattr(value, "nbytes", 0)  # before it is copied, so that a large answer costs no time
        if self.left < 0:
            raise MemoryError("the results are too large together")
        name = f"a{len(self.arrays)}"
        self.arrays[name] = number_array(value)
        return name


def one_run(runner, run, answers, again=True):
    """Forward, backward, and backward once more; what came out and what was changed on the way."""
    y, kept, given = runner.forward()
    told = {"y": guarded("forward", answers.add, y)}
    if runner.object is not None:
        places = parameter_places(runner.object)
        told["places"] = {path: list(array.shape) for path, array in places.items()}
        told["bound"] = runner.bound
    if run.get("dy") is None:
        return told
    before = {name: x.copy() for name, x in given.items() if isinstance(x, np.ndarray)}
    dy = runner.arrays[run["dy"]].copy()
    dy = float(dy) if dy.ndim == 0 else dy
    result, sums = runner.backward(y, kept, given, dy)
    told |= collected(result, sums, answers)
    if runner.object is not None:
        told["attributes"] = {path: answers.add(x) for path, x in parameter_places(runner.object).items()}
    told["changed"] = [name for name, x in before.items() if not np.array_equal(x, given[name], equal_nan=True)]
    if isinstance(dy, np.ndarray) and not np.array_equal(dy, runner.arrays[run["dy"]]):
        told["changed"].append("\0dy")
    if not again:
        return told
    try:
        told["again"] = once_more(runner, run, y, kept, given, answers)
    except Failure as failure:
        told["again"] = {"error": failure.told}
    return told


def once_more(runner, run, y, kept, given, answers):
    """Backward a second time, into arrays that are not zero: what is added to grows, what is returned stays."""
    if runner.object is not None:
        y, kept, given = runner.forward()
    dy = runner.arrays[run["dy"]].copy()
    run["start"] = 0.5
    result, sums = runner.backward(y, kept, given, float(dy) if dy.ndim == 0 else dy)
    run["start"] = 0.0
    told = collected(result, sums, answers)
    if runner.object is not None:
        told["attributes"] = {path: answers.add(x) for path, x in parameter_places(runner.object).items()}
    return told


def flat(sums):
    """Arrays in dictionaries come out as "grads.w"."""
    found = {}
    for name, x in sums.items():
        if isinstance(x, dict):
            found.update({f"{name}.{inner}": y for inner, y in x.items()})
        else:
            found[name] = x
    return found


def collected(result, sums, answers):
    """What backward returned and added into, by name."""
    return {
        "returned": [
            (label, None if value is None else guarded("backward", answers.add, value))
            for label, value in named_results(result)
        ],
        "sums": {name: answers.add(x) for name, x in flat(sums).items()},
    }


def moved(runner, run, answers, deadline):
    """y at inputs of which one element, or all along a direction, has moved by −2h, −h, h and 2h."""
    told = {}
    for name, direction in run["directions"].items():
        x = runner.arrays[name]
        value, rows = x.copy(), []
        for step in STEPS:
            x[...] = value + step * run["h"] * runner.arrays[direction]
            rows.append(np.asarray(runner.forward()[0], dtype=np.float64).reshape(-1))
        x[...] = value
        told[f"{name} along"] = answers.add(np.array(rows))
    for name in run["differentiate"]:
        x = runner.arrays[name]
        flat, rows = x.reshape(-1), []
        for place in range(flat.size):
            if time.process_time() > deadline:
                break
            value = flat[place]
            for step in STEPS:
                flat[place] = value + step * run["h"]
                rows.append(np.asarray(runner.forward()[0], dtype=np.float64).reshape(-1))
            flat[place] = value
        if rows:
            told[name] = answers.add(np.array(rows))
    return told


def edited(job, arrays, answers, draws):
    """The same runs with the file's text changed in one place, for every change; None for what does not run."""
    with open(os.path.join(FOLDER, "learner.py"), "rb") as file:
        source = file.read()
    told, deadline = [], time.process_time() + job["budget"]
    for start, end, new in job["edits"]:
        if time.process_time() > deadline:
            break
        module = ModuleType("learner")
        text = source[:start] + new.encode("utf-8") + source[end:]
        try:
            guarded(
                "import", lambda module=module, text=text: exec(compile(text, "learner.py", "exec"), module.__dict__)
            )
            draws.keep(module)
            told.append(
                [only_once(Runner(module, job["pair"], run, arrays, draws), run, answers) for run in job["runs"]]
            )
        except Failure:
            told.append(None)
    return told


def only_once(runner, run, answers):
    told = one_run(runner, run, answers, again=False)
    del told["changed"]
    return told


def work(job, arrays, answers):
    draws = Draws()
    draws.again()
    module = load(os.path.join(FOLDER, "learner.py"))
    draws.keep(module)
    if job.get("model"):
        job["folder"] = FOLDER
        return child_model.work(job, module, arrays, answers, draws, guarded)
    if "edits" in job:
        return {"edited": edited(job, arrays, answers, draws)}
    told, runners = [], []
    for run in job["runs"]:
        try:
            runner = Runner(module, job["pair"], run, arrays, draws)
            told.append(one_run(runner, run, answers))
            runners.append(runner)
        except Failure as failure:
            told.append({"error": failure.told})
            runners.append(None)
    deadline = time.process_time() + job.get("budget", 3.0)
    for runner, run, result in zip(runners, job["runs"], told, strict=True):
        if runner is not None and run.get("directions"):
            try:
                result["moved"] = moved(runner, run, answers, deadline)
            except Failure as failure:
                result["error"] = failure.told
    return {"runs": told}


def main():
    with open(os.path.join(FOLDER, "job.json"), encoding="utf-8") as file:
        job = json.load(file)
    with np.load(os.path.join(FOLDER, "in.npz"), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    save, dump, write = np.savez, json.dumps, os.replace
    sys.addaudithook(forbid)
    answers = Answers()
    try:
        told = work(job, arrays, answers)
    except Failure as failure:
        told = {"error": failure.told}
    save(os.path.join(FOLDER, "out", "arrays.npz"), **answers.arrays)
    with open(os.path.join(FOLDER, "out", "told.part"), "w", encoding="utf-8") as file:
        file.write(dump(told))
    write(os.path.join(FOLDER, "out", "told.part"), os.path.join(FOLDER, "out", "told.json"))


if __name__ == "__main__":
    main()
