"""How the operations of styles/ are called, by hand: which gradients a changed backward pass gives, without the check.

`gradients(style, name, source)` runs a source in this process, so it is for our own texts alone.
"""

import numpy as np

B, T, C, O, V = 2, 3, 4, 5, 7


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


IDS = np.array([[3, 0, 3], [3, 6, 0]])
TARGETS = np.array([[1, 6, 2], [0, 6, 3]])
ANGLES = draw(T, 2)
PARAMETERS = {"gamma": 1 + 0.3 * draw(C), "beta": draw(C)}

# style, name: positional inputs, and the roles of what comes back, in order
CLOSURES = {
    "linear": ((draw(B, T, C), draw(C, O), draw(O)), ("x", "weight", "bias")),
    "layer_norm": ((draw(B, T, C), *PARAMETERS.values()), ("x", "gain", "bias")),
    "rms_norm": ((draw(B, T, C), PARAMETERS["gamma"]), ("x", "gain")),
    "softmax": ((draw(B, T, C),), ("x",)),
    "gelu": ((draw(B, T, C),), ("x",)),
    "silu": ((draw(B, T, C),), ("x",)),
    "relu": ((draw(B, T, C),), ("x",)),
    "swiglu": ((draw(B, T, C), draw(B, T, C, seed=1)), ("gate", "up")),
    "embedding": ((IDS, draw(V, C)), ("table",)),
    "cross_entropy": ((draw(B, T, V), TARGETS), ("logits",)),
    "mse": ((draw(B, T), draw(B, T, seed=1)), ("predictions",)),
    "dropout": ((draw(B, T, C), 0.4, None), ("x",)),
    "attention": ((draw(B, 2, T, C), draw(B, 2, 5, C), draw(B, 2, 5, C, seed=1), draw(T, 5) > -0.5), ("q", "k", "v")),
    "rope": ((draw(B, 2, T, 4), np.cos(ANGLES), np.sin(ANGLES)), ("x",)),
}
# name: constructor's arguments, attributes to set, inputs, attribute of each role's gradient
CLASSES = {
    "Linear": (
        (C, O),
        {"weight": draw(C, O), "bias": draw(O)},
        (draw(B, T, C),),
        {"weight": "grad_weight", "bias": "grad_bias"},
    ),
    "LayerNorm": ((C,), PARAMETERS, (draw(B, T, C),), {"gain": "dgamma", "bias": "dbeta"}),
    "RMSNorm": ((C,), {"weight": PARAMETERS["gamma"]}, (draw(B, T, C),), {"gain": "dweight"}),
    "Softmax": ((), {}, (draw(B, T, C),), {}),
    "GELU": ((), {}, (draw(B, T, C),), {}),
    "SiLU": ((), {}, (draw(B, T, C),), {}),
    "ReLU": ((), {}, (draw(B, T, C),), {}),
    "Embedding": ((V, C), {"table": draw(V, C)}, (IDS,), {"table": "dtable"}),
    "CrossEntropyLoss": ((), {}, (draw(B, T, V), TARGETS), {}),
    "MSELoss": ((), {}, (draw(B, T), draw(B, T, seed=1)), {}),
    "Dropout": ((0.4,), {}, (draw(B, T, C),), {}),
    "CausalSelfAttention": (
        (6, 2),
        {f"W{n}": draw(6, 6, seed=i) for i, n in enumerate("qkvo")},
        (draw(B, 5, 6),),
        {f"w_{n}": f"dW{n}" for n in "qkvo"},
    ),
}
FIRST = {"CrossEntropyLoss": "logits", "MSELoss": "predictions", "Embedding": None}
_X, _W, _B = draw(B, T, C), draw(O, C), draw(O)
_LAYER = {"x": draw(B, 5, 6)} | {f"w{n}": draw(6, 6, seed=i) for i, n in enumerate("qkvo")}
_LAYER |= {f"b{n}": draw(6, seed=i) for i, n in enumerate("qkvo")}


def out_in(module, name, dout):
    """The gradients by role of one pair of styles/out_in.py."""
    x, w, b = _X.copy(), _W.copy(), _B.copy()  # a mutant may write into what it is given
    layer = {key: value.copy() for key, value in _LAYER.items()}
    gamma, beta = (value.copy() for value in PARAMETERS.values())
    ids, targets = IDS.copy(), TARGETS.copy()
    if name == "linear":
        g = module["linear_bwd"](module["linear_fwd"](x, w, b)[1], dout(B, T, O))
        return {"x": g["inp"], "weight": g["weight"], "bias": g["bias"]}
    if name == "layernorm":
        _, mean, rstd = module["layernorm_fwd"](x, gamma, beta)
        dgamma, dbeta = np.full(C, 0.5), np.full(C, 0.5)
        dx = module["layernorm_bwd"](dgamma, dbeta, dout(B, T, C), x, mean, rstd, gamma)
        return {"x": dx, "gain": dgamma, "bias": dbeta}
    if name == "rmsnorm":
        _, rstd = module["rmsnorm_fwd"](x, gamma)
        found = module["rmsnorm_bwd"](dout(B, T, C), x, gamma, rstd)
        return dict(zip(("x", "gain"), found, strict=True))
    if name == "softmax":
        return {"x": module["softmax_bwd"](dout(B, T, C), module["softmax_fwd"](x))}
    if name in ("gelu", "silu"):
        return {"x": module[f"{name}_bwd"](dout(B, T, C), x)}
    if name == "embedding":
        table = np.full((V, C), 0.5)
        module["embedding_bwd"](table, dout(B, T, C), ids)
        return {"table": table}
    if name == "position":
        table = np.full((T + 2, C), 0.5)
        return {"x": module["position_bwd"](table, dout(B, T, C), x), "table": table}
    if name == "crossentropy":
        z, targets = draw(6, V), targets.reshape(-1)
        _, probs = module["crossentropy_fwd"](z, targets)
        return {"logits": module["crossentropy_bwd"](0.7, probs, targets)}
    if name == "attention":
        q, k, v = draw(B, T, C), draw(B, 5, C), draw(B, 5, C, seed=1)
        _, att = module["attention_fwd"](q, k, v)
        return dict(zip("qkv", module["attention_bwd"](dout(B, T, C), q, k, v, att), strict=True))
    _, cache = module["mha_fwd"](*layer.values(), 2)
    g = module["mha_bwd"](dout(B, 5, 6), cache)
    return {role if role == "x" else f"{role[0]}_{role[1]}": d for role, d in g.items()}


OUT_IN = ("linear", "layernorm", "rmsnorm", "softmax", "gelu", "silu", "embedding", "position", "crossentropy")
OUT_IN += ("attention", "mha")


def gradients(style, name, source):
    """Role to gradient, of one operation of a source in one of the styles."""
    module = {}
    exec(compile(source, style, "exec"), module)
    np.random.seed(0)

    def dout(*shape):
        return draw(*shape, seed=9)

    if style == "closures":
        inputs, roles = CLOSURES[name]
        inputs = [np.random.default_rng(1) if x is None else np.copy(x) if np.ndim(x) else x for x in inputs]
        y, back = module[name](*inputs)
        found = back(0.7 if np.ndim(y) == 0 else dout(*y.shape))
        return dict(zip(roles, found if isinstance(found, tuple) else (found,), strict=True))
    if style == "classes":
        made, attributes, inputs, names = CLASSES[name]
        layer = module[name](*made)
        for attribute, value in attributes.items():
            setattr(layer, attribute, value.copy())
        for attribute in names.values():
            getattr(layer, attribute)[...] = 0.5
        y = layer.forward(*(np.copy(x) for x in inputs))
        dx = layer.backward() if np.ndim(y) == 0 else layer.backward(dout(*y.shape))
        found = {role: getattr(layer, attribute) for role, attribute in names.items()}
        first = FIRST.get(name, "x")
        return found | ({first: dx} if first else {})
    return out_in(module, name, dout)


NAMES = {"closures": tuple(CLOSURES), "classes": tuple(CLASSES), "out_in": OUT_IN}
