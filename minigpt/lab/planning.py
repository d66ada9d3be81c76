"""What `minigpt plan` says: a plan of a preset, and a step of it simulated on a number of ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError
from minigpt.core.settings import build_section
from minigpt.lab.plan import find_gpu, make_plan, report
from minigpt.lab.plan.workload import vocabulary
from minigpt.lab.simulate import figure
from minigpt.lab.simulate import report as simulated
from minigpt.lab.simulate.cluster import Cluster
from minigpt.lab.simulate.study import study
from minigpt.train import config as configuration


def planned(
    preset: str,
    settings: Sequence[str],
    gpu: str,
    *,
    gpus: int | None,
    simulate: int | None,
    path: Path | None,
    **how: Any,
) -> tuple[dict[str, Any], str]:
    """The values, and text.

    Args:
        settings: "section.key=value"; the section "cluster" is the simulation's.
        simulate: on how many ranks; None: nothing is simulated.
        path: where the simulation is drawn, if it is.
        how: see `minigpt.lab.plan.make_plan`.
    """
    values = configuration.apply_settings(configuration.read_preset(preset), settings)
    cluster = values.pop("cluster", {})
    if cluster and simulate is None:
        raise UserError("[cluster] is for a simulation; say on how many ranks with --simulate N")
    config = configuration.build_config(values)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=vocabulary(config)))
    name = Path(preset).stem if preset.endswith(".toml") else preset
    plan = make_plan(name, config, find_gpu(gpu), gpus=gpus or (None if gpu == "cpu" else simulate), **how)
    found, text = report.values(plan), report.text(plan)
    if simulate is not None:
        simulation = study(plan, simulate, build_section("cluster", Cluster, cluster))
        found["simulation"] = simulated.values(simulation)
        text += "\n" + simulated.text(simulation)
        if path:
            figure.save(simulation, plan.name, path)
    return found, text
