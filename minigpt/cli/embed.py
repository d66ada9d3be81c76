"""`minigpt embed`: texts as vectors."""

from __future__ import annotations

import argparse
import io

import numpy as np

from minigpt.cli.common import only_text, out_path, show
from minigpt.core.backend import get_backend
from minigpt.core.files import check_absent, read_text, write_new
from minigpt.core.settings import require
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import load


def run(args: argparse.Namespace) -> None:
    out = None if args.out is None else out_path(args.out)
    if out is not None:
        require(out.suffix == ".npy", f"--out {out} must be the name of a .npy file")
        check_absent(out)
    texts = _texts(args)
    loaded = load(find_model(args.run_folder), backend=get_backend(args.backend).name)
    how = {"pooling": args.pooling, "normalize": args.normalize, "layer": args.layer, "truncate": args.truncate}
    vectors = loaded.embed(texts, **how, batch_size=args.batch)
    values = {"texts": len(vectors), "width": vectors.shape[1]}
    if out is None:
        lines = [" ".join(f"{number:.6g}" for number in vector) for vector in vectors]
        show(args, values | {"vectors": vectors.tolist()}, "\n".join(lines))
        return
    file = io.BytesIO()
    np.save(file, vectors)
    write_new(out, file.getvalue())
    show(args, values | {"out": str(out)}, f"{out}: {len(vectors)} vectors of width {vectors.shape[1]}")


def _texts(args: argparse.Namespace) -> list[str]:
    texts = [only_text("TEXT", text) for text in args.texts]
    if args.file is not None:
        lines = read_text(args.file, pipes=True).split("\n")  # the only separator, whatever else a text holds
        texts += lines[:-1] if not lines[-1] else lines
    require(bool(texts), "there is no text: give one or more, or a file of them with --file")
    return texts
