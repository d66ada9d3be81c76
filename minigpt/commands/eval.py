"""`minigpt eval`: a trained model's loss on a whole text."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from minigpt.api import load
from minigpt.backend import get_backend
from minigpt.commands.common import add_run_argument, new_parser, print_json
from minigpt.data import shards, text
from minigpt.data.dataset import run_dataset
from minigpt.dispatch import operations
from minigpt.errors import UserError
from minigpt.evaluate import mean_loss, text_bytes
from minigpt.progress import progress_bar
from minigpt.train.checkpoint import latest_checkpoint, load_state
from minigpt.train.run_folder import find_run
from minigpt.train.shards import ShardPool, available_cores
from minigpt.train.trainer import check_same_text


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "eval",
        "measure a model's loss, perplexity and bits per byte on a text",
        "minigpt eval runs/tiny-1 --data my_text.txt",
    )
    add_run_argument(parser)
    parser.add_argument(
        "--data",
        action="append",
        metavar="FILE|DIR|NAME",
        help="the text, all of it; by default the validation part of the text that the run was trained on",
    )
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    folder = find_run(args.run_folder)
    backend = get_backend(args.backend)
    loaded = load(folder, backend=backend.name)
    tokens = _tokens(folder, loaded, args.data)
    if len(tokens) < 2:
        raise UserError(f"{', '.join(args.data)} has {len(tokens)} tokens; at least 2 are needed to predict one")
    workers = available_cores() if backend.name == "numpy" else 1
    with (
        ShardPool(workers, operations("auto", backend)) as pool,
        progress_bar(total=len(tokens) - 1, unit="token", unit_scale=True, leave=False) as bar,
    ):
        score = mean_loss(
            loaded.model, loaded.params, tokens, pool=pool, to_device=backend.asarray, on_batch=bar.update
        )
    if not math.isfinite(score.loss):
        raise UserError(f"the loss of {folder} on this text is {score.loss}: its training went wrong")
    values = {
        "loss": score.loss,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte(text_bytes(loaded.text, tokens[1:])),
        "tokens": score.tokens,
    }
    if args.json:
        print_json(values)
    else:
        print(
            f"loss {score.loss:.4f} nats per token, perplexity {score.perplexity:.3f}, "
            f"{values['bits_per_byte']:.4f} bits per byte, over {score.tokens} tokens"
        )
    return 0


def _tokens(folder: Path, loaded: Any, data: list[str] | None) -> Any:
    if data:
        files = text.resolve_sources(data)
        return shards.encode_files(files, loaded.text, text.fingerprint(files))
    state = load_state(latest_checkpoint(folder))
    if state["data"] is None:
        raise UserError(f"{folder} was converted, not trained: give the text to measure it on with --data")
    dataset = run_dataset(folder, loaded.config, loaded.text)
    check_same_text(dataset, state, folder)
    return dataset.validation
