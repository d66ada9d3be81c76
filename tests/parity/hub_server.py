"""A hub on the loopback address: what `huggingface_hub` asks for, answered from folders, with faults to order."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAIN = "a" * 40  # the commit of every repository
_MOST = 11_000_000  # bytes that come at once: a piece of the client, 10 MB, and more


class Hub(ThreadingHTTPServer):
    """Repositories by name, each a folder of files.

    Attributes:
        gated: names of repositories that ask for leave.
        cuts: behind how many bytes of a file of weights the next connections break.
        ranges: from which byte on weights were asked for.
        lies: whether weights are other bytes than their SHA-256 says.
        slow: whether no answer comes.
        holding: what the end of the weights waits for; by default nothing.
        asked: what was asked for, in order.
    """

    daemon_threads = True

    def __init__(self, **repositories: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = {name.replace("__", "/"): folder for name, folder in repositories.items()}
        self.gated: set[str] = set()
        self.cuts: list[int] = []
        self.ranges: list[int] = []
        self.lies = self.slow = False
        self.holding = threading.Event()
        self.holding.set()
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/").split("/")
        path += ["revision", "main"] if path[0] == "api" and len(path) == 4 else []
        self.server.asked.append(f"{self.command} {'/'.join(path)}")
        if self.server.slow:
            time.sleep(30)
        repo = "/".join(path[2:4] if path[0] == "api" else path[:2])
        folder = self.server.repositories.get(repo)
        if folder is None:
            self._refuse(404, "RepoNotFound")
        elif repo in self.server.gated:
            self._refuse(403, "GatedRepo")
        elif path[0] == "api" and path[4] in ("revision", "tree") and path[5] not in ("main", MAIN):
            self._refuse(404, "RevisionNotFound")
        elif path[0] == "api" and path[4] == "tree":
            self._send(json.dumps([_entry(file) for file in sorted(folder.iterdir())]).encode(), {}, body=body)
        elif path[0] == "api":
            names = [{"rfilename": file.name} for file in sorted(folder.iterdir())]
            self._send(json.dumps({"id": repo, "sha": MAIN, "siblings": names}).encode(), {}, body=body)
        elif (folder / path[-1]).exists():
            self._send_file(folder / path[-1], body=body)
        else:
            self._refuse(404, "EntryNotFound")

    def _send_file(self, file: Path, *, body: bool) -> None:
        content = file.read_bytes()
        headers = {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": MAIN, "Accept-Ranges": "bytes"}
        if self.server.lies and file.suffix == ".safetensors":
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = None
        if body and file.suffix == ".safetensors":
            self.server.ranges.append(start)
            cut = self.server.cuts.pop(0) if self.server.cuts else None
        self._send(content[start:], headers, body=body, status=206 if start else 200, cut=cut and max(0, cut - start))

    def _send(
        self, content: bytes, headers: dict[str, str], *, body: bool, status: int = 200, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            sent = content[:cut]
            self.wfile.write(sent[:_MOST])
            if len(sent) > _MOST:
                self.server.holding.wait(300)
            self.wfile.write(sent[_MOST:])
        if cut is not None:
            self.close_connection = True

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _etag(file: Path) -> str:
    """A large file is called by its SHA-256, another by something shorter."""
    return (hashlib.sha256 if file.suffix == ".safetensors" else hashlib.sha1)(file.read_bytes()).hexdigest()


def _entry(file: Path) -> dict[str, object]:
    return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _etag(file)}
