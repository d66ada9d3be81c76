"""All that a page holds, as one object for JSON: arrays, steps, code and views of one text in one model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.interop.loaded import Loaded
from minigpt.lab.explain import views
from minigpt.lab.explain.arrays import Heads, Limits, Store
from minigpt.lab.explain.batches import Row, lists_of, make_row, shown, telling_tokens
from minigpt.lab.explain.nudges import STEPS, nudges
from minigpt.lab.explain.recording import Recording, record
from minigpt.lab.explain.replay import replay
from minigpt.lab.explain.room import CALL, CHOSEN, PAGE, layer_bytes, other_bytes
from minigpt.lab.explain.source import operation_sources
from minigpt.lab.explain.stations import Stations
from minigpt.lab.explain.words import GLOSSARY, TOKENS
from minigpt.models.decoder_only import DecoderOnly

_SMALL = 5_000_000  # parameters, below which threads only wait for each other
_HOPE = 1.15  # a layer may take less than is estimated
_WIDE, _NARROW, _LEAST = 384, 96, 24  # columns kept of a small model's activations, of a large one's, and at least


def build(
    loaded: Loaded,
    prompt: str,
    *,
    target: str | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    name: str = "",
    run: Path | None = None,
) -> dict[str, Any]:
    """Everything about one prompt.

    Args:
        target: see `make_row`.
        layers: of which everything is kept, counted from 1; by default as many as a page has room for, evenly spaced.
        heads: of which attention is kept, counted from 1; by default all.
        name: what the page calls the model.
        run: whose checkpoints are shown too.
    Raises:
        UserError: the prompt does not fit, there is no such layer or head, or the run has one checkpoint only.
    """
    with threadpool_limits(1 if loaded.model.parameter_count < _SMALL else None):
        row = make_row(loaded, prompt, target)
        shown = _shown_heads(loaded.model.block.heads, heads)
        data = _built(loaded, row, layers, shown)
        film = replay(run, row, data["arrays"], shown) if run else None
    store = data.pop("arrays")
    kept = {"holes": store.holes, "arrays": store.entries}
    return {"prompt": prompt, "model": _described(loaded, name), **data, "replay": film, **kept}


def _built(loaded: Loaded, row: Row, layers: Sequence[int] | None, heads: Heads) -> dict[str, Any]:
    """All but the film; "arrays" is the store."""
    model, params, word = loaded.model, loaded.params, partial(shown, loaded.text)
    streams = views.Streams(params)
    model.forward(params, row.batch, Run(ops=streams))
    logits = _logits(loaded, row)
    if not np.isfinite(logits).all():
        raise UserError("the model's scores are not finite: its training went wrong, or its file is damaged")
    columns, tokens = _WIDE if model.config.width <= 192 else _NARROW, telling_tokens(row, logits)
    limits = Limits(columns, 48, model.config.vocab_size, tokens, heads)
    recording, stations, store, kept = _fitted(model, params, row, limits, layers)
    steps = [_tokens_step(), *stations.steps()]
    return {
        "lists": row.lists,
        "ids": row.ids,
        "targets": row.targets,
        "outputs": row.outputs,
        "words": {i: word(i) for i in {*limits.tokens, *(t for t in row.targets if t >= 0)}},
        "loss": recording.loss,
        "kept": kept,
        "steps": steps,
        "calls": stations.calls,
        "functions": _functions(stations.calls),
        "headsShown": heads.shown,
        "glossary": GLOSSARY,
        "heads": views.heads(recording, row, store, heads),
        "lens": views.lens(model, params, row, streams, logits, word),
        "reach": views.reach(model, params, row, store),
        "norms": views.norms(params, recording.grads),
        "masks": views.masks(len(next(iter(row.lists.values()))), getattr(model.config, "window", 0), store),
        "rotation": views.rotation(model, recording, store),
        "nudges": _nudged(model, params, row),
        "arrays": store,
    }


def _logits(loaded: Loaded, row: Row) -> np.ndarray:
    """The scores (rows, V) at the places that are predicted."""
    model, params, batch = loaded.model, loaded.params, row.batch
    if "source" in row.lists:
        return model.logits(params, batch)[0]
    scores = model.logits(params, batch.inputs)[0]
    return scores[batch.places[0]] if "places" in row.lists else scores


def _fitted(
    model: Any, params: Parameters, row: Row, limits: Limits, layers: Sequence[int] | None
) -> tuple[Recording, Stations, Store, list[str]]:
    """Both passes, with as many columns of each array as a page has room for, and then with fewer layers."""
    kept, most = _kept_layers(model, row, limits, layers), PAGE if layers is None else CHOSEN
    while True:
        recording = record(model, params, row.batch, limits, [f"{layer}." for layer in kept])
        store = Store()
        stations = Stations(recording, store, partial(lists_of, row=row))
        others = other_bytes(model, _tokens(row), len(_all_layers(model)) - len(kept), limits)
        if store.bytes + len(stations.calls) * CALL + others <= most:
            break
        if limits.features > _LEAST:
            limits = limits._replace(features=limits.features // 2)
        elif layers is None and len(kept) > 1:
            kept = _evenly(_all_layers(model), len(kept) - 1)
        else:
            break
    return recording, stations, store, kept


def _shown_heads(count: int, wanted: Sequence[int] | None) -> Heads:
    if wanted is None:
        return Heads(tuple(range(count)), count)
    if bad := [n for n in wanted if not 1 <= n <= count]:
        raise UserError(f"there is no head {bad[0]}: the model has {count}, counted from 1")
    return Heads(tuple(sorted({n - 1 for n in wanted})), count)


def _all_layers(model: Any) -> list[str]:
    return [layer for layers in views.stack_layers(model).values() for layer in layers]


def _kept_layers(model: Any, row: Row, limits: Limits, wanted: Sequence[int] | None) -> list[str]:
    """The layers of which everything is kept."""
    names = _all_layers(model)
    if wanted is not None:
        if bad := [n for n in wanted if not 1 <= n <= len(names)]:
            raise UserError(f"there is no layer {bad[0]}: the model has {len(names)}, counted from 1")
        return [name for n, name in enumerate(names, 1) if n in wanted]
    t, least = _tokens(row), limits._replace(features=_LEAST)
    space = PAGE - other_bytes(model, t, len(names), least)  # with as few columns as can be
    room = max(1, int(_HOPE * space / layer_bytes(model, t, least)))
    if room >= len(names):
        return names
    return _evenly(names, room)


def _evenly(names: list[str], count: int) -> list[str]:
    return [names[n] for n in sorted({round(n) for n in np.linspace(0, len(names) - 1, count)})]


def _tokens(row: Row) -> int:
    return max(len(x) for x in row.lists.values())


def _tokens_step() -> dict[str, Any]:
    return {
        "phase": "forward",
        "place": "text",
        "part": "",
        "family": "text",
        "title": TOKENS.title,
        "say": TOKENS.say,
        "call": None,
        "partner": None,
        "lines": [],
        "key": [],
        "shows": [],
    }


def _functions(calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The text of every function that was called, and of those that it called."""
    used = {call["name"] for call in calls} | {made[3] for call in calls for made in call["made"]}
    return {
        s.name: {"file": s.file, "lines": s.lines, "equation": s.equation}
        for s in operation_sources().values()
        if s.name in used
    }


def _described(loaded: Loaded, name: str) -> dict[str, Any]:
    model, c = loaded.model, loaded.model.config
    layers = {kind: len(names) for kind, names in views.stack_layers(model).items()}
    return {
        "name": name,
        "family": model.family,
        "kind": "decoder" if isinstance(model, DecoderOnly) else "encoder" if len(layers) == 1 else "both",
        "layers": layers,
        "heads": model.block.heads,
        "headWidth": model.block.head_width,
        "width": c.width,
        "feedForward": c.feed_forward,
        "vocabulary": c.vocab_size,
        "parameters": model.parameter_count,
        "preNorm": model.block.pre_norm,
    }


def _nudged(model: Any, params: Parameters, row: Row) -> dict[str, Any]:
    most = max(6, min(60, 120_000_000 // model.parameter_count))  # a large model's passes take long
    loss, found = nudges(model, params, row.batch, most)
    return {"loss": loss, "steps": STEPS, "items": [n._asdict() for n in found]}
