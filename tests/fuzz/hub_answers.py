"""What a hub answers about a model: its description, its files, and what stands before each of them."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from minigpt.interop.hub import fetch

from .samples import Files, as_json, shards

COMMIT = "a" * 40


def hub_answers() -> Files:
    """What a hub answers about a model, and the model."""
    files = {name: data for name, data in shards().items() if not name.startswith(("tokenizer", "special"))}
    siblings = [{"rfilename": name} for name in files]
    tree = [{"type": "file", "path": name, "size": len(data), "oid": "b" * 40} for name, data in files.items()]
    info = {"id": "someone/small", "sha": COMMIT, "siblings": siblings, "gated": False, "private": False}
    info |= {"createdAt": "2024-01-02T03:04:05.000Z", "tags": ["gpt2"], "cardData": {"license": "mit"}}
    headers = f'ETag: "FILE"\nX-Repo-Commit: {COMMIT}\nAccept-Ranges: bytes\n'
    answers = {"answers/model.json": as_json(info), "answers/tree.json": as_json(tree)}
    return files | answers | {"answers/headers": headers.encode()}


def use_hub(folder: Path, name: str) -> None:
    """Fetch the model that the folder's answers speak of; nothing goes over a network."""
    import huggingface_hub
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import disable_progress_bars

    httpx = sys.modules[errors.HTTPError.__module__.partition(".")[0]]

    def answer(request: Any) -> Any:
        parts = request.url.path.strip("/").split("/")
        if parts[0] == "api":
            file = "model" if parts[4:5] != ["tree"] else "tree"
            return httpx.Response(200, content=(folder / "answers" / f"{file}.json").read_bytes(), request=request)
        tag = hashlib.sha1(parts[-1].encode()).hexdigest().encode()
        lines = (folder / "answers" / "headers").read_bytes().replace(b"FILE", tag).split(b"\n")
        headers = [tuple(line.split(b": ", 1)) for line in lines if b": " in line]
        wanted = folder / parts[-1]
        content = wanted.read_bytes() if wanted.is_file() else b""
        body = b"" if request.method == "HEAD" else content
        headers.append((b"Content-Length", str(len(content)).encode()))
        return httpx.Response(200 if wanted.is_file() else 404, headers=headers, content=body, request=request)

    disable_progress_bars()
    huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))
    constants.HF_HUB_CACHE = str(folder / "cache")
    fetch("someone/small")
