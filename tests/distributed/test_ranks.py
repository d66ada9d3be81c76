"""N = 1, 2 and 4 ranks with 4 shards: log, samples, weights and moments byte for byte, for every family."""

import json
import shutil

import pytest

from ..conftest import TEXT
from ..train.runs import SETTINGS
from .launching import launch, once

pytestmark = pytest.mark.mpi

STEPS = 6
COMMON = SETTINGS | {
    "train.workers": 4,
    "train.batch": 6,
    "train.operations": "fast",
    "train.checkpoint_every": 4,
    "train.keep_checkpoints": 0,
    "train.eval_every": 4,
    "train.sample_every": 4,
    "sample.tokens": 6,
    "sample.prompt": '""',
}
PLAIN = {name: value for name, value in COMMON.items() if not name.startswith("objective") and "layers" not in name}
UNDROPPED = {name: value for name, value in PLAIN.items() if name != "model.dropout"}  # Llama has none
LAYERS = {"model.encoder_layers": 1, "model.decoder_layers": 2, "sample.beams": 2, "data.tokenizer": "bpe:300"}
RUNS = {  # preset, settings: dropout and accumulation in all of them
    "gpt": ("tiny", COMMON),
    "gpt3": ("gpt3-tiny", COMMON | {"model.dropout": 0.1}),
    "llama": ("llama-tiny", UNDROPPED | {"model.layers": 2, "model.kv_heads": 1, "model.feed_forward": 24}),
    "transformer": ("transformer-tiny", PLAIN | LAYERS),
    "bart": ("bart-tiny", PLAIN | LAYERS),
    "bert": ("bert-tiny", PLAIN | {"model.layers": 2, "data.tokenizer": "wordpiece:120", "model.context": 24}),
    "ramp": ("tiny", COMMON | {"train.ramp_from": 3, "train.ramp_tokens": 500}),
    "bfloat16": ("tiny", COMMON | {"train.compute": "bfloat16"}),
    "float16": ("tiny", COMMON | {"train.compute": "float16"}),
    "float64": ("tiny", COMMON | {"train.dtype": "float64", "train.recompute": True}),
    "few rows": ("tiny", COMMON | {"train.batch": 3}),
    "one row": ("tiny", COMMON | {"train.batch": 1}),
    "muon": ("tiny", COMMON | {"optimizer.name": "muon"}),
    "buckets": ("tiny", COMMON | {"model.width": 160, "model.layers": 4, "train.accumulation": 2}),
    "late": ("tiny", COMMON | {"model.width": 160, "model.layers": 4, "train.accumulation": 2}),
}


def arguments(text, run, name):
    preset, settings = RUNS[name]
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={str(value).lower()}")]
    return ["train", preset, "--data", str(text), "--out", str(run), "--steps", str(STEPS), *sets]


def contents(run, step=STEPS):
    """What equal runs have in common: every byte of these files."""
    names = ("log.jsonl", "samples.txt", "config.toml")
    found = {name: (run / name).read_bytes() for name in names}
    for path in sorted((run / "checkpoints").glob(f"step-{step}/*")):
        found[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of all runs, on one process and on 2 and 4 ranks; and a few on 3."""
    return once(tmp_path_factory, "ranks", make_runs)


def make_runs(folder):
    text = folder / "text.txt"
    text.write_text(TEXT + TEXT.replace(" says ", ". It said ").replace("\n", "\n\n"))

    def cases(names, ranks):
        return [
            {
                "arguments": arguments(text, folder / f"{name}-{ranks}", name),
                "overlap": name != "late",
                "bucket": 1 << 16 if name in ("buckets", "late") else 1 << 21,
            }
            for name in names
        ]

    for ranks in (1, 2, 4):
        ended = launch(ranks, cases(RUNS, ranks), folder)
        assert ended.status == 0, ended.said
    ended = launch(3, [*cases(["gpt", "bert", "muon"], 3), *cases(["gpt"], "3again")], folder)
    assert ended.status == 0, ended.said


def test_ranks_give_the_bits_of_one_process(trained):
    """And whether gradients are sent while the backward pass goes on changes none."""
    for name in RUNS:
        one, two, four = (contents(trained / f"{name}-{ranks}") for ranks in (1, 2, 4))
        assert one == two == four and len(one) >= 7, name  # weights, moments, state, hashes
    early, late = (contents(trained / f"{name}-2") for name in ("buckets", "late"))
    assert early == late


def test_three_ranks_differ_by_rounding_alone(trained):
    """Four shards cannot be shared out among three: there are three of them. Repeats are identical."""
    for name in ("gpt", "bert", "muon"):
        one, three = (losses(trained / f"{name}-{ranks}") for ranks in (1, 3))
        assert three == pytest.approx(one, rel=1e-6) and len(one) == STEPS
    assert contents(trained / "gpt-3") == contents(trained / "gpt-3again")
    assert contents(trained / "gpt-3") != contents(trained / "gpt-1")


def test_a_gpu_s_arrays_travel_through_the_cpu_s_memory(tmp_path):
    """Where NCCL is missing, or two ranks share a GPU."""
    ended = launch(3, [{"staged": True}], tmp_path)
    assert ended.status == 0 and sorted(ended.said.split()) == ["True"] * 6 + ["staged"] * 3


def losses(run):
    return [line["loss"] for line in map(json.loads, (run / "log.jsonl").open()) if "loss" in line]


@pytest.mark.parametrize("name, before, after", [("muon", 2, 4), ("gpt", 4, 1), ("gpt", 2, 3)])
def test_a_run_goes_on_with_another_number_of_ranks(trained, name, before, after, tmp_path):
    """From the checkpoint in the middle of a run; with three ranks by rounding, else to the bit."""
    run = tmp_path / "run"
    shutil.copytree(trained / f"{name}-{before}", run)
    shutil.rmtree(run / f"checkpoints/step-{STEPS}")
    line = [{"arguments": ["train", "--resume", str(run)]}]
    ended = launch(after, line, tmp_path)
    assert ended.status == 0, ended.said
    if after == 3:
        assert losses(run) == pytest.approx(losses(trained / f"{name}-1"), rel=1e-6)
    else:
        assert contents(run) == contents(trained / f"{name}-1")
