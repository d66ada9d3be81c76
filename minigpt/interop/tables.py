"""Naming tables: for every tensor of another implementation, which view of one of ours it is.

A view is a function that slices and transposes, never copies. So one table serves both directions: writing reads the
views, reading assigns to them, straight into the flat buffer of the parameters. Gradients and moments have the shape
of the parameters, so the same table names them too. When a file is read, shapes are compared first, then every tensor
is copied to where it belongs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigpt.core.backend import Array
from minigpt.core.params import Parameters, buffer
from minigpt.core.progress import progress_bar
from minigpt.interop.weight_files import StoredTensor

View = Callable[[Array], Array]
Table = dict[str, tuple[str, View]]  # their name -> (our name, the view of ours that is theirs)


def as_is(x: Array) -> Array:
    """The layout of both is the same."""
    return x


def transposed(x: Array) -> Array:
    """Their matrix is (out, in), as torch.nn.Linear keeps it, and ours (in, out); a bias stays as it is."""
    return x.T


def columns(start: int, stop: int) -> View:
    """Theirs is (out, in) or (out,) and ours fuses several of them side by side: columns `start` to `stop`."""
    return lambda x: x[..., start:stop].T


def linear(theirs: str, ours: str, view: View = transposed, *, bias: bool = True) -> Table:
    """The rows of one linear layer: its weight and its bias."""
    return {f"{theirs}.{part}": (f"{ours}.{part}", view) for part in ("weight", "bias")[: 1 + bias]}


def fused(theirs: Mapping[str, int], ours: str, *, bias: bool = True) -> Table:
    """The rows of several of their linear layers, given with their widths, which ours has side by side as one."""
    rows: Table = {}
    start = 0
    for name, width in theirs.items():
        rows |= linear(name, ours, columns(start, start + width), bias=bias)
        start += width
    return rows


def norm(theirs: str, ours: str, *, bias: bool = True) -> Table:
    """The rows of one norm: its gain, which they call weight, and its bias."""
    rows: Table = {f"{theirs}.weight": (f"{ours}.gain", as_is)}
    return rows | {f"{theirs}.bias": (f"{ours}.bias", as_is)} if bias else rows


def layers(rows: Table, theirs: str, count: int, ours: str = "blocks") -> Table:
    """The rows of one layer, for each of `count` of them: behind `theirs` and `ours`, and the layer's number."""
    return {
        f"{theirs}.{n}.{name}": (f"{ours}.{n}.{own}", view) for n in range(count) for name, (own, view) in rows.items()
    }


def llama_layer(c: Any, theirs: Sequence[str], turn: Callable[[View, int], View] | None = None) -> Table:
    """The rows of one layer of a Llama, wherever it comes from.

    Args:
        theirs: their names of norm, q, k, v and output, and of norm, gate, up and down.
        turn: what becomes of the views of q and k, given the width of a head, where pairs lie otherwise in theirs.
    """
    norm1, q, k, v, out, norm2, gate, up, down = theirs
    width, kv_width = c.heads * c.head_width, c.kv_heads * c.head_width
    qkv = fused({q: width, k: kv_width, v: kv_width}, "attention.qkv", bias=c.attention_bias != "none")
    if turn:
        qkv |= {
            name: (ours, turn(view, c.head_width)) for name, (ours, view) in qkv.items() if not name.startswith(f"{v}.")
        }
    rows = norm(norm1, "norm1", bias=False) | qkv | linear(out, "attention.out", bias=c.attention_bias == "all")
    rows |= norm(norm2, "norm2", bias=False) | fused({gate: c.feed_forward, up: c.feed_forward}, "mlp.up", bias=False)
    return rows | linear(down, "mlp.down", bias=False)


def their_shape(view: Array) -> tuple[int, ...]:
    """Theirs are matrices and vectors. A view with more axes is a matrix whose rows ours has in another order: its
    first axes are joined.
    """
    return view.shape if view.ndim < 3 else (math.prod(view.shape[:-1]), view.shape[-1])


def their_tensors(table: Table, tree: Mapping[str, Array]) -> dict[str, Array]:
    """`tree`, anything shaped like the parameters, under their names and in their layout: views, where one can be."""
    views = {theirs: view(tree[ours]) for theirs, (ours, view) in table.items()}
    return {theirs: x.reshape(their_shape(x)) for theirs, x in views.items()}


def their_shapes(model: Any, table: Table) -> dict[str, tuple[int, ...]]:
    """The shapes that the tensors of a model have in their layout; no memory is taken."""
    shapes = {spec.name: np.broadcast_to(np.float32(0), spec.shape) for spec in model.specs}
    return {theirs: their_shape(view(shapes[ours])) for theirs, (ours, view) in table.items()}


def filled(model: Any, table: Table, found: Mapping[str, StoredTensor], dtype: str) -> Parameters:
    """The parameters, copied tensor by tensor from the mapped files to where they belong.

    Raises:
        UserError: a shape is another one than the model's, before any memory is taken; or a value is not finite.
    """
    for theirs, shape in their_shapes(model, table).items():
        if theirs in found:
            found[theirs].check_shape(shape)
    if all(theirs in found for theirs in table):
        params = Parameters(model.specs, buffer(model.specs, dtype))
    else:
        params = model.init(seed=0, dtype=dtype)
    for theirs, (ours, view) in progress_bar(table.items(), desc="reading", unit="tensor", leave=False, delay=2):
        if theirs in found:
            found[theirs].copy_into(view(params[ours]))
    return params
