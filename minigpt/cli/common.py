"""What several commands share: how their help looks, and JSON on stdout."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError


def new_parser(subparsers: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Make a command's parser with the --json that every command has."""
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"Example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else there")
    return parser


def add_run_argument(parser: argparse.ArgumentParser, also: str = "") -> None:
    text = f"a run's folder; by default the newest in runs/{also}"
    parser.add_argument("run_folder", metavar="RUN", nargs="?", help=text)


def at_least(least: int) -> Any:
    """An argument type: a whole number not below `least`."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    whole_number.__name__ = "whole number"  # argparse names it in "invalid whole number value"
    return whole_number


def print_json(values: Any) -> None:
    print(json.dumps(values))


def out_path(text: str) -> Path:
    """The path in --out, which must say something: an empty one would be the current folder."""
    if not only_text("--out", text):
        raise UserError("--out is empty; give a name that does not exist yet")
    return Path(text)


def figure_path(text: str, *, force: bool) -> Path:
    """The path in --out of a picture that is about to be drawn.

    Raises:
        UserError: it does not end in .png, its folder does not exist, or it exists and is not to be replaced.
    """
    path = out_path(text)
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise UserError(f"--out {path} must be the name of a .png file in a folder that exists")
    if path.exists() and not force:
        raise UserError(f"{path} exists; replace it with --force")
    return path


def only_text(name: str, text: str) -> str:
    """Refuse an argument that is not text: bytes that the encoding of the locale does not know."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(_not_text(name, text)) from None
    return text


def _not_text(name: str, text: str) -> str:
    """Whose fault it is: Python keeps the bytes that it could not read as lone surrogates."""
    try:
        os.fsencode(text).decode("utf-8")
    except UnicodeError:
        return f"{name} is not valid UTF-8 text"
    locale = sys.getfilesystemencoding()
    return f"{name} is good UTF-8, but this locale's encoding is {locale}: set LC_ALL=C.UTF-8, or PYTHONUTF8=1"
