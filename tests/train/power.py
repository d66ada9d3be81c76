"""What a power cut may leave of a folder: every call that changes it is recorded, and replayed as a disk may lose it.

The rules are those that a file system promises and no more. Of a file there is what was synced; bytes written since may
be missing, cut or zero. Of a folder's list of names there is what was synced; each change since (a name added, taken
away, or given to something else) may be there or not, whatever came after it. A renaming is there as a whole or not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from operator import eq, ge, ne
from pathlib import Path

from minigpt.core import disk

Tree = dict[str, bytes | None]  # by path: a file's bytes, or None for a folder


class File:
    def __init__(self):
        self.synced = self.now = b""

    def remains(self) -> list[bytes]:
        """What may be left of it: all, what was synced, half of what was written since, zeros in its place."""
        same = next((i for i, (a, b) in enumerate(zip(self.synced, self.now, strict=False)) if a != b), None)
        same = min(len(self.synced), len(self.now)) if same is None else same
        new = len(self.now) - same
        return list(dict.fromkeys([self.now, self.synced, self.now[: same + new // 2], self.now[:same] + bytes(new)]))


class Folder:
    def __init__(self):
        self.synced: dict[str, File | Folder] = {}
        self.now: dict[str, File | Folder] = {}
        self.pending: list[tuple[int, dict[str, File | Folder | None]]] = []  # number of the call, names it changes

    def change(self, number: int, names: dict[str, File | Folder | None]) -> None:
        self.pending.append((number, names))
        apply(self.now, names)


def apply(entries: dict, names: dict) -> None:
    for name, node in names.items():
        entries.pop(name, None)
        if node is not None:
            entries[name] = node


class Disk:
    """Replays calls, and makes the trees that a power cut after the last of them may leave."""

    def __init__(self):
        self.root, self.calls = Folder(), 0

    def find(self, path: str):
        node = self.root
        for part in Path(path).parts:
            node = node.now[part]
        return node

    def place(self, path: str) -> tuple[Folder, str]:
        return self.find(str(Path(path).parent)), Path(path).name

    def call(self, name: str, path: str, value=None) -> None:
        self.calls += 1
        if name == "sync":
            node = self.find(path)
            node.synced = node.now if isinstance(node, File) else dict(node.now)
            if isinstance(node, Folder):
                node.pending = []
        elif name == "data":
            self.find(path).now += value
        elif name == "truncate":
            file = self.find(path)
            file.now = file.now[:value]
        else:
            folder, last = self.place(path)
            if name in ("create", "make"):
                folder.change(self.calls, {last: File() if name == "create" else Folder()})
            elif name == "remove":
                folder.change(self.calls, {last: None})
            else:  # rename: to the value, in the same folder
                other, new = self.place(value)
                assert other is folder
                folder.change(self.calls, {last: None, new: folder.now[last]})

    def nodes(self) -> Iterator[File | Folder]:
        """All that may be seen after a power cut."""
        seen, todo = set(), [self.root]
        while todo:
            node = todo.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            yield node
            if isinstance(node, Folder):
                todo += [*node.synced.values(), *(x for _, names in node.pending for x in names.values() if x)]

    def tree(self, keep, remains) -> Tree:
        """The tree with the changes of names for which `keep(number of the call)`, and `remains(file)` of each file."""
        found: Tree = {}

        def walk(folder: Folder, path: str, above: tuple) -> None:
            entries = dict(folder.synced)
            for number, names in folder.pending:
                if keep(number):
                    apply(entries, names)
            for name, node in entries.items():
                if isinstance(node, File):
                    found[f"{path}{name}"] = remains(node)
                elif node not in above:
                    found[f"{path}{name}"] = None
                    walk(node, f"{path}{name}/", (*above, node))

        walk(self.root, "", (self.root,))
        return found

    def states(self, draws: int, draw: random.Random) -> Iterator[Callable[[], Tree]]:
        """What makes the trees that may be left: all and nothing of what is not synced, each change alone lost or kept,
        in order or not, each file cut or zero, and so many at random."""
        nodes = list(self.nodes())
        numbers = sorted({n for node in nodes if isinstance(node, Folder) for n, _ in node.pending})
        files = [node for node in nodes if isinstance(node, File) and node.now != node.synced]
        whole, synced = (lambda file: file.now), (lambda file: file.synced)
        for remains in (whole, synced):
            yield partial(self.tree, lambda n: True, remains)
            yield partial(self.tree, lambda n: False, remains)
        for number in numbers:
            yield partial(self.tree, partial(ne, number), whole)
            yield partial(self.tree, partial(eq, number), whole)
            yield partial(self.tree, partial(ge, number), synced)
        for file in files:
            for left in file.remains()[1:]:
                yield partial(self.tree, lambda n: True, lambda f, file=file, left=left: left if f is file else f.now)
        for _ in range(draws if numbers or files else 0):
            kept = {n for n in numbers if draw.random() < 0.5}
            left = {id(file): draw.choice(file.remains()) for file in files}
            yield partial(self.tree, kept.__contains__, lambda f, left=left: left.get(id(f), f.now))


class Recorder:
    """While `patch` lasts, the calls of `minigpt.core.disk` below a folder, in order, and marks between them."""

    def __init__(self, root: Path, patch):
        self.root, self.calls = root, []
        for name in ("write", "append", "truncate", "sync", "make", "rename", "replace", "remove", "remove_tree"):
            patch.setattr(disk, name, self.recording(name, getattr(disk, name)))

    def recording(self, name: str, right):
        def call(path: Path, *arguments):
            if not path.is_relative_to(self.root):
                return right(path, *arguments)
            there, place = path.exists(), str(path.relative_to(self.root))
            if name == "remove_tree":
                inside = sorted(path.rglob("*"), key=lambda p: (-len(p.parts), p))
                right(path)
                gone = [*inside, path] if there else []
                self.calls += [("remove", str(p.relative_to(self.root))) for p in gone]
                return None
            if name in ("write", "append"):
                pieces = list(arguments[0]) if name == "write" else [arguments[0]]
                right(path, pieces if name == "write" else pieces[0])
                self.calls += [] if there else [("create", place)]
                self.calls += [("data", place, bytes(piece)) for piece in pieces if piece]
                return None
            right(path, *arguments)
            if name in ("rename", "replace"):
                self.calls.append(("rename", place, str(arguments[0].relative_to(self.root))))
            else:
                self.calls.append((name, place, *arguments))

        return call

    def mark(self, what: str, value=None) -> None:
        self.calls.append(("mark", what, value))


def read_tree(root: Path) -> Tree:
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}


def write_tree(root: Path, tree: Tree) -> Path:
    for name, data in tree.items():
        path = root / name
        (path if data is None else path.parent).mkdir(parents=True, exist_ok=True)
        if data is not None:
            path.write_bytes(data)
    return root
