"""A run's training as a film: the same text at every checkpoint, with what the model then wrote and how it learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.generate.fill import fill_in
from minigpt.interop.loaded import Loaded, load
from minigpt.lab.explain.arrays import Heads, Store
from minigpt.lab.explain.batches import Row, lists_of, shown
from minigpt.lab.explain.watching import Called, Watching
from minigpt.train.checkpoint import checkpoint_paths
from minigpt.train.log import read_log

MOST = 24  # checkpoints; of more, as many are taken evenly
_WORDS, _POINTS = 90, 400  # on the map of embeddings, of the curve of losses
_NEW = 40  # tokens of a sample


class Probabilities(Watching):
    """Collects every attention's probabilities (H, T, S), by place."""

    def __init__(self, params: Parameters):
        super().__init__(params)
        self.found: dict[str, np.ndarray] = {}

    def told(self, call: Called, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Any) -> Any:
        result = function(*arguments, **keywords)
        if call.name == "attention_forward":
            b, g, r, t, s = result[1].probabilities.shape
            self.found[call.place] = result[1].probabilities.reshape(b * g * r, t, s)
        return result


def replay(run: Path, row: Row, store: Store, heads: Heads) -> dict[str, Any]:
    """What the slider over a run's checkpoints shows.

    Raises:
        UserError: the run has fewer than two checkpoints.
    """
    paths = checkpoint_paths(run)
    if len(paths) < 2:
        raise UserError(
            f"{run} has {len(paths)} checkpoint, and --replay needs several; train with --set train.keep_checkpoints=20"
        )
    if len(paths) > MOST:
        paths = [paths[round(n)] for n in np.linspace(0, len(paths) - 1, MOST)]
    last = load(paths[-1])
    ids = _map_tokens(last, row)
    directions, share = _directions(last.params["tokens"][ids])
    tensors = [s.name for s in last.params.specs if s.trained]
    checkpoints, places = [], []
    for path in paths:
        loaded = load(path)
        loss, found, grads = _passes(loaded, row)
        places = list(found)
        points = _centred(loaded.params["tokens"][ids]) @ directions
        checkpoints.append(
            {
                "step": int(path.name.removeprefix("step-")),
                "loss": loss,
                "sample": _sample(loaded, row),
                "attention": [store.of_heads(p, heads, "query", "key") for p in found.values()],
                "embedding": store.plain(points, "token", "direction"),
                "grads": [float(f"{np.sqrt(np.mean(grads[name] ** 2, dtype=np.float64)):.4g}") for name in tensors],
            }
        )
    own = {i for ids_ in row.ids.values() for i in ids_}
    rows = {place: lists_of(place, row) for place in places}
    return {
        "checkpoints": checkpoints,
        "attentions": [{"place": place, "rows": rows[place][0], "keys": rows[place][1]} for place in places],
        "map": {"words": [shown(last.text, i) for i in ids], "own": [i in own for i in ids], "share": share},
        "tensors": tensors,
        **_log(run),
    }


def _passes(loaded: Loaded, row: Row) -> tuple[float, dict[str, np.ndarray], Parameters]:
    """The loss of the text, where attention looks, and the gradients."""
    model, params = loaded.model, loaded.params
    watched = Probabilities(params)
    run = Run(ops=watched)
    loss, cache = model.forward(params, row.batch, run)
    watched.turn()
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)
    return loss, watched.found, grads


def _sample(loaded: Loaded, row: Row) -> str:
    """What the model writes: from nothing, about the source, or into the blanks."""
    if "source" in row.lists:
        ids = loaded.generate_ids([row.ids["source"]], max_new_tokens=_NEW // 2, do_sample=False)[0][1:]
        return loaded.text.decode([int(i) for i in ids])
    if "places" in row.lists:
        blanks = [int(n) for n in row.batch.places[0]]
        return loaded.text.decode(fill_in(loaded.model, loaded.params, row.ids["tokens"], blanks))
    room = min(_NEW, loaded.model.config.context - 1)
    return loaded.generate("", max_new_tokens=room, temperature=0.6, seed=1).strip()


def _map_tokens(loaded: Loaded, row: Row) -> list[int]:
    """The tokens of the map: the text's own, and the first words of the vocabulary, which are the frequent ones."""
    found = dict.fromkeys(i for ids in row.ids.values() for i in ids)
    spaced = any(shown(loaded.text, i).startswith(" ") for i in found)  # then a word's beginning has a space
    for i in range(loaded.text.vocab_size):
        if len(found) >= _WORDS:
            break
        text = shown(loaded.text, i)
        if text.startswith(" ") >= spaced and len(text.strip()) > 2 and text.strip().isalpha():
            found[i] = None
    return list(found)


def _centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=0)


def _directions(x: np.ndarray) -> tuple[np.ndarray, float]:
    """The two directions (C, 2) in which the rows of x differ most, and the share of their variance in them."""
    _, sizes, directions = np.linalg.svd(_centred(x), full_matrices=False)
    return directions[:2].T, float(np.sum(sizes[:2] ** 2) / np.sum(sizes**2))


def _log(run: Path) -> dict[str, Any]:
    """The run's losses by step, thinned out, and the floor that it logged, if any."""
    lines = read_log(run)
    train = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    validation = [(line["step"], line["val_loss"]) for line in lines if "val_loss" in line]
    floors = [line["floor"] for line in lines if "floor" in line]
    return {"curve": {"train": _thin(train), "validation": validation}, "floor": floors[-1] if floors else None}


def _thin(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    step = -(-len(points) // _POINTS) or 1
    return [
        (points[n][0], float(f"{np.mean([loss for _, loss in points[n : n + step]]):.4g}"))
        for n in range(0, len(points), step)
    ]
