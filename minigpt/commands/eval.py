"""`minigpt eval`: a trained model's loss on a whole text."""

from __future__ import annotations

import argparse
from typing import Any

from minigpt.api import load
from minigpt.commands.common import add_run_argument, new_parser, print_json
from minigpt.data import shards, text
from minigpt.data.dataset import load_dataset
from minigpt.errors import UserError
from minigpt.evaluate import mean_loss
from minigpt.progress import progress_bar
from minigpt.train.run_folder import find_run
from minigpt.train.shards import ShardPool, available_cores


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
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy", help="where to compute")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    loaded = load(find_run(args.run_folder), backend=args.backend)
    tokens = _tokens(loaded, args.data)
    if len(tokens) < 2:
        raise UserError(f"{', '.join(args.data)} has {len(tokens)} tokens; at least 2 are needed to predict one")
    workers = available_cores() if args.backend == "numpy" else 1
    to_device = loaded._array
    with (
        ShardPool(workers) as pool,
        progress_bar(total=len(tokens) - 1, unit="token", unit_scale=True, leave=False) as bar,
    ):
        score = mean_loss(loaded.model, loaded.params, tokens, pool=pool, to_device=to_device, on_batch=bar.update)
    predicted = loaded.tokenizer.decode(tokens[1:].tolist())
    values = {
        "loss": score.loss,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte(len(predicted.encode("utf-8"))),
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


def _tokens(loaded: Any, data: list[str] | None) -> Any:
    if data:
        files = text.resolve_sources(data)
        return shards.encode_files(files, loaded.tokenizer, text.fingerprint(files))
    c = loaded.config
    return load_dataset(
        c.data.sources,
        loaded.tokenizer,
        validation_fraction=c.data.validation_fraction,
        context=c.model.context,
    ).validation
