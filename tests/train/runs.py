"""A training run small enough to repeat many times, with everything switched on that could differ between repeats."""

import json
from pathlib import Path

from minigpt.cli import main

SETTINGS = {
    "data.tokenizer": "char",
    "data.validation_fraction": 0.1,
    "objective.sampling": "random",
    "objective.end_of_text": "false",
    "objective.separator": '""',
    "model.layers": 1,
    "model.width": 16,
    "model.heads": 2,
    "model.context": 16,
    "model.dropout": 0.2,
    "train.batch": 5,
    "train.accumulation": 2,
    "train.workers": 2,
    "train.eval_every": 7,
    "train.eval_tokens": 100,
    "train.sample_every": 6,
    "train.checkpoint_every": 5,
    "schedule.warmup": 3,
    "sample.tokens": 12,
}


def arguments(text: Path, out: Path, steps: int, **changed) -> list[str]:
    settings = SETTINGS | {name.replace("__", "."): value for name, value in changed.items()}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return ["train", "tiny", "--data", str(text), "--out", str(out), "--steps", str(steps), *sets]


def train(text: Path, out: Path, steps: int = 20, **changed) -> int:
    return main(arguments(text, out, steps, **changed))


def unlisted(run: Path) -> Path:
    """Make it a run of before checkpoints had lists of hashes, whose files can be changed by hand."""
    for checkpoint in (run / "checkpoints").iterdir():
        (checkpoint / "hashes.json").unlink()
        state = json.loads((checkpoint / "state.json").read_text())
        del state["hashes"]
        (checkpoint / "state.json").write_text(json.dumps(state))
    return run


def contents(run: Path, *, step: int) -> dict[str, bytes]:
    """What two equal runs must have in common: logs, samples, and the last checkpoint, as bytes."""
    names = ["log.jsonl", "samples.txt", *(f"checkpoints/step-{step}/{n}" for n in ("model", "optimizer"))]
    found = {}
    for name in names:
        path = run / name if "." in name else run / f"{name}.safetensors"
        found[name] = path.read_bytes()
    return found
