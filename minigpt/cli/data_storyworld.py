"""`minigpt data storyworld`: documents of the story world, and how hard they are to predict."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from minigpt.cli.common import out_path, show
from minigpt.core.errors import UserError
from minigpt.core.files import check_absent, write_atomically
from minigpt.core.progress import progress_bar
from minigpt.core.settings import require
from minigpt.data import storyworld
from minigpt.data.storyworld import Document
from minigpt.data.storyworld.measure import entropy_table

_SHOWN = 5  # documents where nothing else is said


def run(args: argparse.Namespace) -> None:
    if args.entropy:
        _entropy(args)
        return
    if args.out is None:
        _show(args)
        return
    path, counts = out_path(args.out), {"documents": 0, "bytes": 0}
    check_absent(path)
    require(path.parent.is_dir(), f"cannot write {path}: there is no folder {path.parent}")

    def contents() -> Iterator[bytes]:
        for one in _documents(args):
            data = (one.text if not counts["documents"] else f"\n{one.text}").encode("utf-8") + b"\n"
            counts["documents"] += 1
            counts["bytes"] += len(data)
            yield data

    write_atomically(path, contents())
    text = f"{path}: {counts['documents']:,} documents, {counts['bytes']:,} bytes"
    show(args, {"file": str(path), **counts}, text)


def _documents(args: argparse.Namespace) -> Iterator[Document]:
    """As many as are asked for, with a progress bar."""
    total = args.bytes or args.documents or _SHOWN
    with progress_bar(total=total, unit="B" if args.bytes else "document", unit_scale=True, leave=False) as bar:
        for one in storyworld.stream(args.seed, args.split, args.kind):
            yield one
            size = len(one.text.encode("utf-8")) + 2 if args.bytes else 1
            bar.update(size)
            total -= size
            if total <= 0:
                return


def _show(args: argparse.Namespace) -> None:
    if args.json:
        shown = [{"text": d.text, "kind": d.kind, "log_p": d.log_p} for d in _documents(args)]
        print(json.dumps({"documents": shown}))
        return
    for number, one in enumerate(_documents(args)):
        sys.stdout.write(("\n" if number else "") + one.text + "\n")


def _entropy(args: argparse.Namespace) -> None:
    """A line for each kind: closed form beside the mean of −log p."""
    if args.out or args.split or args.kind:
        raise UserError("--entropy is of all kinds; --out, --split and --kind are for documents")
    found = storyworld.entropy(args.samples, args.seed)
    rows = {name: one._asdict() | {"nats_per_character": one.nats_per_character} for name, one in found.items()}
    show(args, {"entropy": rows}, entropy_table(found))
