"""The arguments of `minigpt bench`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigpt.cli.arguments.names import DTYPES, GPU_SHAPES, SHAPES
from minigpt.cli.parser import Parser
from minigpt.lab.benchmark import CLOCKS, OPPONENTS

_WORKERS = "how many processes (threads where the system cannot fork); default: one for each core"
_ROUNDS = "measured rounds of each shape"
_CLOCK = "cpu: compare CPU time, which is right also while others use the machine (with --workers 1: of one thread)"


def step(add: Parser) -> None:
    add.example("minigpt bench step --shape S --against torch")
    shapes = "; ".join(f"{name} is {about}" for name, about in SHAPES.items())
    sizes = f"the size of the model; may be repeated; default: S, M, L: {shapes}"
    add.choice("--shape", (*SHAPES, *GPU_SHAPES), sizes, action="append")
    add.count("--repeats", _ROUNDS, default=20)
    add.count("--workers", _WORKERS)
    add.backend()
    rivals = ", ".join(f"{name} ({what})" for name, what in OPPONENTS.items())
    add.value("--against", "WHAT", f"time in the same run: {rivals}", type=opponents, default=[])
    add.choice("--clock", CLOCKS, _CLOCK, default="wall")
    add.flag("--profile", "print how long each operation takes, in one thread")
    ranks = "time it on the processes that mpiexec started: mpiexec -n 2 minigpt bench step --ranks"
    add.flag("--ranks", ranks)
    add.choice("--dtype", DTYPES, "what a GPU's step computes with", default="float32")


def decode(add: Parser) -> None:
    add.example("minigpt bench decode --shape L --against torch")
    add.flag("--prompt", "time the reading of a prompt of 512 tokens instead")
    sizes = "the size of the model; may be repeated; default: L. SmolLM: a Llama of 135M parameters, with --prompt"
    add.choice("--shape", ("S", "M", "L", "SmolLM"), sizes, action="append")
    add.count("--repeats", _ROUNDS, default=20)
    add.count("--workers", "BLAS threads; default: one for each core")
    rivals = "torch (SmolLM: transformers), int8 (the 8-bit weights): time it in the same run"
    add.value("--against", "WHAT", rivals, type=_names, default=[])
    add.count("--busy", "processes that compute beside it all the time; default: none")
    add.choice("--clock", CLOCKS, _CLOCK, default="wall")


def machine(add: Parser) -> None:
    add.example("minigpt bench machine")
    add.count("--repeats", "rounds of each measurement", default=20)


def scaling(add: Parser) -> None:
    add.example("minigpt bench scaling --out scaling.png")
    add.add_argument("--out", type=Path, default=Path("scaling.png"), help="the plot; default: scaling.png")
    add.count("--repeats", _ROUNDS, default=7)
    add.count("--workers", _WORKERS)
    add.choice("--clock", CLOCKS, _CLOCK, default="wall")


def tokenizer(add: Parser) -> None:
    add.example("minigpt bench tokenizer book.txt --against tokenizers,tiktoken")
    add.value("files", "FILE", "UTF-8 text files, taken together", nargs="+")
    add.count("--merges", "merges to learn (8000)", default=8000)
    add.count("--repeats", "runs of each; medians are shown", default=5)
    add.value("--against", "NAMES", "libraries to compare: tokenizers,tiktoken", default="")
    add.choice("--clock", CLOCKS, "cpu: compare processor time, all threads together", default="wall")
    add.value("--vocab", "FILE", "encode with this tokenizer (vocab.bpe) instead of the trained")


def attention(add: Parser) -> None:
    add.example("minigpt bench attention --backend cupy --dtype bfloat16 --against torch")
    add.backend()
    add.several("--shape", "BxHxTxD", "rows, heads, tokens, width", type=shape)
    add.choice("--dtype", DTYPES, default="float32")
    add.several("--only", "NAME", "such as cuda:mma; may be repeated")
    add.flag("--no-causal", "every query sees every key")
    add.count("--repeats", "timed calls of each", default=20)
    add.choice("--against", ("torch",), "PyTorch's scaled_dot_product_attention in the same run")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def opponents(text: str) -> list[str]:
    """An argument type: names of opponents with commas between them."""
    names = _names(text)
    for name in names:
        if name not in OPPONENTS:
            raise argparse.ArgumentTypeError(f"cannot compare with {name!r}; there are {', '.join(OPPONENTS)}")
    return names


def shape(text: str) -> Any:
    """An argument type: BxHxTxD."""
    from minigpt.lab.benchmark.attention import Shape

    try:
        return Shape.parse(text)
    except (ValueError, TypeError):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form BxHxTxD, such as 8x12x1024x64") from None
