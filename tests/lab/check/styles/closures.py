"""Right operations, each a function that returns its result and the way back."""

import numpy as np


def linear(x, w, b):
    out = x @ w + b

    def backward(dout):
        dx = dout @ w.T
        flat = dout.reshape(-1, dout.shape[-1])
        dw = x.reshape(-1, x.shape[-1]).T @ flat
        db = flat.sum(axis=0)
        return dx, dw, db

    return out, backward


def layer_norm(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    out = gamma * xhat + beta

    def backward(dout):
        n = x.shape[-1]
        dgamma = (dout * xhat).sum(axis=(0, 1))
        dbeta = dout.sum(axis=(0, 1))
        dxhat = dout * gamma
        total = dxhat.sum(axis=-1, keepdims=True)
        inner = (dxhat * xhat).sum(axis=-1, keepdims=True)
        dx = (n * dxhat - total - xhat * inner) / (n * std)
        return dx, dgamma, dbeta

    return out, backward


def rms_norm(x, gamma, eps=1e-6):
    n = x.shape[-1]
    r = np.sqrt((x**2).sum(axis=-1, keepdims=True) / n + eps)
    out = gamma * x / r

    def backward(dout):
        dgamma = (dout * x / r).sum(axis=(0, 1))
        dn = dout * gamma
        inner = (dn * x).sum(axis=-1, keepdims=True)
        dx = dn / r - x * inner / (n * r**3)
        return dx, dgamma

    return out, backward


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)

    def backward(dout):
        dot = (dout * p).sum(axis=-1, keepdims=True)
        return p * dout - p * dot

    return p, backward


def gelu(x):
    c = np.sqrt(2 / np.pi)
    u = c * (x + 0.044715 * x**3)
    t = np.tanh(u)
    out = x * (1 + t) / 2

    def backward(dout):
        du = c * (1 + 3 * 0.044715 * x**2)
        dt = (1 - t**2) * du
        return dout * ((1 + t) / 2 + x * dt / 2)

    return out, backward


def silu(x):
    s = 1 / (1 + np.exp(-x))

    def backward(dout):
        ds = s * (1 - s)
        return dout * (s + x * ds)

    return x * s, backward


def relu(x):
    positive = x > 0

    def backward(dout):
        return dout * positive

    return np.where(positive, x, 0), backward


def swiglu(gate, up):
    s = 1 / (1 + np.exp(-gate))
    act = gate * s

    def backward(dout):
        dup = dout * act
        dact = dout * up
        dgate = dact * (s + act * (1 - s))
        return dgate, dup

    return act * up, backward


def embedding(ids, table):
    def backward(dout):
        dtable = np.zeros_like(table)
        np.add.at(dtable, ids, dout)
        return dtable

    return table[ids], backward


def cross_entropy(logits, targets):
    z = logits - logits.max(axis=-1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    onehot = np.eye(logits.shape[-1])[targets]
    count = targets.size
    loss = -(onehot * logp).sum() / count

    def backward(dloss):
        p = np.exp(logp)
        dz = p - onehot
        return dloss * dz / count

    return loss, backward


def mse(pred, target):
    diff = pred - target

    def backward(dloss):
        return dloss * 2 * diff / diff.size

    return (diff**2).mean(), backward


def dropout(x, p, rng):
    mask = (rng.random(x.shape) > p) / (1 - p)

    def backward(dout):
        return dout * mask

    return x * mask, backward


def attention(q, k, v, mask):
    s = 1 / np.sqrt(q.shape[-1])
    z = s * q @ k.swapaxes(-1, -2)
    z = np.where(mask, z, -1e30)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)

    def backward(dout):
        dv = p.swapaxes(-1, -2) @ dout
        dp = dout @ v.swapaxes(-1, -2)
        row = (dp * p).sum(axis=-1, keepdims=True)
        dz = p * (dp - row)
        dz = dz * mask
        dq = s * dz @ k
        dk = s * dz.swapaxes(-1, -2) @ q
        return dq, dk, dv

    return p @ v, backward


def rope(x, cos, sin):
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    out = np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)

    def backward(dout):
        da, db = dout[..., :half], dout[..., half:]
        dx_a = da * cos + db * sin
        dx_b = db * cos - da * sin
        return np.concatenate([dx_a, dx_b], axis=-1)

    return out, backward
