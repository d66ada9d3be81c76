"""`minigpt plan`: what training a model would take, on paper: parameters, arithmetic, memory, a layout, days, cost."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from minigpt.cli.arguments.training import PRECISIONS
from minigpt.cli.common import figure_out, show
from minigpt.core.errors import UserError
from minigpt.core.settings import build_section
from minigpt.lab.plan import find_gpu, make_plan, report
from minigpt.lab.plan.workload import vocabulary
from minigpt.lab.simulate import report as simulated
from minigpt.lab.simulate.cluster import Cluster
from minigpt.lab.simulate.study import study
from minigpt.train import config as configuration


def run(args: argparse.Namespace) -> None:
    values = configuration.apply_settings(configuration.read_preset(args.preset), args.settings)
    given = values.pop("cluster", {})
    if (given or args.out or args.force) and args.simulate is None:
        raise UserError("[cluster], --out and --force are for a simulation; say on how many ranks with --simulate N")
    path = figure_out(args)
    config = configuration.build_config(values)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=vocabulary(config)))
    plan = make_plan(
        Path(args.preset).stem if args.preset.endswith(".toml") else args.preset,
        config,
        find_gpu(args.gpu),
        gpus=args.gpus or (None if args.gpu == "cpu" else args.simulate),
        tokens=args.tokens,
        precision=PRECISIONS.get(args.precision, args.precision or ""),
        mfu=args.mfu,
        price=args.price,
    )
    found, text = report.values(plan), report.text(plan)
    if args.simulate is not None:
        simulation = study(plan, args.simulate, build_section("cluster", Cluster, given))
        found["simulation"] = simulated.values(simulation)
        text += "\n" + simulated.text(simulation)
        if path:
            from minigpt.lab.simulate.figure import save  # Matplotlib takes longer to import than a plan to make

            save(simulation, plan.name, path)
    show(args, found, text)
