"""Right operations in other conventions: dictionaries, results kept, inputs passed again, fused weights."""

import numpy as np

CHECK = {"embed": {"inputs": {"idx": {"integers": 7, "shape": [2, 5]}, "wte": [7, 3], "wpe": [6, 3]}}}


def linear_forward(x, p):
    return x @ p["w"] + p["b"], x


def linear_backward(dout, x, p):
    rows = dout.reshape(-1, dout.shape[-1])
    return {"x": dout @ p["w"].T, "w": x.reshape(-1, x.shape[-1]).T @ rows, "b": rows.sum(0)}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward(y, dy):
    return y * (dy - (dy * y).sum(-1, keepdims=True))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_grad(x, dout):
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2))


def cross_entropy_forward(logits, targets):
    p = softmax(logits)
    n = len(targets)
    return -np.log(p[np.arange(n), targets]).mean(), (p, targets)


def cross_entropy_backward(cache):
    p, t = cache
    d = p.copy()
    d[np.arange(len(t)), t] -= 1
    return d / len(t)


class SumCrossEntropy:
    def forward(self, logits, onehot):
        self.p, self.onehot = softmax(logits), onehot
        return -(onehot * np.log(self.p)).sum()

    def backward(self):
        return self.p - self.onehot


class Dropout:
    def __init__(self, keep_prob=0.8):
        self.keep_prob, self.rng = keep_prob, np.random.default_rng(3)

    def forward(self, x, training=True):
        if not training:
            return x
        self.mask = self.rng.random(x.shape) < self.keep_prob
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class LayerNorm:
    def __init__(self, dim, eps=1e-5):
        self.params = {"gamma": np.ones(dim), "beta": np.zeros(dim)}
        self.eps, self.grads = eps, {}

    def forward(self, x):
        self.std = np.sqrt(x.var(-1, keepdims=True) + self.eps)
        self.xh = (x - x.mean(-1, keepdims=True)) / self.std
        return self.params["gamma"] * self.xh + self.params["beta"]

    def backward(self, dout):
        self.grads["gamma"] = (dout * self.xh).sum((0, 1))
        self.grads["beta"] = dout.sum((0, 1))
        d = dout * self.params["gamma"]
        return (d - d.mean(-1, keepdims=True) - self.xh * (d * self.xh).mean(-1, keepdims=True)) / self.std


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


class Dense:
    def __init__(self, n_in, n_out):
        self.W, self.b = Parameter(np.random.randn(n_out, n_in)), Parameter(np.zeros(n_out))

    def forward(self, x):
        self.x = x
        return x @ self.W.data.T + self.b.data

    def backward(self, dy):
        rows = dy.reshape(-1, dy.shape[-1])
        self.W.grad += rows.T @ self.x.reshape(-1, self.x.shape[-1])
        self.b.grad += rows.sum(0)
        return dy @ self.W.data


class FusedAttention:
    """Causal, with one projection for queries, keys and values."""

    def __init__(self, n_embd, n_head):
        self.n_head = n_head
        self.c_attn, self.c_attn_b = np.random.randn(n_embd, 3 * n_embd), np.zeros(3 * n_embd)
        self.c_proj, self.c_proj_b = np.random.randn(n_embd, n_embd), np.zeros(n_embd)

    def forward(self, x):
        B, T, C = x.shape
        H, D = self.n_head, C // self.n_head
        self.x = x
        qkv = x @ self.c_attn + self.c_attn_b
        self.q, self.k, self.v = (a.reshape(B, T, H, D).transpose(0, 2, 1, 3) for a in np.split(qkv, 3, -1))
        z = self.q @ self.k.transpose(0, 1, 3, 2) / np.sqrt(D)
        self.p = softmax(np.where(np.tril(np.ones((T, T), bool)), z, -np.inf))
        self.o = (self.p @ self.v).transpose(0, 2, 1, 3).reshape(B, T, C)
        return self.o @ self.c_proj + self.c_proj_b

    def backward(self, dy):
        B, T, C = dy.shape
        H, D = self.n_head, C // self.n_head
        self.d_c_proj, self.d_c_proj_b = np.einsum("bti,bto->io", self.o, dy), dy.sum((0, 1))
        do = (dy @ self.c_proj.T).reshape(B, T, H, D).transpose(0, 2, 1, 3)
        dv = self.p.transpose(0, 1, 3, 2) @ do
        dp = do @ self.v.transpose(0, 1, 3, 2)
        dz = self.p * (dp - (dp * self.p).sum(-1, keepdims=True)) / np.sqrt(D)
        parts = (dz @ self.k, dz.transpose(0, 1, 3, 2) @ self.q, dv)
        dqkv = np.concatenate([a.transpose(0, 2, 1, 3).reshape(B, T, C) for a in parts], -1)
        self.d_c_attn, self.d_c_attn_b = np.einsum("bti,bto->io", self.x, dqkv), dqkv.sum((0, 1))
        return dqkv @ self.c_attn.T


def rmsnorm_forward(x, weight, eps=1e-6):
    r = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    return x / r * weight, (x, r, weight)


def rmsnorm_backward(dy, cache, dweight):
    x, r, w = cache
    dweight += (dy * x / r).sum((0, 1))
    g = dy * w
    return g / r - x * (g * x).mean(-1, keepdims=True) / r**3


def softplus(x):
    return np.log1p(np.exp(x)), x


def softplus_backward(dy, cache):
    return dy / (1 + np.exp(-cache))


def embed(idx, wte, wpe):
    return wte[idx] + wpe[: idx.shape[1]]


def embed_backward(dy, idx, dwte, dwpe):
    np.add.at(dwte, idx, dy)
    dwpe[: idx.shape[1]] += dy.sum(0)


def attention_forward(Q, K, V, mask=None):
    """For one text: (T, D); the mask is added."""
    S = Q @ K.T / np.sqrt(Q.shape[-1])
    if mask is not None:
        S = S + mask
    A = softmax(S)
    return A @ V, A


def attention_backward(dO, A, Q, K, V):
    dA = dO @ V.T
    dS = A * (dA - (dA * A).sum(-1, keepdims=True)) / np.sqrt(Q.shape[-1])
    return dS @ K, dS.T @ Q, A.T @ dO
