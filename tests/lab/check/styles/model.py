"""A right, whole small GPT: operations as pairs, parameters in a dictionary, a tied output layer."""

import numpy as np

CHECK = {"gpt": {"model": "case", "tokens": {"wte": [[3, 0, 3, 3, 6], [5, 0, 1, 6, 6]]}}}


def layernorm_forward(x, g, b):
    mean = x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    norm = (x - mean) * rstd
    return norm * g + b, (norm, rstd, g)


def layernorm_backward(dout, cache):
    norm, rstd, g = cache
    dg = (dout * norm).sum((0, 1))
    db = dout.sum((0, 1))
    dnorm = dout * g
    dx = dnorm - dnorm.mean(-1, keepdims=True)
    dx = dx - norm * (dnorm * norm).mean(-1, keepdims=True)
    return dx * rstd, dg, db


def linear_forward(x, w, b):
    return x @ w + b, (x, w)


def linear_backward(dout, cache):
    x, w = cache
    dw = np.einsum("bti,bto->io", x, dout)
    db = dout.sum((0, 1))
    return dout @ w.T, dw, db


def softmax_forward(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return p, p


def softmax_backward(dout, p):
    dz = p * (dout - (dout * p).sum(-1, keepdims=True))
    return dz


def attention_forward(q, k, v, mask):
    s = 1 / np.sqrt(q.shape[-1])
    z = np.where(mask, q @ k.swapaxes(-1, -2) * s, -np.inf)
    p, _ = softmax_forward(z)
    return p @ v, (q, k, v, p, s)


def attention_backward(dout, cache):
    q, k, v, p, s = cache
    dv = p.swapaxes(-1, -2) @ dout
    dp = dout @ v.swapaxes(-1, -2)
    dz = softmax_backward(dp, p) * s
    dq = dz @ k
    dk = dz.swapaxes(-1, -2) @ q
    return dq, dk, dv


def gelu_forward(x):
    t = np.tanh(0.7978845608028654 * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + t), (x, t)


def gelu_backward(dout, cache):
    x, t = cache
    dt = (1 - t * t) * 0.7978845608028654 * (1 + 0.134145 * x * x)
    return dout * (0.5 * (1 + t) + 0.5 * x * dt)


def dropout_forward(x, rng):
    mask = (rng.random(x.shape) > 0.2) / 0.8
    y = x * mask
    return y, mask


def dropout_backward(dout, mask):
    return dout * mask


def heads(x, n):
    b, t, c = x.shape
    return x.reshape(b, t, n, c // n).swapaxes(1, 2)


def merged(x):
    b, n, t, d = x.shape
    return x.swapaxes(1, 2).reshape(b, t, n * d)


class TinyGPT:
    def __init__(self, vocab, context, width, n_heads, layers, rng):
        self.layers, self.n_heads = layers, n_heads
        shapes = {"wte": (vocab, width), "wpe": (context, width)}
        for i in range(layers):
            shapes |= {f"{i}.ln1.g": (width,), f"{i}.ln1.b": (width,)}
            for name in ("q", "k", "v", "o"):
                shapes |= {f"{i}.w{name}": (width, width), f"{i}.b{name}": (width,)}
            shapes |= {f"{i}.ln2.g": (width,), f"{i}.ln2.b": (width,)}
            shapes |= {f"{i}.up.w": (width, 2 * width), f"{i}.up.b": (2 * width,)}
            shapes |= {f"{i}.down.w": (2 * width, width), f"{i}.down.b": (width,)}
        self.p = {n: np.ones(s) if n.endswith(".g") else 0.02 * rng.standard_normal(s) for n, s in shapes.items()}
        self.g = {}

    def forward(self, ids, targets):
        p, self.tape = self.p, []
        rng = np.random.default_rng(5)
        x = p["wte"][ids] + p["wpe"][: ids.shape[1]]
        causal = np.tril(np.ones((ids.shape[1], ids.shape[1]))) > 0
        for i in range(self.layers):
            h, ln1 = layernorm_forward(x, p[f"{i}.ln1.g"], p[f"{i}.ln1.b"])
            parts = [linear_forward(h, p[f"{i}.w{n}"], p[f"{i}.b{n}"]) for n in "qkv"]
            a, att = attention_forward(*(heads(part[0], self.n_heads) for part in parts), causal)
            o, out = linear_forward(merged(a), p[f"{i}.wo"], p[f"{i}.bo"])
            o, drop = dropout_forward(o, rng)
            x = x + o
            h, ln2 = layernorm_forward(x, p[f"{i}.ln2.g"], p[f"{i}.ln2.b"])
            u, up = linear_forward(h, p[f"{i}.up.w"], p[f"{i}.up.b"])
            u, act = gelu_forward(u)
            m, down = linear_forward(u, p[f"{i}.down.w"], p[f"{i}.down.b"])
            x = x + m
            self.tape.append((ln1, [part[1] for part in parts], att, out, drop, ln2, up, act, down))
        logits = x @ p["wte"].T
        self.probs, _ = softmax_forward(logits)
        self.ids, self.targets, self.x = ids, targets, x
        rows, cols = np.indices(targets.shape)
        return -np.log(self.probs[rows, cols, targets]).mean()

    def backward(self):
        p, g = self.p, self.g
        dlogits = self.probs.copy()
        rows, cols = np.indices(self.targets.shape)
        dlogits[rows, cols, self.targets] -= 1
        dlogits = dlogits / self.targets.size
        g["wte"] = np.einsum("btv,btc->vc", dlogits, self.x)
        dx = dlogits @ p["wte"]
        for i in reversed(range(self.layers)):
            ln1, parts, att, out, drop, ln2, up, act, down = self.tape[i]
            du, g[f"{i}.down.w"], g[f"{i}.down.b"] = linear_backward(dx, down)
            du = gelu_backward(du, act)
            dh, g[f"{i}.up.w"], g[f"{i}.up.b"] = linear_backward(du, up)
            dh, g[f"{i}.ln2.g"], g[f"{i}.ln2.b"] = layernorm_backward(dh, ln2)
            dx = dx + dh
            do = dropout_backward(dx, drop)
            da, g[f"{i}.wo"], g[f"{i}.bo"] = linear_backward(do, out)
            dqkv = attention_backward(heads(da, self.n_heads), att)
            dh = 0
            for n, d, cache in zip("qkv", dqkv, parts):
                part, g[f"{i}.w{n}"], g[f"{i}.b{n}"] = linear_backward(merged(d), cache)
                dh = dh + part
            dh, g[f"{i}.ln1.g"], g[f"{i}.ln1.b"] = layernorm_backward(dh, ln1)
            dx = dx + dh
        np.add.at(g["wte"], self.ids, dx)
        g["wpe"] = np.zeros_like(p["wpe"])
        g["wpe"][: dx.shape[1]] += dx.sum(axis=0)


def case():
    model = TinyGPT(7, 6, 6, 2, 2, np.random.default_rng(0))
    ids, targets = np.array(CHECK["gpt"]["tokens"]["wte"]), np.array([[0, 3, 3, 6, 2], [0, 1, 4, 6, 4]])

    def gradients():
        model.forward(ids, targets)
        model.backward()
        return model.g

    return model.p, lambda: model.forward(ids, targets), gradients
