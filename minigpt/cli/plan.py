"""`minigpt plan`: what training a model would take, on paper: parameters, arithmetic, memory, a layout, days, cost."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from minigpt.cli.arguments.training import PRECISIONS
from minigpt.cli.common import show
from minigpt.lab.plan import find_gpu, make_plan, report
from minigpt.lab.plan.workload import vocabulary
from minigpt.train import config as configuration


def run(args: argparse.Namespace) -> None:
    values = configuration.apply_settings(configuration.read_preset(args.preset), args.settings)
    config = configuration.build_config(values)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=vocabulary(config)))
    plan = make_plan(
        Path(args.preset).stem if args.preset.endswith(".toml") else args.preset,
        config,
        find_gpu(args.gpu),
        gpus=args.gpus,
        tokens=args.tokens,
        precision=PRECISIONS.get(args.precision, args.precision or ""),
        mfu=args.mfu,
        price=args.price,
    )
    show(args, report.values(plan), report.text(plan))
