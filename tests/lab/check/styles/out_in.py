"""Right operations as pairs of functions with weights (out, in) and results in dictionaries or added into arrays."""

import numpy as np


def linear_fwd(inp, weight, bias):
    return inp @ weight.T + bias, (inp, weight)


def linear_bwd(ctx, dout):
    inp, weight = ctx
    rows = dout.reshape(-1, dout.shape[-1])
    dweight = rows.T @ inp.reshape(-1, inp.shape[-1])
    dbias = np.sum(rows, axis=0)
    dinp = dout @ weight
    return {"inp": dinp, "weight": dweight, "bias": dbias}


def layernorm_fwd(inp, weight, bias):
    mean = inp.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(((inp - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
    return (inp - mean) * rstd * weight + bias, mean, rstd


def layernorm_bwd(dweight, dbias, dout, inp, mean, rstd, weight):
    norm = (inp - mean) * rstd
    dweight += (dout * norm).sum((0, 1))
    dbias += dout.sum((0, 1))
    dnorm = weight * dout
    dnorm_mean = dnorm.mean(-1, keepdims=True)
    dnorm_norm_mean = (dnorm * norm).mean(-1, keepdims=True)
    dinp = dnorm - dnorm_mean
    dinp -= norm * dnorm_norm_mean
    dinp *= rstd
    return dinp


def rmsnorm_fwd(inp, weight):
    rstd = ((inp**2).mean(-1, keepdims=True) + 1e-6) ** -0.5
    return inp * rstd * weight, rstd


def rmsnorm_bwd(dout, inp, weight, rstd):
    dweight = (dout * inp * rstd).sum((0, 1))
    scaled = dout * weight * rstd
    dot = (scaled * inp).mean(-1, keepdims=True)
    dinp = scaled - inp * dot * rstd**2
    return dinp, dweight


def softmax_fwd(inp):
    out = np.exp(inp - inp.max(-1, keepdims=True))
    out /= out.sum(-1, keepdims=True)
    return out


def softmax_bwd(dout, out):
    total = (dout * out).sum(-1, keepdims=True)
    return (dout - total) * out


def gelu_fwd(inp):
    return 0.5 * inp * (1 + np.tanh(np.sqrt(2 / np.pi) * (inp + 0.044715 * inp**3)))


def gelu_bwd(dout, inp):
    cube = 0.044715 * inp**3
    tanh = np.tanh(np.sqrt(2 / np.pi) * (inp + cube))
    sech2 = 1 - tanh**2
    local = 0.5 * (1 + tanh) + 0.5 * inp * sech2 * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * inp**2)
    return local * dout


def silu_fwd(inp):
    return inp / (1 + np.exp(-inp))


def silu_bwd(dout, inp):
    sig = 1 / (1 + np.exp(-inp))
    return dout * (sig + inp * sig * (1 - sig))


def embedding_fwd(ids, wte):
    return wte[ids]


def embedding_bwd(dwte, dout, ids):
    B, T = ids.shape
    for b in range(B):
        for t in range(T):
            dwte[ids[b, t]] += dout[b, t]


def position_fwd(inp, wpe):
    return inp + wpe[: inp.shape[1]]


def position_bwd(dwpe, dout, inp):
    T = inp.shape[1]
    dwpe[:T] += dout.sum(axis=0)
    return dout


def crossentropy_fwd(logits, targets):
    z = logits - logits.max(-1, keepdims=True)
    probs = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    n = len(targets)
    loss = -np.log(probs[np.arange(n), targets]).sum() / n
    return loss, probs


def crossentropy_bwd(dloss, probs, targets):
    n = len(targets)
    dlogits = probs.copy()
    dlogits[np.arange(n), targets] -= 1
    return dloss * dlogits / n


def attention_fwd(q, k, v):
    T, S = q.shape[1], k.shape[1]
    att = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    att = np.exp(att - att.max(-1, keepdims=True))
    att = att / att.sum(-1, keepdims=True)
    return att @ v, att


def attention_bwd(dout, q, k, v, att):
    hs = q.shape[-1]
    datt = dout @ v.transpose(0, 2, 1)
    dv = att.transpose(0, 2, 1) @ dout
    dpre = att * (datt - (att * datt).sum(-1, keepdims=True))
    dpre = dpre / np.sqrt(hs)
    dq = dpre @ k
    dk = dpre.transpose(0, 2, 1) @ q
    return dq, dk, dv


def mha_fwd(x, wq, wk, wv, wo, bq, bk, bv, bo, n_heads):
    B, T, C = x.shape
    D = C // n_heads
    q = (x @ wq.T + bq).reshape(B, T, n_heads, D).swapaxes(1, 2)
    k = (x @ wk.T + bk).reshape(B, T, n_heads, D).swapaxes(1, 2)
    v = (x @ wv.T + bv).reshape(B, T, n_heads, D).swapaxes(1, 2)
    att = q @ k.swapaxes(2, 3) / np.sqrt(D)
    att = np.exp(att - att.max(-1, keepdims=True))
    att = att / att.sum(-1, keepdims=True)
    heads = (att @ v).swapaxes(1, 2).reshape(B, T, C)
    return heads @ wo.T + bo, (x, q, k, v, att, heads, wq, wk, wv, wo)


def mha_bwd(dout, cache):
    x, q, k, v, att, heads, wq, wk, wv, wo = cache
    B, T, C = x.shape
    H, D = q.shape[1], q.shape[3]
    g = {}
    g["wo"] = np.einsum("bto,bti->oi", dout, heads)
    g["bo"] = dout.sum((0, 1))
    dheads = (dout @ wo).reshape(B, T, H, D).swapaxes(1, 2)
    dv = att.swapaxes(2, 3) @ dheads
    datt = dheads @ v.swapaxes(2, 3)
    dpre = att * (datt - (datt * att).sum(-1, keepdims=True)) / np.sqrt(D)
    dq = dpre @ k
    dk = dpre.swapaxes(2, 3) @ q
    dq = dq.swapaxes(1, 2).reshape(B, T, C)
    dk = dk.swapaxes(1, 2).reshape(B, T, C)
    dv = dv.swapaxes(1, 2).reshape(B, T, C)
    g["wq"] = np.einsum("bto,bti->oi", dq, x)
    g["wk"] = np.einsum("bto,bti->oi", dk, x)
    g["wv"] = np.einsum("bto,bti->oi", dv, x)
    g["bq"] = dq.sum((0, 1))
    g["bk"] = dk.sum((0, 1))
    g["bv"] = dv.sum((0, 1))
    g["x"] = dq @ wq + dk @ wk + dv @ wv
    return g
