"""`minigpt convert`: models of other implementations become runs; runs become models of theirs, or weights alone."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from minigpt import tokenizers
from minigpt.cli.common import show
from minigpt.core.errors import UserError
from minigpt.core.files import check_absent, new_folder
from minigpt.interop import llama2c
from minigpt.interop.chat.template import ChatTemplate, find_template, write_template
from minigpt.interop.gguf.writing import write_model as gguf_model
from minigpt.interop.hf.writing import write_model
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import Loaded, load
from minigpt.interop.token_roles import write_generation
from minigpt.tokenizers import fingerprint
from minigpt.tokenizers.base import check_fit
from minigpt.train.checkpoint import save_checkpoint
from minigpt.train.families import FAMILIES
from minigpt.train.integrity import GROWING
from minigpt.train.run_folder import fill_run


def run(args: argparse.Namespace) -> None:
    target = Path(args.target)
    check_absent(target)
    if args.pattern is not None and args.tokenizer in (None, "none"):
        raise UserError("--pattern says how the file given with --tokenizer cuts text, and there is none")
    source = find_model(args.source)
    loaded = load(source, dtype=None, tokenizer=args.tokenizer is None, skip=args.skip, fresh=args.fresh)
    if args.to != "run" and not isinstance(loaded.model, FAMILIES[loaded.config.family].model):
        raise UserError(f"{source} has a head for {loaded.config.task}; convert writes models as they are pretrained")
    if args.tokenizer not in (None, "none"):
        loaded = dataclasses.replace(loaded, tokenizer=tokenizers.load(args.tokenizer, pattern=args.pattern))
        check_fit(loaded.tokenizer, loaded.config.model.vocab_size)
    WRITERS[args.to](target, loaded, find_template(source, loaded.tokenizer, loaded.ids))
    values = {
        "target": str(target),
        "family": loaded.model.family,
        "parameters": loaded.model.parameter_count,
        "tokenizer": loaded.tokenizer.kind if loaded.tokenizer else None,
    }
    read_by = f", tokenizer {values['tokenizer']}" if loaded.tokenizer else ""
    show(args, values, f"{target}: {loaded.model.family}, {loaded.model.parameter_count:,} parameters{read_by}.")
    if not args.json:
        _advise(args, loaded)


def _advise(args: argparse.Namespace, loaded: Loaded) -> None:
    if not loaded.tokenizer:
        print("there was no tokenizer; give one with --tokenizer to read and write text", file=sys.stderr)
    elif args.to == "run" and getattr(loaded.config.model, "headless", False):
        print(f"It has no head that predicts; turn texts into vectors: minigpt embed {shlex.quote(args.target)} TEXT")
    elif args.to == "run":
        print(f"Let it write: minigpt sample {shlex.quote(args.target)}")


def _write_run(target: Path, loaded: Loaded, chat: ChatTemplate | None) -> None:
    """A run that begins with these weights: neither moments nor logs, and nothing that says what it was trained on."""
    known_by = fingerprint(loaded.tokenizer) if loaded.tokenizer else None
    state = {"data": None, "tokenizer": known_by, "positions": dict.fromkeys(GROWING, 0)}  # it saw no text of ours

    def first_checkpoint(folder: Path) -> None:
        save_checkpoint(folder, 0, loaded.params, None, state, keep=1)

    with new_folder(target) as beside:
        fill_run(beside, loaded.config, loaded.tokenizer, first_checkpoint)
        if loaded.generation is not None:
            write_generation(beside, loaded.ids, loaded.generation)
        if chat is not None:
            write_template(beside, chat)


def _write_hf(target: Path, loaded: Loaded, chat: ChatTemplate | None) -> None:
    # runs of ours draw from all tokens, transformers by default from the 50 most probable
    settings = {"top_k": 0} if loaded.generation is None else loaded.generation
    write_model(target, loaded.model, loaded.params, loaded.tokenizer, loaded.ids, settings)
    if chat is not None:
        write_template(target, chat)


def _write_llama2c(version: int, target: Path, loaded: Loaded, chat: ChatTemplate | None) -> None:
    llama2c.write_model(target, loaded.model, loaded.params, version)


def _write_gguf(dtype: str, target: Path, loaded: Loaded, chat: ChatTemplate | None) -> None:
    source = None if chat is None else chat.source
    gguf_model(target, loaded.model, loaded.params, loaded.tokenizer, loaded.ids, dtype, source)


WRITERS: dict[str, Callable[[Path, Loaded, ChatTemplate | None], None]] = {
    "run": _write_run,
    "hf": _write_hf,
    "llama2c": partial(_write_llama2c, 0),
    "llama2c-v1": partial(_write_llama2c, 1),
    "gguf": partial(_write_gguf, "float16"),
    "gguf-f32": partial(_write_gguf, "float32"),
}
