"""Small pretrained models and small tasks, in the files that the tasks come in, for tests of fine-tuning."""

from pathlib import Path

import numpy as np

from minigpt.cli import main

NAMES = ("Anna", "Bert", "Carl", "Dora", "Emil", "Fred")
THINGS = ("ball", "book", "cup", "hat", "key", "pen")
TEXT = "".join(f"{name} has a {thing}. The {thing} is red. " for name in NAMES for thing in THINGS) * 3

MODELS = {
    "gpt": [
        "tiny",
        "--tokenizer",
        "bpe:300",
        "--set",
        "model.width=32",
        "--set",
        "model.heads=4",
        "--set",
        "model.layers=2",
    ],
    "llama": ["llama-tiny", "--tokenizer", "bpe:300", "--set", "model.width=16", "--set", "model.layers=1"],
    "bert": ["bert-tiny", "--tokenizer", "wordpiece:60", "--set", "model.width=16", "--set", "model.layers=1"],
    "bart": ["bart-tiny", "--tokenizer", "bpe:300", "--set", "model.width=16", "--set", "model.encoder_layers=1"],
}


def pretrain(family: str, folder: Path, steps: int = 3) -> Path:
    """A run of this family that has hardly learned anything."""
    text = folder / "text.txt"
    text.write_text("\n\n".join([TEXT] * 3), encoding="utf-8")
    command = ["train", *MODELS[family], "--data", str(text), "--out", str(folder / family), "--steps", str(steps)]
    more = ["--set", "model.context=64", "--set", "train.batch=4", "--set", "train.sample_every=0"]
    assert main([*command, *more, "--set", "train.workers=1"]) == 0
    return folder / family


def claims(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Premise, hypothesis, and whether it follows: the thing is the same one."""
    draw = np.random.default_rng(seed)
    rows = []
    for n in range(count):
        name, thing, other = NAMES[draw.integers(6)], *draw.permutation(THINGS)[:2]
        claimed, label = ((thing, "entailment"), (other, "not_entailment"))[n % 2]
        rows.append((f"{name} has a {thing}.", f"{name} has a {claimed}.", label))
    return rows


def write_rte(folder: Path, train: int = 40, dev: int = 20, test: int = 20) -> Path:
    """RTE's files, with a test part that has labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate({"train": train, "dev": dev, "test": test}.items()):
        lines = [f"{i}\t{a}\t{b}\t{label}" for i, (a, b, label) in enumerate(claims(count, seed))]
        text = "\n".join(["index\tsentence1\tsentence2\tlabel", *lines]) + "\n"
        (folder / f"{part}.tsv").write_text(text, encoding="utf-8")
    return folder


def write_swag(folder: Path, count: int = 12) -> Path:
    """SWAG's files: four endings, of which one speaks of the thing."""
    folder.mkdir(parents=True, exist_ok=True)
    header = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label"
    for seed, part in enumerate(("train", "val")):
        draw, lines = np.random.default_rng(seed), [header]
        for n in range(count):
            right, things = n % 4, draw.permutation(THINGS)[:4]
            endings = ",".join(f"looks at the {thing}." for thing in things)
            lines.append(f"{n},v,{n},Anna,Anna has a {things[right]}.,Anna,gold,{endings},{right}")
        (folder / f"{part}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_stsb(folder: Path, count: int = 12) -> Path:
    """STS-B's files: two sentences about the same thing are similar."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2", "score"]
    for seed, part in enumerate(("train", "dev")):
        lines = ["\t".join(names)]
        for n, (a, b, label) in enumerate(claims(count, seed)):
            score = "5.000" if label == "entailment" else "1.000"
            lines.append("\t".join([str(n), "g", "f", "y", "o", "s", "s", a, b, score]))
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def finetune(run: Path, task: str, data: Path, out: Path, *more: str) -> int:
    command = ["finetune", str(run), "--task", task, "--data", str(data), "--out", str(out), *more]
    return main([*command, "--set", "train.workers=2", "--set", "train.batch=8"])
