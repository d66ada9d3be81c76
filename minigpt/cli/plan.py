"""`minigpt plan`: what training a model would take, on paper: parameters, arithmetic, memory, a layout, days, cost."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from pathlib import Path
from typing import Any

from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import at_least, new_parser, print_json
from minigpt.core.errors import UserError
from minigpt.lab.plan import GPUS, find_gpu, make_plan, report
from minigpt.lab.plan.workload import vocabulary
from minigpt.train import config as configuration

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_LAYERS = 10_000
_PRECISIONS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "plan",
        COMMANDS["plan"],
        "minigpt plan gpt3-175b --gpu a100 --gpus 1024 --price 2",
    )
    parser.add_argument(
        "preset", metavar="PRESET|CONFIG.toml", help="the model and its training, as for `minigpt train`"
    )
    parser.add_argument(
        "--gpu", default="h100", metavar="NAME", help=f"{', '.join(sorted(GPUS))} (by default h100), or cpu"
    )
    parser.add_argument(
        "--gpus", type=at_least(1), metavar="N", help="by default the smallest power of two that it fits on"
    )
    parser.add_argument(
        "--tokens", type=token_count, metavar="N", help="such as 300B; by default what the preset trains on"
    )
    parser.add_argument(
        "--precision",
        choices=(*_PRECISIONS, *_PRECISIONS.values()),
        metavar="P",
        help="bf16, fp16 or fp32; by default the GPU's best 16-bit one",
    )
    parser.add_argument(
        "--mfu", type=fraction, metavar="X", help="assumed part of the peak that is useful arithmetic; by default 0.4"
    )
    parser.add_argument("--price", type=price, metavar="P", help="of one GPU for an hour; without it there is no cost")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one setting, such as model.layers=24; may be repeated",
    )
    parser.set_defaults(run=run)


def token_count(text: str) -> int:
    """A number of tokens with or without a unit: 300B, 1.4T, 5e9."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d{1,2})?)([kmbt]?)", text.strip().lower())
    value = round(float(match[1]) * _UNITS[match[2]]) if match else 0
    if not 1 <= value < 1e18:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens, such as 300B or 5e9")
    return value


def fraction(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def price(text: str) -> float:
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a price")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def run(args: argparse.Namespace) -> int:
    values = configuration.apply_settings(configuration.read_preset(args.preset), args.settings)
    config = configuration.build_config(values)
    for name, value in vars(config.model).items():
        if name.endswith("layers") and value > _LAYERS:
            raise UserError(f"model.{name} is {value}; a plan, which counts layer by layer, goes up to {_LAYERS}")
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=vocabulary(config)))
    plan = make_plan(
        Path(args.preset).stem if args.preset.endswith(".toml") else args.preset,
        config,
        find_gpu(args.gpu),
        gpus=args.gpus,
        tokens=args.tokens,
        precision=_PRECISIONS.get(args.precision, args.precision or ""),
        mfu=args.mfu,
        price=args.price,
    )
    if args.json:
        print_json(report.values(plan))
    else:
        print(report.text(plan))
    return 0
