"""The whole model's side of `child.py`: parameters are set and moved, losses and gradients written down."""

import os
import time
from types import ModuleType

import numpy as np

STEPS = (-2.0, -1.0, 1.0, 2.0)


class Model:
    """What the learner's adapter returns: parameters by name, a loss, and gradients by name."""

    def __init__(self, module, name, draws, guarded):
        self.draws, self.guarded = draws, guarded
        draws.again()
        parts = guarded("adapter", lambda: tuple(getattr(module, name)()))
        if len(parts) != 3 or not isinstance(parts[0], dict) or not callable(parts[1]) or not callable(parts[2]):
            guarded("adapter", self.complain)
        self.parameters, self._loss, self._gradients = parts

    @staticmethod
    def complain():
        raise TypeError("the adapter must return a dictionary of parameters, loss() and gradients()")

    def set(self, values):
        for name, value in values.items():
            self.parameters[name][...] = value

    def loss(self):
        self.draws.again()
        value = self.guarded("loss", self._loss)
        return float(np.asarray(value[0] if isinstance(value, tuple) else value, dtype=np.float64))

    def gradients(self):
        self.draws.again()
        return {str(name): value for name, value in dict(self.guarded("gradients", self._gradients)).items()}

    def along(self, values, directions, h):
        """The loss at four steps along directions of some parameters; the others stay."""
        found = []
        for step in STEPS:
            for name, direction in directions.items():
                self.parameters[name][...] = values[name] + step * h * direction
            found.append(self.loss())
        self.set({name: values[name] for name in directions})
        return found


def work(job, module, arrays, answers, draws, guarded):
    told = job["model"]
    if "edits" in job:
        return {"edited": edited(job, arrays, answers, draws, guarded)}
    model = Model(module, told["adapter"], draws, guarded)
    if "values" not in told:
        return {"parameters": {name: answers.add(x) for name, x in model.parameters.items()}, "loss": model.loss()}
    values = {name: arrays[array] for name, array in told["values"].items()}
    directions = {name: arrays[array] for name, array in told["directions"].items()}
    model.set(values)
    found = {"loss": model.loss(), "gradients": given(model, answers)}
    deadline = time.process_time() + job["budget"]
    found["all"] = model.along(values, directions, told["h"])
    found["slopes"] = {
        n: model.along(values, {n: d}, told["h"]) for n, d in directions.items() if time.process_time() < deadline
    }
    found["elements"] = {}
    for name in told.get("elements", []):
        losses = []
        for index in np.ndindex(values[name].shape):
            if time.process_time() > deadline:
                break
            one = np.zeros(values[name].shape)
            one[index] = 1.0
            losses.append(model.along(values, {name: one}, told["h"]))
        found["elements"][name] = answers.add(losses)
    return found


def given(model, answers):
    return {name: None if g is None else answers.add(g) for name, g in model.gradients().items()}


def edited(job, arrays, answers, draws, guarded):
    """The gradients with the file's text changed in one place, for every change."""
    with open(os.path.join(job["folder"], "learner.py"), "rb") as file:
        source = file.read()
    values = {name: arrays[array] for name, array in job["model"]["values"].items()}
    told, deadline = [], time.process_time() + job["budget"]
    for start, end, new in job["edits"]:
        if time.process_time() > deadline:
            break
        module = ModuleType("learner")
        text = source[:start] + new.encode("utf-8") + source[end:]
        try:
            exec(compile(text, "learner.py", "exec"), module.__dict__)
            model = Model(module, job["model"]["adapter"], draws, guarded)
            model.set(values)
            told.append(given(model, answers))
        except Exception:
            told.append(None)
    return told
