"""What lies on people's disks stays readable, and what is written stays what it was.

`stored/run` is a run of six steps that an earlier state of the code left. Today's code must open it and go on with it,
and must write files of the same structure: names, keys, kinds, shapes, and the very bytes of what no rounding touches.
A format that changes on purpose needs a reader of the old one first, which the stored run shows; then:

    python -m tests.train.test_stored_formats        # describes anew what is written
    python -m tests.train.test_stored_formats run    # and stores a run of today's code
"""

import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from minigpt.cli import main
from minigpt.interop.loaded import load
from minigpt.train.config import build_config, config_to_toml
from minigpt.train.families import FAMILIES
from minigpt.train.log import read_log
from minigpt.train.run_folder import load_config

from .runs import train, unlisted

STORED = Path(__file__).with_name("stored")
TEXT = "".join(f"{i} and {i * i} are numbers, {i % 7} is one too.\n" for i in range(120))
TOKENIZERS = ("char", "byte", "bpe:300", "gpt:60", "wordpiece:60")


def write(folder: Path) -> Path:
    """A run of six steps on the text, in a folder of its own with its token cache; returns the run's folder."""
    text = folder / "text.txt"
    text.write_text(TEXT, encoding="utf-8", newline="\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
        assert train(text, folder / "run", 6, train__workers=1) == 0
    return folder / "run"


def structure(run: Path) -> dict:
    """Every file of a run: for JSON its keys and kinds, for tensors names, types and shapes, else bytes or lines."""
    found = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.name.endswith(".safetensors"):
            header = read_header(path)
            metadata = header.pop("__metadata__", None)
            tensors = {tensor: [entry["dtype"], entry["shape"]] for tensor, entry in header.items()}
            found[name] = {"metadata": metadata, "tensors": tensors}
        elif path.name == "tokenizer.json":
            found[name] = path.read_text(encoding="utf-8")
        elif path.name in ("state.json", "hashes.json", "finished.json"):
            found[name] = kinds(json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".jsonl":
            found[name] = [kinds(json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        elif path.suffix == ".toml":
            lines = path.read_text(encoding="utf-8").split("\n")
            found[name] = [line if not line.endswith('text.txt",') else "(the text's path)" for line in lines]
        elif path.name == "samples.txt":
            lines = path.read_text(encoding="utf-8").split("\n")
            found[name] = [line for line in lines if line.startswith("--- step")]
        elif path.is_file():
            found[name] = "a file"
    return found


def read_header(path: Path) -> dict:
    """What a safetensors file says about itself: eight bytes of length, then JSON."""
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def kinds(value):
    """JSON with a type's name for every number and text; but what is a fingerprint or a position must be equal."""
    if isinstance(value, dict):
        exact = {"data", "tokenizer", "rows", "tokens", "step", "updates", "hashes"}
        return {k: v if k in exact else kinds(v) for k, v in value.items()}
    return type(value).__name__


def tokenizer_bytes(folder: Path) -> dict[str, str]:
    """The hash of the file of each kind of tokenizer, trained on the text."""
    text = folder / "text.txt"
    text.write_text(TEXT, encoding="utf-8", newline="\n")
    found = {}
    for kind in TOKENIZERS:
        name, _, size = kind.partition(":")
        path = folder / f"{name}.json"
        arguments = ["--kind", name, "--out", str(path), *(["--vocab-size", size] if size else [])]
        assert main(["tokenizer", "train", str(text), *arguments]) == 0
        found[kind] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def defaults() -> dict[str, list[str]]:
    """Every setting of a family's configuration that says nothing: what an older file means where it has no key."""
    found = {}
    for family in FAMILIES:
        config = build_config({"family": family, "model": {"vocab_size": 5}})
        found[family] = config_to_toml(config).split("\n")
    return found


def cache_bytes(folder: Path) -> dict[str, str]:
    """The names and hashes of the cached token shards."""
    tokens = folder / "cache" / "tokens"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(tokens.iterdir())}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def expected():
    return json.loads((STORED / "structure.json").read_text(encoding="utf-8"))


def test_a_run_is_written_as_ever(written, expected):
    ours = structure(written / "run")
    assert ours.keys() == expected["run"].keys()
    for name, content in expected["run"].items():
        assert ours[name] == content, name


def test_tokenizers_are_written_as_ever(tmp_path, expected):
    assert tokenizer_bytes(tmp_path) == expected["tokenizers"]


@pytest.mark.slow("test_parts_are_added_in_their_order: the two orders, and test_a_run_is_written_as_ever")
def test_a_run_of_before_there_was_a_tree_goes_on_in_sequence(tmp_path):
    """Four workers, whose configuration says nothing of sums: to the bits of one that was never stopped."""
    text, how = tmp_path / "text.txt", {"train__workers": 4, "train__operations": "fast", "train__batch": 4}
    text.write_text(TEXT, encoding="utf-8", newline="\n")
    for name, steps, sums in (("whole", 6, "sequence"), ("tree", 6, "tree"), ("run", 3, "sequence")):
        assert train(text, tmp_path / name, steps, train__sums=sums, **how, schedule__steps=6) == 0
    config = unlisted(tmp_path / "run") / "config.toml"
    config.write_text(config.read_text().replace('sums = "sequence"\n', ""))
    assert load_config(tmp_path / "run").train.sums == load_config(STORED / "run").train.sums == "sequence"
    assert main(["train", "--resume", str(tmp_path / "run"), "--steps", "6"]) == 0
    weights = [tmp_path / name / "checkpoints/step-6/model.safetensors" for name in ("run", "whole", "tree")]
    run, whole, tree = (path.read_bytes() for path in weights)
    assert run == whole != tree


def test_settings_that_a_file_leaves_out_mean_what_they_meant(expected):
    ours = defaults()
    assert ours.keys() == expected["defaults"].keys()
    for family, lines in expected["defaults"].items():
        assert ours[family] == lines


def test_cached_tokens_are_written_as_ever(written, expected):
    assert cache_bytes(written) == expected["cache"]


def test_a_stored_run_opens_and_goes_on(tmp_path):
    """Its loss is that of the log it was stored with, to rounding, and two more steps follow the six."""
    run, text = tmp_path / "run", tmp_path / "text.txt"
    shutil.copytree(STORED / "run", run)
    text.write_text(TEXT, encoding="utf-8", newline="\n")
    logged = read_log(run)
    assert logged[-1]["step"] == 6 and "val_loss" in logged[-1]
    m = load(run)
    assert m.generate("1", max_new_tokens=3)
    assert main(["train", "--resume", str(run), "--data", str(text), "--steps", "8"]) == 0
    again = read_log(run)
    assert [line["step"] for line in again if "loss" in line] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_repeated_run_has_the_stored_losses(written):
    """To rounding, which another BLAS does otherwise."""
    ours, theirs = (
        [line.get("loss", line.get("val_loss")) for line in read_log(run)] for run in (written / "run", STORED / "run")
    )
    assert ours == pytest.approx(theirs, abs=1e-4)


def store(run_too: bool) -> None:
    """Write structure.json anew, of what today's code leaves; and the stored run itself only if asked to.

    The run is without its curves, whose bytes depend on matplotlib.
    """
    from minigpt.cli import train as train_command

    train_command._draw_curves = lambda run: None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run = write(folder)
        content = {"run": structure(run), "cache": cache_bytes(folder), "defaults": defaults()}
        with tempfile.TemporaryDirectory() as other:
            content["tokenizers"] = tokenizer_bytes(Path(other))
        (STORED / "structure.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        if run_too:
            shutil.rmtree(STORED / "run", ignore_errors=True)
            shutil.copytree(run, STORED / "run", ignore=shutil.ignore_patterns("lock", "step-5"))
            config = STORED / "run" / "config.toml"
            settings = config.read_text(encoding="utf-8").replace(str(folder), os.sep + "elsewhere")
            config.write_text(settings, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(store(run_too="run" in sys.argv[1:]))


def test_a_configuration_is_read_where_nothing_writes_toml(tmp_path, monkeypatch):
    """On a machine where nothing can be installed."""
    monkeypatch.setitem(sys.modules, "tomli_w", None)
    spec = importlib.util.find_spec("minigpt.train.config")
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    path = tmp_path / "config.toml"
    path.write_text("[model]\nwidth = 32\n")
    assert fresh.build_config(fresh.read_preset(str(path))).model.width == 32
