"""The parser of a command's arguments: argparse, with a word for each kind of argument that our commands take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import IO, Any, NoReturn

from minigpt.core.terminal import sentence


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence in the form of all others."""

    def __init__(self, **settings: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"minigpt: error: {sentence(message)}; see `{self.prog} --help`\n")

    def _print_message(self, message: str, file: IO[str] | None = None) -> None:
        """Unlike argparse, pass over nothing: help that cannot be written is an error, as all other output."""
        print(message, end="", file=file or sys.stderr, flush=True)

    def example(self, *lines: str) -> None:
        """Show command lines under the help."""
        self.epilog = "\n  ".join(["Example:", *lines])

    def given(self, args: argparse.Namespace) -> dict[str, str]:
        """The arguments that are not as by default: by their place in `args`, what they are called on the line."""
        known = {action.dest: action for action in self._actions if action.dest in vars(args)}
        said = {dest: action for dest, action in known.items() if getattr(args, dest) != action.default}
        return {dest: (action.option_strings or [str(action.metavar)])[0] for dest, action in said.items()}

    def value(self, name: str, metavar: str, help: str, **how: Any) -> None:
        """Something with a value: a text, unless a `type` or `nargs` in `how` says otherwise."""
        self.add_argument(name, metavar=metavar, help=help, **how)

    def several(self, name: str, metavar: str, help: str, **how: Any) -> None:
        """An option that may be repeated, each time with a value; without any, an empty list."""
        self.add_argument(name, action="append", default=[], metavar=metavar, help=help, **how)

    def count(self, name: str, help: str, *, least: int = 1, metavar: str = "N", **how: Any) -> None:
        """A whole number not below `least`."""
        self.add_argument(name, type=at_least(least), metavar=metavar, help=help, **how)

    def flag(self, name: str, help: str) -> None:
        self.add_argument(name, action="store_true", help=help)

    def choice(self, name: str, choices: Iterable[str], help: str | None = None, **how: Any) -> None:
        self.add_argument(name, choices=tuple(choices), help=help, **how)

    def run_folder(self, also: str = "; or any model that `minigpt convert` reads") -> None:
        newest = f"a run's folder; default: the newest one in runs/{also}"
        self.value("run_folder", "RUN", newest, nargs="?", type=not_empty)

    def backend(self) -> None:
        self.choice("--backend", ("numpy", "cupy"), "where to compute; by default numpy")

    def settings(self, help: str) -> None:
        self.several("--set", "SECTION.KEY=VALUE", f"change one setting{help}; may be repeated", dest="settings")


def not_empty(text: str) -> str:
    """An argument type: a text; empty, it would be taken for the folder one is in, or for no argument at all."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


def at_least(least: int) -> Any:
    """An argument type: a whole number not below `least`."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    whole_number.__name__ = "whole number"  # argparse names it in "invalid whole number value"
    return whole_number
