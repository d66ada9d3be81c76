"""Attention and rotary positions as the check knows them: q, k, v alone, and a whole layer with its projections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigpt import ops
from minigpt.lab.check.known import (
    HEADS_FIRST,
    NO_BATCH,
    NO_HEADS,
    ONE_HEAD,
    SAME,
    TURNED,
    WORDS,
    Arrays,
    Case,
    Layout,
    Operation,
    Pullback,
    Variant,
    Way,
    normal,
)

_MASK_WORDS = ("mask", "attnmask", "attentionmask", "causalmask", "m", "allowed", "maskbool", "tril")
_CAUSAL_WORDS = ("causal", "iscausal", "usecausal")
_HEAD_WORDS = ("heads", "nhead", "nheads", "numheads", "h", "nh", "numattentionheads", "headcount")
_LAYER_ROLES = ("w_q", "w_k", "w_v", "w_o")


def _case(seed: int, b: int, t: int, s: int, h: int, d: int, kind: str) -> Case:
    n = normal(seed)
    inputs = {"q": 3 * n(b, t, h, d), "k": 3 * n(b, s, h, d), "v": n(b, s, h, d)}
    mask, tags = _mask(kind, b, s), {f"with a mask ({kind})"} if kind else {"without a mask"}
    if t != s:
        tags.add("at T ≠ S")
    needs = {"": frozenset(), "causal": frozenset({"masked"}), "padded": frozenset({"mask"})}[kind]
    fixed = {"mask": mask, "queries": t, "keys": s, "batch": b, "width": d}
    return Case(f"T {t}, S {s}, {h} heads, {kind or 'no mask'}", inputs, fixed, needs, frozenset(tags))


def _mask(kind: str, batch: int, keys: int) -> ops.Mask:
    if kind == "padded":
        return ops.Mask(key_padding=np.arange(keys) < np.linspace(keys - 1, keys // 2, batch).astype(int)[:, None])
    return ops.Mask(causal=kind == "causal")


def _attention_cases() -> list[Case]:
    shapes = [
        (2, 5, 5, 2, 3, ""),
        (2, 5, 5, 2, 3, "causal"),
        (2, 3, 6, 2, 4, ""),
        (2, 4, 4, 3, 2, "padded"),
        (1, 6, 6, 2, 5, ""),
    ]
    shapes += [(2, 5, 5, 1, 3, ""), (2, 5, 5, 1, 3, "causal"), (2, 3, 6, 1, 4, ""), (3, 4, 4, 1, 2, "")]
    shapes += [(1, 5, 5, 1, 3, ""), (1, 5, 5, 1, 3, "causal"), (1, 3, 6, 1, 4, ""), (1, 4, 4, 1, 2, "")]
    return [_case(20 + i, *shape) for i, shape in enumerate(shapes)]


def _read_mask(f: dict[str, Any]) -> ops.Mask:
    mask = f["mask"]
    return mask._replace(causal=True) if f.get("always_causal") else mask


def _attention(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    y, cache = table.attention_forward(a["q"], a["k"], a["v"], mask=_read_mask(f), scale=f.get("scale"))
    return y, lambda dy: dict(zip("qkv", table.attention_backward(dy, cache), strict=True))


def _allowed(case: Case) -> np.ndarray | None:
    """Where a query may look, (B or 1, T, S), or None."""
    allowed = case.fixed["mask"].allowed(np, case.fixed["queries"], case.fixed["keys"])
    if allowed is None:
        return None
    t, s = case.fixed["queries"], case.fixed["keys"]
    return np.broadcast_to(allowed, (allowed.shape[0] if allowed.ndim == 5 else 1, 1, 1, t, s))[:, 0, 0]


def _mask_value(form: str, axes: int) -> Callable[[Case], Any]:
    """The mask as a learner takes it: True where a query may look, True where not, or 0 and −∞ to be added."""

    def make(case: Case) -> Any:
        allowed = _allowed(case)
        if allowed is None:
            allowed = np.ones((1, case.fixed["queries"], case.fixed["keys"]), bool)
        allowed = allowed[0] if len(allowed) == 1 else allowed[:, None] if axes == 4 else allowed
        if form == "added":
            return np.where(allowed, 0.0, -np.inf)
        return ~allowed if form == "hidden" else allowed

    return make


def _is_causal(case: Case) -> bool:
    return bool(case.fixed["mask"].causal)


def _heads(case: Case) -> int:
    return int(case.inputs["q"].shape[2]) if "q" in case.inputs else int(case.fixed["heads"])


_FORMS = {"allowed": "True where a query may look", "hidden": "True where it may not", "added": "0 and −∞, added"}
_SHAPES = {
    "(B, H, T, D)": (HEADS_FIRST, 4, lambda case: True),
    "(B, T, H, D)": (SAME, 4, lambda case: True),
    "(B, T, D)": (NO_HEADS, 3, lambda case: _heads(case) == 1),
    "(T, D)": (ONE_HEAD, 3, lambda case: _heads(case) == 1 and case.inputs["q"].shape[0] == 1),
}


def _attention_layouts() -> tuple[Layout, ...]:
    found = []
    for shape, (way, axes, fits) in _SHAPES.items():
        for form, words in _FORMS.items():
            settings = {"mask": _mask_value(form, axes), "causal": _is_causal, "heads": _heads}
            ways = {role: way for role in ("q", "k", "v", "y")}
            found.append(Layout(f"{shape}, mask {words}", ways, settings, fits))
    return tuple(found)


def _layer_case(seed: int, b: int, t: int, h: int, d: int, kind: str, *, bias: bool) -> Case:
    n, c = normal(seed), h * d
    inputs = {"x": 3 * n(b, t, c), "w_q": 2 * n(c, c), "w_k": 2 * n(c, c), "w_v": n(c, c), "w_o": n(c, c)}
    if bias:
        inputs |= {name: n(c) for name in ("b_q", "b_k", "b_v", "b_o")}
    needs = ({"masked"} if kind else set()) | ({"heads"} if h > 1 else set())
    tags = {f"with a mask ({kind})" if kind else "without a mask", "with a bias" if bias else "without a bias"}
    tags |= {"with several heads"} if h > 1 else set()
    fixed = {"mask": _mask(kind, b, t), "queries": t, "keys": t, "batch": b, "heads": h, "width": c, "head_width": d}
    name = f"T {t}, {h} heads of {d}, {kind or 'no mask'}{', biases' if bias else ''}"
    return Case(name, inputs, fixed, frozenset(needs), frozenset(tags))


def _layer_cases() -> list[Case]:
    shapes = [(2, 5, 2, 3, ""), (2, 5, 2, 3, "causal"), (1, 4, 3, 2, ""), (1, 5, 2, 3, "causal")]
    shapes += [(2, 5, 1, 4, ""), (2, 5, 1, 4, "causal"), (1, 5, 1, 3, "")]
    cases = []
    for i, shape in enumerate(shapes):
        cases += [_layer_case(40 + i, *shape, bias=bias) for bias in (True, False)]
    return cases


def _layer(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    y, cache = table.layer_forward(a, f["heads"], _read_mask(f), f.get("scale"))

    def pullback(dy: Any) -> Arrays:
        return {role: g for role, g in table.layer_backward(dy, cache).items() if role in a}

    return y, pullback


def _layer_layouts() -> tuple[Layout, ...]:
    found = []
    settings = {"causal": _is_causal, "heads": _heads}
    for turned, turn in (("", {}), ("weights (out, in)", {role: TURNED for role in _LAYER_ROLES})):
        for batch, ways, axes in (("", {}, 4), ("no batch", {"x": NO_BATCH, "y": NO_BATCH}, 3)):
            for form, words in _FORMS.items():
                masks = settings | {"mask": _mask_value(form, axes)}
                name = ", ".join(filter(None, (turned, batch, f"mask {words}")))
                fits = (lambda case: case.inputs["x"].shape[0] == 1) if batch else (lambda case: True)
                found.append(Layout(name, turn | ways, masks, fits))
                fused = {"w_qkv": ("w_q", "w_k", "w_v"), "b_qkv": ("b_q", "b_k", "b_v")}
                found.append(Layout(f"{name}, q, k, v side by side", turn | ways, masks, fits, fused))
    return tuple(found)


def _rope_cases() -> list[Case]:
    n, cases = normal(60), []
    for b, t, h, d in [(2, 5, 3, 6), (1, 4, 2, 4), (3, 3, 1, 8), (1, 6, 1, 4), (2, 5, 1, 6)]:
        angles = np.arange(t)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
        fixed = {"cos": np.cos(angles), "sin": np.sin(angles), "base": 10000.0, "positions": np.arange(t), "width": d}
        cases.append(Case(f"({b}, {t}, {h}, {d})", {"x": n(b, t, h, d)}, fixed))
    return cases


def _rope(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    y, cache = table.rope_forward(a["x"], ops.Rope(base=10000.0, layout=f.get("layout", "half")))
    return y, lambda dy: {"x": table.rope_backward(dy, cache)}


def _rope_layouts() -> tuple[Layout, ...]:
    found = []
    tables = {"(T, D/2)": None, "(T, 1, D/2)": (slice(None), None)}
    twice = {"": False, ", twice": True}
    for shape, (way, _, _) in _SHAPES.items():
        for name, index in tables.items():
            for words, double in twice.items():

                def make(which: str, index: Any = index, double: bool = double) -> Callable[[Case], Any]:
                    def value(case: Case) -> np.ndarray:
                        x = np.concatenate([case.fixed[which]] * 2, axis=-1) if double else case.fixed[which]
                        return x if index is None else x[index]

                    return value

                found.append(Layout(f"{shape}, angles {name}{words}", {"x": way, "y": way}, _both(make), _fits(way)))
    return tuple(found)


def _both(make: Callable[[str], Callable[[Case], Any]]) -> dict[str, Callable[[Case], Any]]:
    return {"cos": make("cos"), "sin": make("sin")}


def _fits(way: Way) -> Callable[[Case], bool]:
    def fits(case: Case) -> bool:
        b, _, h, _ = case.inputs["x"].shape
        return way in (SAME, HEADS_FIRST) or (h == 1 and (way is NO_HEADS or b == 1))

    return fits


def _readings(always: bool) -> tuple[Variant, ...]:
    scales = {"": None, "scores not divided": 1.0}
    causal = {"": {}, "always causal": {"always_causal": True}} if always else {"": {}}
    return tuple(
        Variant(", ".join(filter(None, (s, c))), {"scale": value} | extra)
        for c, extra in causal.items()
        for s, value in scales.items()
    )


_LAYER_WORDS = {
    "w_q": ("wq", "wquery", "qweight", "queryweight", "qproj", "wqweight", "wqry", "query", "q"),
    "w_k": ("wk", "wkey", "kweight", "keyweight", "kproj", "key", "k"),
    "w_v": ("wv", "wvalue", "vweight", "valueweight", "vproj", "value", "v"),
    "w_o": (
        "wo",
        "wout",
        "oweight",
        "outweight",
        "outproj",
        "cproj",
        "wproj",
        "wp",
        "proj",
        "oproj",
        "projweight",
        "out",
    ),
    "b_q": ("bq", "bquery", "qbias"),
    "b_k": ("bk", "bkey", "kbias"),
    "b_v": ("bv", "bvalue", "vbias"),
    "b_o": ("bo", "bout", "obias", "outbias", "bproj", "bp", "projbias", "cprojb", "cprojbias"),
    "w_qkv": ("wqkv", "qkvweight", "cattn", "cattnweight", "wattn", "qkv", "wc", "wcattn", "cattnw"),
    "b_qkv": ("bqkv", "qkvbias", "battn", "bcattn", "cattnb", "cattnbias"),
}
_AXES = ("row", "position", "head", "feature")
ATTENTION = (
    Operation(
        "self-attention",
        ("selfattention", "multiheadattention", "mha", "causalselfattention", "attentionlayer", "attention", "attn"),
        {"x": WORDS.x, **_LAYER_WORDS},
        {
            "heads": _HEAD_WORDS,
            "mask": _MASK_WORDS,
            "causal": _CAUSAL_WORDS,
            "width": ("width", "dim", "dmodel", "nembd", "c", "embeddim", "d", "hidden", "size"),
            "head_width": ("headwidth", "headdim", "dhead", "headsize", "dk"),
        },
        _layer_cases,
        _layer,
        ("whole_layer.layer_backward",),
        {
            "x": ("row", "position", "feature"),
            **{f"w_{n}": ("input", "output") for n in "qkvo"},
            **{f"b_{n}": ("output",) for n in "qkvo"},
        },
        "notebook 5, “The whole layer”",
        _readings(True),
        _layer_layouts(),
    ),
    Operation(
        "attention",
        (
            "attention",
            "attn",
            "scaleddotproductattention",
            "sdpa",
            "dotproductattention",
            "selfattention",
            "multiheadattention",
        ),
        {"q": ("q", "query", "queries"), "k": ("k", "key", "keys"), "v": ("v", "value", "values")},
        {
            "mask": _MASK_WORDS,
            "causal": _CAUSAL_WORDS,
            "scale": ("scale", "s"),
            "heads": _HEAD_WORDS,
            "width": ("dk", "d", "headdim"),
        },
        _attention_cases,
        _attention,
        ("attention.attention_backward", "softmax.softmax_backward"),
        {"q": _AXES, "k": _AXES, "v": _AXES},
        "notebook 5, “All gradients, line by line”",
        _readings(True),
        _attention_layouts(),
    ),
    Operation(
        "rope",
        ("rope", "rotary", "rotaryembedding", "applyrope", "applyrotaryemb", "rotate"),
        {"x": (*WORDS.x, "q")},
        {
            "cos": ("cos", "cosine", "freqscos"),
            "sin": ("sin", "sine", "freqssin"),
            "base": ("base", "theta"),
            "positions": ("positions", "pos", "position"),
            "width": ("dim", "d", "headdim", "width"),
        },
        _rope_cases,
        _rope,
        ("rope.rope_backward", "rope._turn"),
        {"x": _AXES},
        "notebook 2, “Rotary positions”",
        (Variant("half", {"layout": "half"}), Variant("interleaved", {"layout": "interleaved"})),
        _rope_layouts(),
    ),
)
