"""The operations that the check knows by name, attention apart: linear, norms, activations, tables, losses, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigpt.lab.check.attention_operations import ATTENTION
from minigpt.lab.check.known import (
    FLAT,
    ONE_ROW,
    ROWS,
    TURNED,
    WORDS,
    Arrays,
    Case,
    Layout,
    Operation,
    Pullback,
    Variant,
    normal,
)
from minigpt.lab.check.tables_and_losses import FEATURES, SHAPES, TABLES_AND_LOSSES, WIDTH

_BOTH = (Layout("as written"), Layout("rows", {"x": ROWS, "y": ROWS}))


def _linear_cases() -> list[Case]:
    n, cases = normal(1), []
    for (b, t, i), o in zip(SHAPES, (5, 4, 3), strict=True):
        arrays = {"x": n(b, t, i), "weight": n(i, o), "bias": n(o)}
        sizes = {"inputs": i, "outputs": o}
        cases.append(Case(f"({b}, {t}, {i}) to {o}", arrays, sizes, tags=frozenset({"with a bias"})))
    sizes = {"inputs": 4, "outputs": 5}
    bare = {"x": n(2, 3, 4), "weight": n(4, 5)}
    return [*cases, Case("without bias", bare, sizes, tags=frozenset({"without a bias"}))]


def _linear(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    y, cache = table.linear_forward(a["x"], a["weight"], a.get("bias"))

    def pullback(dy: Any) -> Arrays:
        g = {name: np.zeros_like(a[name]) for name in ("weight", "bias") if name in a}
        return {"x": table.linear_backward(dy, cache, g["weight"], g.get("bias")), **g}

    return y, pullback


def _linear_layouts() -> tuple[Layout, ...]:
    found = []
    for weights, turn in (("", {}), ("weights (out, in)", {"weight": TURNED})):
        for rows, flat in (("", {}), ("rows", {"x": ROWS, "y": ROWS})):
            for bias, row in (("", {}), ("bias (1, out)", {"bias": ONE_ROW})):
                name = ", ".join(filter(None, (weights, rows, bias))) or "as written"
                found.append(Layout(name, turn | flat | row))
    return tuple(found)


def _norm_cases(bias: bool) -> list[Case]:
    n, cases = normal(2), []
    for b, t, c in SHAPES:
        arrays = {"x": 2 * n(b, t, c) + 0.2, "gain": 1 + n(c)} | ({"bias": n(c)} if bias else {})
        cases.append(Case(f"({b}, {t}, {c})", arrays, {"eps": 1e-3, "width": c}))
    if bias:
        cases.append(Case("without bias", {"x": n(2, 3, 4), "gain": 1 + n(4)}, {"eps": 1e-3, "width": 4}))
    return cases


def _layernorm(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    y, cache = table.layernorm_forward(a["x"], a["gain"], a.get("bias"), eps=f["eps"])

    def pullback(dy: Any) -> Arrays:
        g = {name: np.zeros_like(a[name]) for name in ("gain", "bias") if name in a}
        return {"x": table.layernorm_backward(dy, cache, g["gain"], g.get("bias")), **g}

    return y, pullback


def _rmsnorm(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    y, cache = table.rmsnorm_forward(a["x"], a["gain"], eps=f["eps"])

    def pullback(dy: Any) -> Arrays:
        dgain = np.zeros_like(a["gain"])
        return {"x": table.rmsnorm_backward(dy, cache, dgain), "gain": dgain}

    return y, pullback


_EPS = (Variant("", {}), *(Variant(f"ε = {e:g}", {"eps": e}) for e in (1e-5, 1e-6, 1e-8, 1e-12, 1e-7, 0.0)))
_NORM_LAYOUTS = (
    *_BOTH,
    Layout("gain (1, C)", {"gain": ONE_ROW, "bias": ONE_ROW}),
    Layout("rows, gain (1, C)", {"x": ROWS, "y": ROWS, "gain": ONE_ROW, "bias": ONE_ROW}),
)


def _elementwise_cases(double: bool = False) -> list[Case]:
    n, cases = normal(3), []
    for b, t, c in SHAPES:
        x = 4 * n(b, t, 2 * c if double else c)
        cases.append(Case(f"({b}, {t}, {x.shape[-1]})", {"x": x + 0.02 * np.sign(x)}))  # away from ReLU's corner
    return cases


def _pair_of(name: str) -> Any:
    def reference(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
        y, cache = getattr(table, f"{f.get('form', name)}_forward")(a["x"])
        return y, lambda dy: {"x": getattr(table, f"{f.get('form', name)}_backward")(dy, cache)}

    return reference


def _activation(name: str, aliases: tuple[str, ...], lesson: str, forms: tuple[str, ...] = ()) -> Operation:
    names = forms or (name,)
    return Operation(
        name,
        aliases,
        {"x": WORDS.x},
        {"axis": ("axis", "dim")} if name == "softmax" else {},
        _elementwise_cases,
        _pair_of(names[0]),
        tuple(f"{'softmax' if name == 'softmax' else 'activation'}.{form}_backward" for form in names),
        {"x": ("row", "position", "feature")},
        lesson,
        tuple(Variant(form, {"form": form}) for form in names),
        _BOTH if name != "softmax" else (*_BOTH, Layout("one row", {"x": FLAT, "y": FLAT}, fits=_one_row)),
    )


def _one_row(case: Case) -> bool:
    return case.inputs["x"].size == case.inputs["x"].shape[-1]


def _gated_cases() -> list[Case]:
    n = normal(4)
    return [Case(str(shape), {"gate": 4 * n(*shape), "up": 4 * n(*shape)}) for shape in SHAPES]


def _gated(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    y, cache = table.swiglu_forward(np.concatenate([a["gate"], a["up"]], axis=-1))
    width = a["gate"].shape[-1]

    def pullback(dy: Any) -> Arrays:
        dx = table.swiglu_backward(dy, cache)
        return {"gate": dx[..., :width], "up": dx[..., width:]}

    return y, pullback


_IN = ("inputs", "nin", "infeatures", "indim", "din", "fanin", "inputdim", "inputsize", "i", "cin", "nx", "insize")
_OUT = (
    "outputs",
    "nout",
    "outfeatures",
    "outdim",
    "dout",
    "fanout",
    "outputdim",
    "outputsize",
    "o",
    "cout",
    "nf",
    "outsize",
)
OPERATIONS = (
    Operation(
        "linear",
        ("linear", "affine", "dense", "fc", "fullyconnected", "matmul", "proj", "projection", "conv1d", "lin"),
        {"x": WORDS.x, "weight": WORDS.weight, "bias": WORDS.bias},
        {"inputs": _IN, "outputs": _OUT},
        _linear_cases,
        _linear,
        ("linear.linear_backward",),
        {**FEATURES, "weight": ("input", "output"), "bias": ("output",)},
        "notebook 6, “From ids to a loss, with shapes”",
        layouts=_linear_layouts(),
    ),
    Operation(
        "layernorm",
        ("layernorm", "layernormalization", "ln", "lnorm"),
        {"x": WORDS.x, "gain": WORDS.gain, "bias": WORDS.bias},
        {"eps": WORDS.eps, "width": WIDTH},
        lambda: _norm_cases(True),
        _layernorm,
        ("norm.layernorm_backward",),
        {**FEATURES, "gain": ("feature",), "bias": ("feature",)},
        "notebook 4, “The gradient”",
        _EPS,
        _NORM_LAYOUTS,
    ),
    Operation(
        "rmsnorm",
        ("rmsnorm", "rms", "rootmeansquarenorm"),
        {"x": WORDS.x, "gain": WORDS.gain},
        {"eps": WORDS.eps, "width": WIDTH},
        lambda: _norm_cases(False),
        _rmsnorm,
        ("norm.rmsnorm_backward",),
        {**FEATURES, "gain": ("feature",)},
        "notebook 16, “RMSNorm”",
        _EPS,
        _NORM_LAYOUTS,
    ),
    _activation("softmax", ("softmax",), "notebook 5, “The softmax's Jacobian”"),
    _activation("relu", ("relu",), "notebook 6, “GELU”"),
    _activation("gelu", ("gelu", "gelutanh", "geluerf", "newgelu"), "notebook 6, “GELU”", ("gelu_tanh", "gelu_erf")),
    _activation("silu", ("silu", "swish"), "notebook 16, “SwiGLU”"),
    _activation("tanh", ("tanh",), "notebook 6, “GELU”"),
    Operation(
        "swiglu",
        ("swiglu",),
        {"x": WORDS.x},
        {},
        lambda: _elementwise_cases(True),
        _pair_of("swiglu"),
        ("activation.swiglu_backward",),
        FEATURES,
        "notebook 16, “SwiGLU”",
        layouts=_BOTH,
    ),
    Operation(
        "gated silu",
        ("swiglu", "gatedsilu", "siluglu"),
        {"gate": ("gate", "a", "g", "x", "x1", "h1"), "up": ("up", "b", "u", "y", "x2", "h2", "h3")},
        {},
        _gated_cases,
        _gated,
        ("activation.swiglu_backward",),
        {"gate": FEATURES["x"], "up": FEATURES["x"]},
        "notebook 16, “SwiGLU”",
    ),
    *TABLES_AND_LOSSES,
    *ATTENTION,
)
BY_NAME = {operation.name: operation for operation in OPERATIONS}
