"""`minigpt explain`: a page on which a model's forward and backward pass can be walked through."""

from __future__ import annotations

import argparse

from minigpt.cli.abilities import EXPLAIN
from minigpt.cli.common import only_text, page_path, show
from minigpt.core.errors import UserError
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import load
from minigpt.train.run_folder import is_run


def run(args: argparse.Namespace) -> None:
    out = page_path(args.out, force=args.force)
    prompt = only_text("--prompt", args.prompt)
    target = None if args.target is None else only_text("--target", args.target)
    path = find_model(args.run_folder, EXPLAIN)
    if args.replay and not is_run(path):
        raise UserError(f"--replay shows the checkpoints of a run, and {path} is none")
    from minigpt.lab.explain import explain  # matplotlib takes a second to import

    film = path if args.replay else None
    page = explain(load(path), prompt, target=target, layers=args.layers, name=path.resolve().name, replay=film)
    page.save(out)
    steps, size = len(page.data["steps"]), out.stat().st_size
    values = {"page": str(out), "steps": steps, "loss": page.data["loss"], "bytes": size}
    show(args, values, f"{out}: {steps} steps, {size / 1e6:.1f} MB; open it in a browser")
