"""`minigpt explain`: a page on which a model's forward and backward pass, or a CUDA kernel, can be walked through."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt.cli.abilities import EXPLAIN
from minigpt.cli.common import new_path, only_text, show
from minigpt.core.errors import UserError
from minigpt.core.settings import require
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import load
from minigpt.train.run_folder import is_run


def run(args: argparse.Namespace) -> None:
    out = new_path(args.out, (".html", ".htm"), "HTML", force=args.force)
    if args.kernels:
        _kernels(args, out)
        return
    require(args.prompt is not None, "explain needs --prompt TEXT, or --kernels")
    prompt = only_text("--prompt", args.prompt)
    target = None if args.target is None else only_text("--target", args.target)
    path = find_model(args.run_folder, EXPLAIN)
    if args.replay and not is_run(path):
        raise UserError(f"--replay shows the checkpoints of a run, and {path} is none")
    from minigpt.lab.explain import explain  # matplotlib takes a second to import

    film, name = path if args.replay else None, path.resolve().name
    page = explain(load(path), prompt, target=target, layers=args.layers, heads=args.heads, name=name, replay=film)
    page.save(out)
    _tell(args, out, len(page.data["steps"]), {"loss": page.data["loss"]})


def _kernels(args: argparse.Namespace, out: Path) -> None:
    """The page of flash attention's kernel, for which no model is needed."""
    given = args.parser.given(args).values()
    if names := [name for name in given if name not in ("--kernels", "--out", "--force", "--json")]:
        raise UserError(f"--kernels shows a kernel on numbers of its own, and has no use for {', '.join(names)}")
    from minigpt.lab.explain.kernel_page import explain_kernels

    page = explain_kernels()
    page.save(out)
    _tell(args, out, len(page.data["steps"]), {})


def _tell(args: argparse.Namespace, out: Path, steps: int, more: dict[str, float]) -> None:
    size = out.stat().st_size
    values = {"page": str(out), "steps": steps, **more, "bytes": size}
    show(args, values, f"{out}: {steps} steps, {size / 1e6:.1f} MB; open it in a browser")
