"""What the page shows beside the steps: the logit lens, the reach of the loss's gradient, sizes, masks, rotations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigpt import ops
from minigpt.blocks import norm_forward
from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.params import Parameters
from minigpt.lab.explain.arrays import Heads, Snapshot, Store
from minigpt.lab.explain.batches import Row, lists_of
from minigpt.lab.explain.recording import Recording
from minigpt.lab.explain.watching import Called, Watching
from minigpt.models.bert import Bert
from minigpt.models.decoder_only import DecoderOnly
from minigpt.ops import IGNORE
from minigpt.ops.rope import pairs, rope_frequencies

_TOP = 5


class Streams(Watching):
    """Collects the residual stream between layers, forward, and its gradient, backward: {place: (B, T, C)}.

    A layer's stream is what its first operation reads. Its gradient is complete where the last operation of that
    layer's backward pass has added the two roads up.
    """

    def __init__(self, params: Parameters):
        super().__init__(params)
        self.forward: dict[str, np.ndarray] = {}
        self.backward: dict[str, np.ndarray] = {}

    def told(self, call: Called, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Any) -> Any:
        result = function(*arguments, **keywords)
        if self.backwards and call.place.endswith("attention.join"):
            self.backward[call.place.removesuffix(".attention.join")] = result
        if not self.backwards and call.place.endswith(("norm1", "attention.qkv")):
            layer = call.place.removesuffix(".norm1").removesuffix(".attention.qkv")
            self.forward.setdefault(layer, arguments[0].copy())
        return result


def stack_layers(model: Any) -> dict[str, list[str]]:
    """The beginnings of the names of a model's layers, by the list of tokens that they work on."""
    if isinstance(model, DecoderOnly | Bert):
        return {"tokens": [f"blocks.{n}" for n in range(model.config.layers)]}
    return {
        "source": [f"encoder.blocks.{n}" for n in range(model.config.encoder_layers)],
        "target": [f"decoder.blocks.{n}" for n in range(model.config.decoder_layers)],
    }


def scores_of(model: Any, params: Parameters, x: np.ndarray, row: Row) -> np.ndarray:
    """The logits (rows, V) that a stream (1, T, C) would give if the model ended here."""
    if isinstance(model, Bert):
        return model.masked_forward(params, x, row.batch.places, EVALUATION)[0][0]
    if isinstance(model, DecoderOnly):
        if model.block.pre_norm:
            x, _ = norm_forward(x, params, "final_norm", model.block, EVALUATION)
        return ops.linear_forward(x, model.output_weight(params))[0][0]
    return model.output_forward(params, x, EVALUATION)[0][0]


def lens(model: Any, params: Parameters, row: Row, streams: Streams, logits: np.ndarray, word: Any) -> dict[str, Any]:
    """What each layer would say: the most probable tokens after every layer, and the rank of the right one."""
    layers = stack_layers(model)["target" if "source" in row.lists else "tokens"]
    found = []
    for name in [*layers, ""]:
        scores = logits if not name else scores_of(model, params, streams.forward[name], row)
        p, _ = ops.softmax_forward(scores.astype(np.float64))
        cells = []
        for q, target in zip(p, row.targets, strict=True):
            top = [(word(int(i)), float(f"{q[i]:.4g}")) for i in np.argsort(-q)[:_TOP]]
            known = target != IGNORE
            rank = int((q > q[target]).sum()) + 1 if known else 0
            cells.append({"top": top, "rank": rank, "p": float(f"{q[target]:.4g}") if known else 0.0})
        found.append(cells)
    return {"rows": row.outputs, "layers": found, "targets": [word(t) if t != IGNORE else "" for t in row.targets]}


def reach(model: Any, params: Parameters, row: Row, store: Store) -> dict[str, Any]:
    """How strongly the loss at each place reaches each token in each layer: norms of its gradient, (places, T).

    Each place gets a row of a batch of its own, in which it alone counts; one pass then has all of them apart.
    """
    places = [n for n, t in enumerate(row.targets) if t != IGNORE]
    targets = np.full((len(places), len(row.targets)), IGNORE)
    targets[np.arange(len(places)), places] = [row.targets[n] for n in places]
    repeated = [None if x is None else np.repeat(x, len(places), axis=0) for x in row.batch]
    batch = row.batch._make(repeated)._replace(targets=targets)
    streams = Streams(params)
    run = Run(ops=streams, denominators={"tokens": 1.0})
    _, cache = model.forward(params, batch, run)
    streams.turn()
    model.backward(params, params.zeros_like(), cache, run)
    found = {}
    for kind, layers in stack_layers(model).items():
        norms = [np.linalg.norm(streams.backward[layer], axis=-1) for layer in layers]
        found[kind] = [store.plain(x, "place", "token") for x in norms]
    return {"rows": row.outputs, "places": places, "lists": found}


def norms(params: Parameters, grads: Parameters) -> list[dict[str, Any]]:
    """Each tensor's size and its gradient's, as root mean squares."""

    def rms(x: np.ndarray) -> float:
        return float(f"{np.sqrt(np.mean(np.square(x, dtype=np.float64))):.6g}")

    specs = [s for s in params.specs if s.trained]
    return [{"name": s.name, "shape": s.shape, "rms": rms(params[s.name]), "grad": rms(grads[s.name])} for s in specs]


def heads(recording: Recording, row: Row, store: Store, shown: Heads) -> list[dict[str, Any]]:
    """The probabilities of every attention of every layer."""
    found = []
    for place, p in recording.probabilities.items():
        rows, keys = lists_of(place, row)
        array = store.of_heads(p, shown, "query", "key")
        found.append({"place": place, "array": array, "rows": rows, "keys": keys})
    return found


def masks(length: int, window: int, store: Store) -> list[dict[str, Any]]:
    """The masks of the families side by side, for a text of so many tokens."""
    span, some = window or max(2, length // 4), min(length, max(2, 2 * length // 3))
    real = np.arange(length)[None] < some
    shown = [
        ("GPT, Llama", "Each token sees itself and those before it.", ops.Mask(causal=True), length),
        (
            "GPT-3, every second layer; Mistral",
            f"The last {span} tokens alone.",
            ops.Mask(causal=True, window=span),
            length,
        ),
        ("BERT, encoder of BART", "Every token sees every token.", ops.NO_MASK, length),
        (f"BERT with {length - some} of padding", "Nobody looks at padding.", ops.Mask(key_padding=real), length),
        ("BART's decoder, itself", "As GPT: what it has written so far.", ops.Mask(causal=True), some),
        ("BART's decoder, the source", "Every new token sees the whole source.", ops.NO_MASK, some),
    ]
    found = []
    for name, say, mask, queries in shown:
        keys = queries if "itself" in name else length
        allowed = mask.allowed(np, queries, keys)
        full = (
            np.ones((queries, keys)) if allowed is None else np.broadcast_to(allowed, (1, 1, 1, queries, keys))[0, 0, 0]
        )
        found.append({"name": name, "say": say, "array": store.plain(full, "query", "key")})
    return found


def rotation(model: Any, recording: Recording, store: Store) -> dict[str, Any] | None:
    """Llama's pairs of a query before and after they are turned, (H, T, D/2, 2), and the angle of each pair."""
    turned = [r for r in recording.forward if r.call.name == "rope_forward"]
    if not turned or turned[0].inputs["x"].kept[-1] is not None:  # some columns alone are not in pairs
        return None
    rope, first = model.block.rope, turned[0]
    numbers = [store.add(_in_pairs(s, rope.layout)) for s in (first.inputs["x"], first.result[0])]
    angles = rope_frequencies(model.head_width, rope).tolist()
    return {"place": first.call.place, "before": numbers[0], "after": numbers[1], "angles": angles}


def _in_pairs(s: Snapshot, layout: str) -> Snapshot:
    """(H, T, D) as (H, T, D/2, 2)."""
    ends = np.stack(pairs(s.data, layout), axis=-1)
    axes = ("head", "token", "pair", "end")
    return Snapshot(axes, (s.shape[0], *ends.shape[1:]), ends, (*s.kept[:2], None, None), s.norm)
