"""A whole attention layer, forward and backward on one page, in the shapes that most people write: heads first.

`minigpt.blocks.attention` fuses the projections; here every gradient has a line of its own, so that a mistake in any of
them can be made on purpose and recognised.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minigpt import ops

Arrays = dict[str, np.ndarray]


class LayerCache(NamedTuple):
    x: np.ndarray  # (B, T, C)
    q: np.ndarray  # (B, H, T, D)
    k: np.ndarray
    v: np.ndarray
    p: np.ndarray  # (B, H, T, T)
    z: np.ndarray  # (B, T, C), the heads side by side
    w_q: np.ndarray
    w_k: np.ndarray
    w_v: np.ndarray
    w_o: np.ndarray
    scale: float


def split_heads(x: np.ndarray, heads: int) -> np.ndarray:
    """(B, T, C) to (B, H, T, D)."""
    b, t, c = x.shape
    return x.reshape(b, t, heads, c // heads).swapaxes(1, 2)


def merge_heads(x: np.ndarray) -> np.ndarray:
    """(B, H, T, D) to (B, T, C)."""
    b, h, t, d = x.shape
    return x.swapaxes(1, 2).reshape(b, t, h * d)


def rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1])


def layer_forward(a: Arrays, heads: int, mask: ops.Mask, scale: float | None) -> tuple[np.ndarray, LayerCache]:
    """y = merge(softmax(s Q Kᵀ + mask) V) W_o + b_o, with Q = x W_q + b_q, and K and V alike."""
    x = a["x"]
    q, k, v = (split_heads(x @ a[f"w_{n}"] + a.get(f"b_{n}", 0.0), heads) for n in "qkv")
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = scale * (q @ k.swapaxes(-1, -2))
    allowed = mask.allowed(np, x.shape[1], x.shape[1])
    if allowed is not None:
        scores = np.where(allowed.reshape(-1, 1, *allowed.shape[-2:]), scores, -np.inf)
    p, _ = ops.softmax_forward(scores)
    z = merge_heads(p @ v)
    cache = LayerCache(x, q, k, v, p, z, a["w_q"], a["w_k"], a["w_v"], a["w_o"], scale)
    return z @ a["w_o"] + a.get("b_o", 0.0), cache


def layer_backward(dy: np.ndarray, cache: LayerCache) -> Arrays:
    """Every gradient of the layer, line by line backwards."""
    x, q, k, v, p, z, w_q, w_k, w_v, w_o, scale = cache
    dw_o = rows(z).T @ rows(dy)  # y = z W_o: dW_o = zᵀ dy
    db_o = rows(dy).sum(axis=0)  # y = … + b_o
    dz = dy @ w_o.T  # y = z W_o: dz = dy W_oᵀ
    do = split_heads(dz, q.shape[1])  # z has the heads side by side
    dv = np.matmul(p.swapaxes(-1, -2), do)  # O = P V: dV = Pᵀ dO
    dp = np.matmul(do, v.swapaxes(-1, -2))  # O = P V: dP = dO Vᵀ
    inner = (dp * p).sum(axis=-1, keepdims=True)  # P = softmax(Z): Σ dP P of each row
    ds = p * (dp - inner)  # P = softmax(Z): dZ = P (dP − Σ dP P)
    ds *= scale  # Z = s Q Kᵀ
    dq = np.matmul(ds, k)  # Z = s Q Kᵀ: dQ = s dZ K
    dk = np.matmul(ds.swapaxes(-1, -2), q)  # Z = s Q Kᵀ: dK = s dZᵀ Q
    rows_q = merge_heads(dq)
    rows_k = merge_heads(dk)
    rows_v = merge_heads(dv)
    dw_q = rows(x).T @ rows(rows_q)  # Q = x W_q: dW_q = xᵀ dQ
    dw_k = rows(x).T @ rows(rows_k)  # K = x W_k: dW_k = xᵀ dK
    dw_v = rows(x).T @ rows(rows_v)  # V = x W_v: dW_v = xᵀ dV
    db_q = rows(rows_q).sum(axis=0)  # Q = … + b_q
    db_k = rows(rows_k).sum(axis=0)  # K = … + b_k
    db_v = rows(rows_v).sum(axis=0)  # V = … + b_v
    dx = rows_q @ w_q.T + rows_k @ w_k.T + rows_v @ w_v.T  # x feeds Q, K and V: three parts
    return {
        "x": dx, "w_q": dw_q, "w_k": dw_k, "w_v": dw_v, "w_o": dw_o, "b_q": db_q, "b_k": db_k, "b_v": db_v, "b_o": db_o,
    }  # fmt: skip
