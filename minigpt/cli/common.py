"""What several commands share: a result as text or JSON, and what --out, --force and --resume insist on."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError
from minigpt.core.settings import require


def show(args: argparse.Namespace, values: Any, text: str) -> None:
    """Print what a command found: the values with --json, else the text."""
    print(json.dumps(values) if args.json else text)


def out_path(text: str) -> Path:
    """The path in --out, which must say something: an empty one would be the current folder."""
    require(bool(only_text("--out", text)), "--out is empty; give a name that does not exist yet")
    return Path(text)


def figure_path(text: str, *, force: bool) -> Path:
    """The path in --out of a picture that is about to be drawn (see `new_path`)."""
    return new_path(text, (".png",), "PNG", force=force)


def figure_out(args: argparse.Namespace) -> Path | None:
    """The same where a picture is made only if --out is given; --force needs it."""
    check_force(args, "picture")
    return None if args.out is None else figure_path(args.out, force=args.force)


def new_path(text: str, endings: tuple[str, ...], what: str, *, force: bool) -> Path:
    """The path in --out of a file that is about to be written.

    Raises:
        UserError: it has another ending, its folder does not exist, or it exists and is not to be replaced.
    """
    path = out_path(text)
    require(path.suffix.lower() in endings, f"--out {path} does not end in {endings[0]}, and {what} is what is written")
    if path.exists() and not force:
        raise UserError(f"{path} exists; replace it with --force")
    require(path.parent.is_dir(), f"cannot write {path}: there is no folder {path.parent}")
    return path


def check_force(args: argparse.Namespace, what: str) -> None:
    """--force needs to be told what it may replace."""
    if args.force and args.out is None:
        raise UserError(f"--force replaces the {what} in --out; name it with --out")


def check_resume(args: argparse.Namespace, what: str, *besides: str) -> None:
    """Raise UserError for arguments that make another run than the one that is to go on.

    Args:
        besides: what may be given.
    """
    only = f" (only {', '.join(besides)})" if besides else ""
    for name in args.parser.given(args).values():
        if name not in ("--resume", "--json", *besides):
            raise UserError(f"--resume goes on with a {what} as it is; {name} cannot be given with it{only}")


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
