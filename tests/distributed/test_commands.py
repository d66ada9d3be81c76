"""What else takes long uses the ranks: fine-tuning, evaluation, a family of sizes, checkpoints without training."""

import json

import pytest

from ..cli.finetuned import MODELS, TEXT, write_rte
from .launching import launch, once
from .test_ranks import contents

pytestmark = pytest.mark.mpi


def lines(folder, task, ranks):
    """The commands of one launch: what they write goes into folders of their own."""
    run, tuned = (str(folder / f"{name}-{ranks}") for name in ("run", "tuned"))
    sets = ["model.context=64", "train.batch=4", "train.sample_every=0", "train.workers=2", "train.operations=fast"]
    sets += ["train.checkpoint_powers=true", "model.dropout=0"]
    train = ["train", *MODELS["gpt"], "--data", str(folder / "text.txt"), "--out", run, "--steps", "4"]
    tune = ["finetune", run, "--task", "rte", "--data", str(task), "--out", tuned, "--epochs", "1", "--json"]
    return [
        [*train, *(part for one in sets for part in ("--set", one))],
        ["eval", run, "--json"],
        [*tune, "--set", "train.workers=2", "--set", "train.operations=fast"],
        ["eval", tuned, "--split", "test", "--json"],
        ["zeroshot", run, "--task", "rte", "--data", str(task), "--checkpoints", "--json"],
    ]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What one process and two ranks say: each a list of the JSON objects that were printed."""
    folder, found = once(tmp_path_factory, "commands", make_all), {}
    for ranks in (1, 2):
        said = (folder / f"said-{ranks}").read_text()
        found[ranks] = [json.loads(line) for line in said.split("\n") if line.startswith("{")]
    return folder, found


def make_all(folder):
    (folder / "text.txt").write_text("\n\n".join([TEXT] * 3))
    task = write_rte(folder / "rte")
    for ranks in (1, 2):
        ended = launch(ranks, [{"arguments": line} for line in lines(folder, task, ranks)], folder)
        assert ended.status == 0, ended.said
        (folder / f"said-{ranks}").write_text(ended.said)


def test_every_command_says_once_what_one_process_says(said):
    _, found = said
    assert len(found[1]) == len(found[2]) == 4
    for one, two in zip(found[1], found[2], strict=True):
        assert without_places(one) == without_places(two)


def test_fine_tuning_on_ranks_keeps_the_bits(said):
    folder, _ = said
    steps = sorted(int(path.name.removeprefix("step-")) for path in (folder / "tuned-1/checkpoints").iterdir())
    one, two = (contents(folder / f"tuned-{ranks}", steps[-1]) for ranks in (1, 2))
    one.pop("config.toml"), two.pop("config.toml")  # which name the pretrained run's folder
    weights = [name for name in one if name.endswith("safetensors")]
    assert (
        len(weights) == 2 and all(one[name] == two[name] for name in weights) and one["log.jsonl"] == two["log.jsonl"]
    )


def test_a_family_of_sizes_is_the_same_on_ranks(tmp_path):
    found, text = {}, tmp_path / "text.txt"
    text.write_text("\n\n".join([TEXT] * 3))
    for ranks in (1, 2):
        line = ["scaling", "--sizes", "1x16", "1x24", "1x32", "--tokens", "1k", "--out", f"family-{ranks}", "--json"]
        line += ["--data", str(text), "--context", "32"]
        ended = launch(ranks, [{"arguments": line}], tmp_path)
        assert ended.status == 0, ended.said
        found[ranks] = [json.loads(line) for line in ended.said.split("\n") if line.startswith("{")]
    assert without_places(found[1]) == without_places(found[2]) and len(found[1]) == 1


def test_a_benchmark_says_what_the_exchange_takes_and_a_rank_holds(tmp_path):
    line = ["bench", "step", "--ranks", "--shape", "S", "--repeats", "1"]
    ended = launch(2, [{"arguments": line}, {"arguments": [*line, "--json"]}], tmp_path)
    assert ended.status == 0, ended.said
    (found,) = (json.loads(line)["shapes"]["S"] for line in ended.said.split("\n") if line.startswith("{"))
    assert 0 < found["exchange"] < 1 and 0 < found["exchange_cpu"] < 1
    assert found["bytes"] == pytest.approx(found["zero_bytes"], rel=0.05)
    assert "% of it is exchange and waiting" in ended.said and f"take {found['bytes'] / 1e6:.2f} MB" in ended.said


def without_places(value):
    """JSON without folders and seconds."""
    if isinstance(value, dict):
        out = {"run", "figure", "family", "seconds", "tokens_per_second", "runs"}
        return {name: without_places(one) for name, one in value.items() if name not in out}
    return [without_places(one) for one in value] if isinstance(value, list) else value
