"""`minigpt data storyworld`: documents of the story world, and how hard they are to predict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from minigpt.cli.common import at_least, new_parser, out_path, print_json
from minigpt.core.errors import UserError
from minigpt.core.files import check_absent, write_atomically
from minigpt.core.progress import progress_bar
from minigpt.data import storyworld
from minigpt.data.storyworld import Document

_SHOWN = 5  # documents where nothing else is said


def add_storyworld(kinds: Any) -> None:
    example = (
        "minigpt data storyworld --kind story --documents 3\n  minigpt data storyworld --bytes 3000000 --out s.txt"
    )
    parser = new_parser(kinds, "storyworld", "write documents of the story world, with blank lines between", example)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--documents", type=at_least(1), metavar="N", help=f"how many; {_SHOWN} by default")
    size.add_argument("--bytes", type=at_least(1), metavar="N", help="documents until they have so many bytes")
    size.add_argument("--entropy", action="store_true", help="instead: how hard each kind is to predict")
    parser.add_argument("--split", choices=tuple(storyworld.SPLITS), help="only documents of this split")
    parser.add_argument("--kind", choices=storyworld.KINDS, help="only documents of this kind")
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="other documents for another seed")
    parser.add_argument("--samples", type=at_least(2), default=1000, metavar="N", help="for --entropy, of each kind")
    parser.add_argument("--out", metavar="FILE", help="write them to this file, which must not exist")
    parser.set_defaults(run=run_storyworld)


def run_storyworld(args: argparse.Namespace) -> int:
    if args.entropy:
        return _entropy(args)
    if args.out is None:
        return _show(args)
    path, counts = out_path(args.out), {"documents": 0, "bytes": 0}
    check_absent(path)
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")

    def contents() -> Iterator[bytes]:
        for one in _documents(args):
            data = (one.text if not counts["documents"] else f"\n{one.text}").encode("utf-8") + b"\n"
            counts["documents"] += 1
            counts["bytes"] += len(data)
            yield data

    write_atomically(path, contents())
    if args.json:
        print_json({"file": str(path), **counts})
    else:
        print(f"{path}: {counts['documents']:,} documents, {counts['bytes']:,} bytes")
    return 0


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


def _show(args: argparse.Namespace) -> int:
    if args.json:
        shown = [{"text": d.text, "kind": d.kind, "log_p": d.log_p} for d in _documents(args)]
        print_json({"documents": shown})
        return 0
    for number, one in enumerate(_documents(args)):
        sys.stdout.write(("\n" if number else "") + one.text + "\n")
    return 0


def _entropy(args: argparse.Namespace) -> int:
    """A line for each kind: closed form beside the mean of −log p."""
    if args.out or args.split or args.kind:
        raise UserError("--entropy is of all kinds; --out, --split and --kind are for documents")
    found = storyworld.entropy(args.samples, args.seed)
    if args.json:
        rows = {name: one._asdict() | {"nats_per_character": one.nats_per_character} for name, one in found.items()}
        print_json({"entropy": rows})
        return 0
    print(
        f"{'kind':12} {'share':>6} {'nats per document':>18} {'mean of -log p':>20} {'characters':>11} {'per each':>9}"
    )
    for name, one in found.items():
        mean = f"{one.sampled:.3f} ± {one.error:.3f}"
        print(
            f"{name:12} {one.share:6.1%} {one.nats:18.4f} {mean:>20} {one.characters:11.1f} "
            f"{one.nats_per_character:9.4f}"
        )
    return 0
