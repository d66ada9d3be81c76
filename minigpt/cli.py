"""The command line: one module of `minigpt.commands` for each command. Importing this module does nothing."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from minigpt import __version__
from minigpt.errors import UserError

COMMANDS = ("train", "sample", "eval", "gradcheck", "plot", "bench", "info")


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence in the form of all others."""

    def error(self, message: str) -> None:
        self.exit(2, f"minigpt: error: {message}; see `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="minigpt",
        description="How large language models are pretrained, every forward and backward pass written by hand.",
        epilog="Example: minigpt train   trains the default model in about two minutes and prints samples.",
    )
    parser.add_argument("--version", action="version", version=f"minigpt {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for name in COMMANDS:
        import_module(f"minigpt.commands.{name}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 (a check failed), 2 (bad input), 130 (interrupted)."""
    try:
        args = build_parser().parse_args(arguments)
        return args.run(args)
    except UserError as error:
        print(f"minigpt: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minigpt: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
