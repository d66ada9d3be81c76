"""Right operations as layers that keep what they need and add into the gradients of their parameters."""

import numpy as np


class Linear:
    def __init__(self, in_features, out_features):
        self.weight = np.random.randn(in_features, out_features)
        self.bias = np.zeros(out_features)
        self.grad_weight = np.zeros_like(self.weight)
        self.grad_bias = np.zeros_like(self.bias)

    def forward(self, x):
        self.x = x
        return np.einsum("...i,io->...o", x, self.weight) + self.bias

    def backward(self, grad_output):
        grad_input = np.einsum("...o,io->...i", grad_output, self.weight)
        self.grad_weight += np.einsum("bti,bto->io", self.x, grad_output)
        self.grad_bias += grad_output.sum(axis=(0, 1))
        return grad_input


class LayerNorm:
    def __init__(self, dim, eps=1e-5):
        self.gamma, self.beta, self.eps = np.ones(dim), np.zeros(dim), eps
        self.dgamma, self.dbeta = np.zeros(dim), np.zeros(dim)

    def forward(self, x):
        centred = x - x.mean(axis=-1, keepdims=True)
        self.rstd = (np.mean(centred**2, axis=-1, keepdims=True) + self.eps) ** -0.5
        self.norm = centred * self.rstd
        return self.norm * self.gamma + self.beta

    def backward(self, dout):
        self.dgamma += np.sum(dout * self.norm, axis=(0, 1))
        self.dbeta += np.sum(dout, axis=(0, 1))
        dnorm = dout * self.gamma
        a = np.mean(dnorm, axis=-1, keepdims=True)
        b = np.mean(dnorm * self.norm, axis=-1, keepdims=True)
        return self.rstd * (dnorm - a - self.norm * b)


class RMSNorm:
    def __init__(self, dim, eps=1e-6):
        self.weight, self.eps = np.ones(dim), eps
        self.dweight = np.zeros(dim)

    def forward(self, x):
        self.x = x
        self.inv = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps)
        return x * self.inv * self.weight

    def backward(self, dout):
        normed = self.x * self.inv
        self.dweight += (dout * normed).sum(axis=(0, 1))
        g = dout * self.weight
        m = np.mean(g * normed, axis=-1, keepdims=True)
        return (g - normed * m) * self.inv


class Softmax:
    def forward(self, x):
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        self.y = e / np.sum(e, axis=-1, keepdims=True)
        return self.y

    def backward(self, dout):
        weighted = dout * self.y
        return weighted - self.y * np.sum(weighted, axis=-1, keepdims=True)


class GELU:
    def forward(self, x):
        self.x = x
        self.t = np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))
        return 0.5 * x * (1 + self.t)

    def backward(self, dout):
        sech = 1 - self.t * self.t
        inner = 0.7978845608028654 * (1 + 0.134145 * self.x * self.x)
        left = 0.5 * (1 + self.t)
        right = 0.5 * self.x * sech * inner
        return dout * (left + right)


class SiLU:
    def forward(self, x):
        self.x = x
        self.sig = 1 / (1 + np.exp(-x))
        return x * self.sig

    def backward(self, dout):
        return dout * self.sig * (1 + self.x * (1 - self.sig))


class ReLU:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class Embedding:
    def __init__(self, vocab_size, dim):
        self.table = np.random.randn(vocab_size, dim)
        self.dtable = np.zeros_like(self.table)

    def forward(self, ids):
        self.ids = ids
        return self.table[ids]

    def backward(self, dout):
        for row, grad in zip(self.ids.reshape(-1), dout.reshape(-1, dout.shape[-1])):
            self.dtable[row] += grad


class CrossEntropyLoss:
    def forward(self, logits, targets):
        e = np.exp(logits - logits.max(axis=-1, keepdims=True))
        self.p = e / e.sum(axis=-1, keepdims=True)
        self.targets = targets
        picked = np.take_along_axis(self.p, targets[..., None], axis=-1)
        return -np.log(picked).mean()

    def backward(self):
        truth = np.eye(self.p.shape[-1])[self.targets]
        grad = self.p - truth
        return grad / self.targets.size


class MSELoss:
    def forward(self, pred, target):
        self.diff = pred - target
        return np.mean(self.diff * self.diff)

    def backward(self):
        return 2 * self.diff / self.diff.size


class Dropout:
    def __init__(self, p=0.5):
        self.p = p

    def forward(self, x):
        self.keep = np.random.rand(*x.shape) >= self.p
        self.y = x * self.keep / (1 - self.p)
        return self.y

    def backward(self, dout):
        return dout * self.keep / (1 - self.p)


class CausalSelfAttention:
    def __init__(self, n_embd, n_head):
        self.n_head = n_head
        for name in ("q", "k", "v", "o"):
            setattr(self, "W" + name, np.random.randn(n_embd, n_embd))
            setattr(self, "dW" + name, np.zeros((n_embd, n_embd)))

    def split(self, x):
        B, T, C = x.shape
        return x.reshape(B, T, self.n_head, C // self.n_head).transpose(0, 2, 1, 3)

    def merge(self, x):
        B, H, T, D = x.shape
        return x.transpose(0, 2, 1, 3).reshape(B, T, H * D)

    def forward(self, x):
        T = x.shape[1]
        self.x = x
        self.q, self.k, self.v = self.split(x @ self.Wq), self.split(x @ self.Wk), self.split(x @ self.Wv)
        self.scale = self.q.shape[-1] ** -0.5
        att = self.q @ self.k.transpose(0, 1, 3, 2) * self.scale
        self.tril = np.tril(np.ones((T, T))) == 1
        att = np.where(self.tril, att, -np.inf)
        att = np.exp(att - att.max(axis=-1, keepdims=True))
        self.p = att / att.sum(axis=-1, keepdims=True)
        self.merged = self.merge(self.p @ self.v)
        return self.merged @ self.Wo

    def backward(self, dout):
        C = dout.shape[-1]
        flat = self.x.reshape(-1, C)
        self.dWo += self.merged.reshape(-1, C).T @ dout.reshape(-1, C)
        dmerged = dout @ self.Wo.T
        dheads = self.split(dmerged)
        dv = self.p.transpose(0, 1, 3, 2) @ dheads
        dp = dheads @ self.v.transpose(0, 1, 3, 2)
        ds = self.p * (dp - (dp * self.p).sum(axis=-1, keepdims=True))
        ds = ds * self.scale
        dq = ds @ self.k
        dk = ds.transpose(0, 1, 3, 2) @ self.q
        dq, dk, dv = self.merge(dq), self.merge(dk), self.merge(dv)
        self.dWq += flat.T @ dq.reshape(-1, C)
        self.dWk += flat.T @ dk.reshape(-1, C)
        self.dWv += flat.T @ dv.reshape(-1, C)
        dx = dq @ self.Wq.T
        dx = dx + dk @ self.Wk.T
        dx = dx + dv @ self.Wv.T
        return dx
