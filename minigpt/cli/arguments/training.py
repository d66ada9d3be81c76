"""The arguments of the commands that train, or plan to."""

from __future__ import annotations

import argparse
import re
from typing import Any

from minigpt.cli.arguments import names
from minigpt.cli.parser import Parser
from minigpt.data.corpora import DEFAULT, corpus_names
from minigpt.train.presets import preset_names

DEFAULT_PRESET = "sprint"
PRECISIONS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def train(add: Parser) -> None:
    add.example(
        "minigpt train",
        "minigpt train --data my_texts/ --tokenizer bpe:2048 --set train.steps=500 --set model.layers=6",
        "minigpt train --resume runs/sprint-1",
    )
    presets = f"what to train; default: {DEFAULT_PRESET}. Presets: {', '.join(preset_names())}"
    add.value("preset", "PRESET|CONFIG.toml", presets, nargs="?")
    corpora = f"{', '.join(corpus_names())}; tinyshakespeare is downloaded"
    texts = f"a UTF-8 text file, a folder of them, or a corpus ({corpora}); may be repeated"
    add.several("--data", "FILE|DIR|NAME", texts)
    tokenizers = "train one (char, byte, bpe:SIZE, wordpiece:SIZE, gpt:SIZE), or open a tokenizer's file or folder"
    add.value("--tokenizer", "KIND|FILE", tokenizers)
    add.value("--out", "DIR", "the run's folder; by default runs/PRESET-N")
    add.flag("--force", "replace the run in --out if there is one")
    add.value("--resume", "RUN", "continue this run from its newest checkpoint")
    add.count("--steps", "train until step N")
    add.count("--seed", "random seed of the initial weights, the batches and dropout", least=0)
    add.choice(
        "--optimizer",
        names.OPTIMIZERS,
        "muon: Muon for the matrices of the blocks, AdamW for the rest; default: as the preset says",
    )
    add.backend()
    add.settings(" of the preset, such as optimizer.weight_decay=0")


def average(add: Parser) -> None:
    add.example("minigpt average runs/transformer-tiny-1 --last 5")
    add.run_folder(also="")
    add.count("--last", "how many checkpoints; default: 5", default=5)
    add.value("--out", "DIR", "the new run's folder; by default RUN-average")


def plan(add: Parser) -> None:
    add.example(
        "minigpt plan gpt3-175b --gpu a100 --gpus 1024 --price 2",
        "minigpt plan gpt2 --simulate 64 --set cluster.network=12.5e9 --out step.png",
    )
    add.value("preset", "PRESET|CONFIG.toml", "the model and its training, as in `minigpt train`")
    add.value("--gpu", "NAME", f"{', '.join(names.GPUS)} (by default h100), or cpu", default="h100")
    add.count("--gpus", "how many GPUs; default: the smallest power of two that the training fits on")
    add.value("--tokens", "N", "tokens to train on, such as 300B; default: as the preset says", type=token_count)
    precisions = "bf16, fp16 or fp32; default: the best 16-bit format of the GPU"
    add.choice("--precision", (*PRECISIONS, *PRECISIONS.values()), precisions, metavar="P")
    add.value("--mfu", "X", "the share of the peak speed that training uses; default: 0.4", type=fraction)
    add.value("--price", "P", "price of one GPU for an hour, for the cost", type=price)
    ranks = "simulate a step on N ranks, with the links, stragglers and failures of the section [cluster]"
    add.count("--simulate", ranks)
    add.value("--out", "FILE.png", "draw the simulation: efficiency against ranks, and one step")
    add.flag("--force", "replace the picture in --out if there is one")
    add.settings(", such as model.layers=24, or of the cluster, such as cluster.spread=0.02")


def scaling(add: Parser) -> None:
    add.example(
        "minigpt scaling --out family",
        "minigpt scaling --resume family    (after an interruption)",
        "minigpt scaling --data storyworld:list --context 72 --tokens 3M --out lists",
    )
    sizes = f"layers x width; default: {' '.join(names.SIZES)}. The largest is predicted from the others"
    add.value("--sizes", "LxC", sizes, type=size, nargs="+")
    texts = f"the text; default: {DEFAULT}, whose entropy is known ({DEFAULT}:KIND: documents of one kind only)"
    add.value("--data", "FILE|DIR|NAME", texts)
    add.value("--tokens", "N", "training tokens of each run; default: 1.6M", type=token_count)
    add.count("--seeds", "runs of each size; default: 1")
    context = f"tokens of a row; default: {names.CONTEXT}. (A row of 72 holds one list of the story world, rarely two)"
    add.count("--context", context, least=8, metavar="T")
    add.value("--out", "DIR", "the family's folder; by default runs/scaling-N")
    add.value("--resume", "DIR", "continue a family, or measure it again")
    shots = "numbers of examples before a few-shot question; default: 0 1 2 4 8; without a number, nothing is asked"
    add.count("--shots", shots, least=0, metavar="K", nargs="*")
    add.count("--questions", "how many few-shot questions", default=names.QUESTIONS)


def size(text: str) -> Any:
    """An argument type: layers x width, such as 2x48."""
    from minigpt.lab.scaling.family import parse_size

    try:
        return parse_size(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write layers x width, such as 2x48") from None


def token_count(text: str) -> int:
    """An argument type: a number of tokens with or without a unit: 300B, 1.4T, 5e9."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d{1,2})?)([kmbt]?)", text.strip().lower())
    value = float(match[1]) * _UNITS[match[2]] if match else 0
    if not 0.5 < value < 1e18:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens, such as 300B or 5e9")
    return round(value)


def fraction(text: str) -> float:
    value = _number(text)
    if not 1e-9 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1, or too small")
    return value


def price(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1e12:
        raise argparse.ArgumentTypeError(f"{text} is not a price")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
