"""Damage to JSON and TOML that keeps them well-formed: one value, key or part of the tree becomes something else."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from random import Random
from typing import Any

import tomli_w

from . import hostile

_AGAIN = "\0again\0"  # the end of a key that stands for the same key once more
Place = tuple[Any, Any]  # a list or a dictionary, and an index or a key of it


def damage_json(data: bytes, random: Random) -> bytes:
    """A JSON file with one to three places changed. ValueError: it is no JSON."""
    tree = json.loads(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        tree = change(tree, random)
    return dump(tree)


def damage_lines(data: bytes, random: Random) -> bytes:
    """The same for a file with a JSON value on every line."""
    lines = data.split(b"\n")
    which = random.randrange(len(lines))
    lines[which] = damage_json(lines[which], random)
    return b"\n".join(lines)


def damage_toml(data: bytes, random: Random) -> bytes:
    """A TOML file with one to three places changed. ValueError, TypeError: that cannot be said in TOML."""
    tree = tomllib.loads(data.decode("utf-8"))
    for _ in range(random.choice((1, 1, 2, 3))):
        tree = change(tree, random)
    return tomli_w.dumps(tree).encode("utf-8")


def dump(tree: Any) -> bytes:
    """JSON in UTF-8, with the texts of `hostile.RAW` in their places and keys that occur twice."""
    out = json.dumps(tree, ensure_ascii=False)
    if "\\u0000" in out:
        out = out.replace("\\u0000again\\u0000", "")
        for n, raw in enumerate(hostile.RAW):
            out = out.replace(f'"\\u0000raw{n}\\u0000"', raw, 2)
    return out.encode("utf-8", "surrogatepass")


def change(tree: Any, random: Random) -> Any:
    """The tree after one change."""
    place = find(tree, random)
    if place is None or random.random() < 0.02:
        return hostile.value(random)
    _CHANGES[random.randrange(len(_CHANGES))](tree, place, random)
    return tree


def find(tree: Any, random: Random) -> Place | None:
    """A place in the tree, drawn step by step from the root, so that a vocabulary of thousands counts as one thing."""
    found: Place | None = None
    while isinstance(tree, (dict, list)) and len(tree):
        key = random.choice(list(tree)) if isinstance(tree, dict) else random.randrange(len(tree))
        found, tree = (tree, key), tree[key]
        if random.random() < 0.25:
            break
    return found


def _replace(tree: Any, place: Place, random: Random) -> None:
    place[0][place[1]] = hostile.value(random)


def _delete(tree: Any, place: Place, random: Random) -> None:
    del place[0][place[1]]


def _repeat(tree: Any, place: Place, random: Random) -> None:
    part, key = place
    again = part[key] if random.random() < 0.5 else hostile.value(random)
    if isinstance(part, dict):
        part[f"{key}{_AGAIN}"] = again
    else:
        part[key:key] = [again] * random.choice((1, 1, 2, 500))


def _rename(tree: Any, place: Place, random: Random) -> None:
    part, key = place
    if isinstance(part, dict):
        new = hostile.text(random) if random.random() < 0.5 else str(random.choice(list(part)))
        part[new] = part.pop(key)


def _swap(tree: Any, place: Place, random: Random) -> None:
    """With another value; one inside the other would make a circle, so copies are put there."""
    other = find(tree, random)
    if other is not None:
        a, b = (json.loads(json.dumps(part[key])) for part, key in (place, other))
        place[0][place[1]] = b
        if other[0] is place[0] or json.dumps(other[0][other[1]], default=str) == json.dumps(b, default=str):
            other[0][other[1]] = a


def _wrap(tree: Any, place: Place, random: Random) -> None:
    inner = place[0][place[1]]
    for _ in range(random.choice((1, 1, 2, 30))):
        inner = [inner] if random.random() < 0.5 else {"type": "Sequence", "normalizers": [inner]}
    place[0][place[1]] = inner


def _tweak(tree: Any, place: Place, random: Random) -> None:
    """A little beside what it was."""
    old = place[0][place[1]]
    if isinstance(old, bool) or old is None:
        new: Any = random.choice((True, False, None, 0, 1, "true"))
    elif isinstance(old, (int, float)):
        new = random.choice(
            (old + 1, old - 1, -old, old * 2**31, old * 1.0, str(old), old * 1000, old + 0.5, bool(old))
        )
    elif isinstance(old, str):
        at = random.randrange(len(old) + 1)
        new = random.choice(
            (old[:at], old[:at] + hostile.text(random) + old[at:], old * 2, old.swapcase(), [old], len(old))
        )
    else:
        new = random.choice(
            ([*old] if isinstance(old, dict) else dict(enumerate(map(str, old))), json.dumps(old)[:50], len(old))
        )
    place[0][place[1]] = new


_CHANGES: tuple[Callable[[Any, Place, Random], None], ...] = (
    *(_replace, _replace, _replace, _delete, _repeat, _rename, _swap, _wrap, _tweak, _tweak),
)
