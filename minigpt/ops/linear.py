"""Linear: y = x W + b, the operation in which a Transformer spends most of its time."""

from __future__ import annotations

from typing import NamedTuple

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import Out, deliver, rows


class LinearCache(NamedTuple):
    x: Array  # (…, I)
    weight: Array  # (I, O)


def linear_forward(x: Array, weight: Array, bias: Array | None = None, *, out: Out = None) -> tuple[Array, LinearCache]:
    """y = x W + b for every position.

    Args:
        x: (…, I) activations.
        weight: (I, O). Stored (in, out), so that no transpose stands in the forward pass.
        bias: (O,) or None.
    Returns:
        y (…, O) and the cache for `linear_backward`.
    """
    xp = array_module(x, weight, bias)
    y = xp.matmul(rows(x), weight)  # (N, I) @ (I, O) -> (N, O)
    if bias is not None:
        y += bias  # (O,) to every row
    y = y.reshape(*x.shape[:-1], weight.shape[1])  # (…, O)
    return deliver(y, out), LinearCache(x, weight)


def linear_backward(
    dy: Array, cache: LinearCache, dweight: Array, dbias: Array | None = None, *, first: bool = False, out: Out = None
) -> Array:
    """Gradients of y = x W + b, with n running over positions.

    y_no = Σ_i x_ni W_io + b_o, hence
        ∂L/∂x_ni = Σ_o dy_no W_io   →  dx = dy Wᵀ
        ∂L/∂W_io = Σ_n x_ni dy_no   →  dW = xᵀ dy
        ∂L/∂b_o  = Σ_n dy_no.

    Args:
        dy: (…, O).
        dweight: (I, O), added to. A transposed view of another gradient serves for a tied weight.
        dbias: (O,), added to, or None.
        first: whether dweight holds nothing yet and is overwritten instead (see `minigpt.core.params.Gradients`).
    Returns:
        dx (…, I).
    """
    x, weight = cache
    xp = array_module(dy, weight)
    dy_rows = rows(dy)  # (N, O)
    if first:
        dweight[...] = 0.0
    dweight += xp.matmul(rows(x).T, dy_rows)  # y = x W: (I, N) @ (N, O) -> (I, O)
    if dbias is not None:
        dbias += dy_rows.sum(axis=0)  # y += b: (N, O) -> (O,)
    dx = xp.matmul(dy_rows, weight.T).reshape(x.shape)  # y = x W: (N, O) @ (O, I) -> (…, I)
    return deliver(dx, out)
