"""`minigpt sample`: let a trained model continue a prompt."""

from __future__ import annotations

import argparse
import json
import sys

from minigpt.cli.abilities import WRITE
from minigpt.cli.common import only_text
from minigpt.core.backend import get_backend
from minigpt.core.terminal import for_stream
from minigpt.generate.settings import shown
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import load

GIVEN = ("tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram", "beams")


def run(args: argparse.Namespace) -> None:
    loaded = load(find_model(args.run_folder, WRITE), backend=get_backend(args.backend).name, weights=args.weights)
    own = loaded.config.sample
    prompt = own.prompt if args.prompt is None else only_text("--prompt", args.prompt)
    given = {name: getattr(args, name) for name in GIVEN}
    pieces = loaded.pieces(prompt, given, args.seed, tokens=own.tokens, drawing=own.temperature)
    if args.json:
        tokens = args.tokens or (loaded.generation or {}).get("max_new_tokens") or own.tokens
        written = {"prompt": prompt, "text": "".join(pieces).removeprefix(prompt), "tokens": tokens}
        print(json.dumps(written | {"settings": loaded.generation or {}}))
        return
    if loaded.generation:
        said = ", ".join(f"{name} {shown(value)}" for name, value in loaded.generation.items())
        print(f"The model's own settings, unless others are given: {said}", file=sys.stderr)
    for piece in pieces:
        sys.stdout.write(for_stream(piece, sys.stdout))
        sys.stdout.flush()
    sys.stdout.write("\n")
