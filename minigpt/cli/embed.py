"""`minigpt embed`: texts as vectors."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import at_least, new_parser, only_text, out_path, print_json
from minigpt.core.errors import UserError


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "embed",
        COMMANDS["embed"],
        'minigpt embed all-MiniLM-L6-v2 "A cat sat." "A dog stood." --normalize',
    )
    parser.add_argument("run_folder", metavar="RUN", help="a run's folder, or any model that convert reads")
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="the texts, one vector each")
    parser.add_argument("--file", metavar="FILE", help="more texts, one a line")
    parser.add_argument(
        "--pooling",
        choices=("mean", "cls", "max"),
        default="mean",
        help="what makes one vector of the tokens' states: their mean (the default), the first, or the largest numbers",
    )
    parser.add_argument("--normalize", action="store_true", help="divide by the length, so that products are cosines")
    parser.add_argument(
        "--layer", type=int, default=-1, metavar="N", help="behind which layer; 0 the embedding, -1 the last (default)"
    )
    parser.add_argument("--truncate", action="store_true", help="leave out what a text has beyond the model's context")
    parser.add_argument("--batch", type=at_least(1), default=32, metavar="N", help="texts at a time")
    parser.add_argument("--out", metavar="FILE.npy", help="write the vectors as an array of NumPy, (texts, width)")
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from minigpt.core.backend import get_backend
    from minigpt.core.files import check_absent
    from minigpt.interop.loaded import load
    from minigpt.train.run_folder import find_model

    out = None if args.out is None else out_path(args.out)
    if out is not None:
        if out.suffix != ".npy":
            raise UserError(f"--out {out} must be the name of a .npy file")
        check_absent(out)
    texts = _texts(args)
    loaded = load(find_model(args.run_folder), backend=get_backend(args.backend).name)
    vectors = loaded.embed(
        texts,
        pooling=args.pooling,
        normalize=args.normalize,
        layer=args.layer,
        truncate=args.truncate,
        batch_size=args.batch,
    )
    if out is not None:
        _write(out, vectors)
    if args.json:
        shown = {"out": str(out)} if out is not None else {"vectors": vectors.tolist()}
        print_json({"texts": len(vectors), "width": vectors.shape[1], **shown})
    elif out is not None:
        print(f"{out}: {len(vectors)} vectors of width {vectors.shape[1]}")
    else:
        for vector in vectors:
            print(" ".join(f"{number:.6g}" for number in vector))
    return 0


def _texts(args: argparse.Namespace) -> list[str]:
    from minigpt.core.files import read_text

    texts = [only_text("TEXT", text) for text in args.texts]
    if args.file is not None:
        lines = read_text(Path(args.file)).split("\n")  # the only separator, whatever else a text holds
        texts += lines[:-1] if not lines[-1] else lines
    if not texts:
        raise UserError("there is no text: give one or more, or a file of them with --file")
    return texts


def _write(out: Path, vectors: Any) -> None:
    import numpy as np

    from minigpt.core.files import write_new

    file = io.BytesIO()
    np.save(file, vectors)
    write_new(out, file.getvalue())
