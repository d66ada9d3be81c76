"""Operations that look up, lose or compare: embeddings, positions, losses, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigpt.lab.check.known import FLAT, ROWS, WORDS, Arrays, Case, Layout, Operation, Pullback, Variant, normal

SHAPES = [(2, 3, 7), (3, 2, 5), (1, 4, 6)]
_REDUCTIONS = tuple(Variant(r, {"reduction": r}) for r in ("mean", "sum", "batch", "each"))
_SQUARED = tuple(Variant(r, {"reduction": r}) for r in ("mean", "half", "sum", "half sum", "batch", "half batch"))
WIDTH = (
    "width",
    "dim",
    "dmodel",
    "nembd",
    "c",
    "features",
    "size",
    "ndim",
    "normalizedshape",
    "hidden",
    "d",
    "hiddensize",
)
_VOCABULARY = ("vocabulary", "vocabsize", "vocab", "v", "numembeddings", "nvocab", "n")
_TARGETS = ("targets", "target", "y", "labels", "label", "t", "ytrue", "truth", "onehot", "yhot")
FEATURES = {"x": ("row", "position", "feature")}
_LOGITS = ("logits", "z", "x", "scores", "predictions", "pred", "inputs", "inp", "a")
_TABLE = (
    "table",
    "wte",
    "weight",
    "weights",
    "w",
    "e",
    "emb",
    "embedding",
    "embeddings",
    "matrix",
    "wpe",
    "p",
    "pe",
    "pos",
)
_IDS = ("ids", "idx", "tokens", "x", "inp", "input", "inputs", "tokenids", "inputids", "indices", "ix", "token")


def _embedding_cases() -> list[Case]:
    n = normal(5)
    ids = [
        np.array([[3, 0, 3, 3, 6], [0, 1, 3, 6, 6]]),
        np.array([[1, 1, 4], [8, 4, 1], [0, 4, 8]]),
        np.array([[2, 2, 0, 2, 5, 5]]),
    ]
    shapes = [(7, 3), (9, 4), (6, 5)]
    return [
        Case(f"{v} tokens", {"table": n(v, c)}, {"ids": i, "vocabulary": v, "width": c})
        for i, (v, c) in zip(ids, shapes, strict=True)
    ]


def _embedding(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    y, cache = table.embedding_forward(f["ids"], a["table"])

    def pullback(dy: Any) -> Arrays:
        dtable = np.zeros_like(a["table"])
        table.embedding_backward(dy, cache, dtable)
        return {"table": dtable}

    return y, pullback


def _position_cases() -> list[Case]:
    n = normal(6)
    return [
        Case(f"({b}, {t}, {c})", {"x": n(b, t, c), "table": n(t + extra, c)}, {"context": t + extra, "width": c})
        for (b, t, c), extra in zip(SHAPES, (2, 3, 0), strict=True)
    ]


def _position(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    y, cache = table.position_forward(a["x"], a["table"])

    def pullback(dy: Any) -> Arrays:
        dtable = np.zeros_like(a["table"])
        return {"x": table.position_backward(dy, cache, dtable), "table": dtable}

    return y, pullback


def _loss_cases() -> list[Case]:
    n, rng, cases = normal(7), np.random.default_rng(7), []
    for b, t, v in SHAPES:
        cases.append(Case(f"({b}, {t}, {v})", {"logits": 4 * n(b, t, v)}, {"targets": rng.integers(0, v, (b, t))}))
    first = cases[0]
    ignored = first.fixed["targets"].copy()
    ignored[0, 1] = ignored[1, 2] = -100
    fixed = {"targets": ignored, "ignore": -100}
    return [
        *cases,
        Case("some ignored", first.inputs, fixed, frozenset({"ignore"}), frozenset({"with ignored targets"})),
    ]


def _cross_entropy(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    reduction, shape = f.get("reduction", "mean"), a["logits"].shape
    denominator = {"mean": None, "sum": 1.0, "batch": float(shape[0]), "each": 1.0}[reduction]
    loss, cache = table.cross_entropy_forward(a["logits"], f["targets"], denominator=denominator)
    if reduction != "each":
        return loss, lambda dy: {"logits": table.cross_entropy_backward(float(dy), cache)}
    z, at = a["logits"], np.where(f["targets"] < 0, 0, f["targets"])[..., None]
    top = z.max(axis=-1, keepdims=True)
    costs = np.log(np.exp(z - top).sum(axis=-1)) + top[..., 0] - np.take_along_axis(z, at, -1)[..., 0]

    def pullback(dy: Any) -> Arrays:
        return {"logits": table.cross_entropy_backward(1.0, cache) * np.asarray(dy)[..., None]}

    return np.where(f["targets"] < 0, 0.0, costs), pullback


def _one_hot(case: Case) -> np.ndarray:
    return np.eye(case.inputs["logits"].shape[-1])[np.where(case.fixed["targets"] < 0, 0, case.fixed["targets"])]


_LOSS_LAYOUTS = (
    Layout("as written"),
    Layout("rows", {"logits": ROWS, "y": FLAT}, {"targets": lambda case: case.fixed["targets"].reshape(-1)}),
    Layout("one-hot targets", settings={"targets": _one_hot}),
    Layout(
        "rows, one-hot targets",
        {"logits": ROWS, "y": FLAT},
        {"targets": lambda case: _one_hot(case).reshape(-1, case.inputs["logits"].shape[-1])},
    ),
)


def _squared_cases() -> list[Case]:
    n, cases = normal(8), []
    for shape in [(5,), (3, 4), (2, 3, 2)]:
        cases.append(Case(str(shape), {"predictions": n(*shape)}, {"targets": n(*shape)}))
    return cases


def _squared_error(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    n = a["predictions"]
    over = {
        "mean": n.size,
        "half": 2.0 * n.size,
        "sum": 1.0,
        "half sum": 2.0,
        "batch": len(n),
        "half batch": 2.0 * len(n),
    }
    loss, cache = table.squared_error_forward(n, f["targets"], denominator=float(over[f.get("reduction", "mean")]))
    return loss, lambda dy: {"predictions": table.squared_error_backward(float(dy), cache)}


def _dropout_cases() -> list[Case]:
    n, rng, cases = normal(9), np.random.default_rng(9), []
    for shape, rate in zip([(3, 4, 5), (2, 9), (1, 5, 6)], (0.4, 0.3, 0.5), strict=True):
        x = n(*shape)
        kept = rng.random(shape) >= rate
        fixed = {"rate": rate, "keep": 1 - rate, "mask": kept, "training": True, "generator": None, "shape": shape}
        cases.append(Case(str(shape), {"x": x + 0.05 * np.sign(x)}, fixed))
    return cases


def _dropout(table: Any, a: Arrays, f: dict[str, Any]) -> tuple[Any, Pullback]:
    """The mask is read off the learner's own y: 0 where an entry fell, and elsewhere one factor."""
    y = np.asarray(f["y"], dtype=np.float64) if "y" in f else a["x"] * f["mask"] / (1 - f["rate"])
    factor = 1.0 if f.get("form") == "not inverted" else 1.0 / (1.0 - f["rate"])
    if f.get("form") == "a rate of its own":
        factor = float(np.abs(y / a["x"]).max()) if np.shape(y) == a["x"].shape else factor
    multiplier = np.where(np.abs(y) > 0, factor, 0.0) if np.shape(y) == a["x"].shape else np.ones_like(a["x"])
    cache = table.DropoutCache(multiplier)
    return a["x"] * multiplier, lambda dy: {"x": table.dropout_backward(dy, cache)}


TABLES_AND_LOSSES = (
    Operation(
        "embedding",
        ("embedding", "embed", "emb", "tokenembedding", "wte", "lookup"),
        {"table": _TABLE},
        {"ids": _IDS, "vocabulary": _VOCABULARY, "width": WIDTH},
        _embedding_cases,
        _embedding,
        ("embedding.embedding_backward",),
        {"table": ("token", "feature")},
        "notebook 2, “Its gradient: a scatter”",
    ),
    Operation(
        "position",
        ("position", "positional", "positionembedding", "posemb", "wpe", "addposition", "positions"),
        {"x": WORDS.x, "table": _TABLE},
        {"context": ("context", "blocksize", "maxlen", "maxlength", "ctx", "nctx", "seqlen"), "width": WIDTH},
        _position_cases,
        _position,
        ("embedding.position_backward",),
        {**FEATURES, "table": ("position", "feature")},
        "notebook 2, “Learned positions”",
    ),
    Operation(
        "cross-entropy",
        (
            "crossentropy",
            "crossentropyloss",
            "softmaxcrossentropy",
            "softmaxloss",
            "xent",
            "nll",
            "celoss",
            "ce",
            "loss",
        ),
        {"logits": _LOGITS},
        {"targets": _TARGETS, "ignore": ("ignore", "ignoreindex", "pad", "padid")},
        _loss_cases,
        _cross_entropy,
        ("losses.cross_entropy_backward",),
        {"logits": ("row", "position", "class")},
        "notebook 3, “Softmax cross-entropy”",
        _REDUCTIONS,
        _LOSS_LAYOUTS,
    ),
    Operation(
        "squared-error",
        ("squarederror", "mse", "mseloss", "meansquarederror", "l2loss"),
        {"predictions": ("predictions", "pred", "preds", "p", "yhat", "x", "ypred", "output")},
        {"targets": _TARGETS},
        _squared_cases,
        _squared_error,
        ("losses.squared_error_backward",),
        {"predictions": ("place",)},
        "notebook 11, “The loss, and all its gradients”",
        _SQUARED,
    ),
    Operation(
        "dropout",
        ("dropout", "drop"),
        {"x": WORDS.x},
        {
            "rate": ("rate", "p", "prob", "droprate", "dropprob", "pdrop", "dropout", "ratio"),
            "keep": ("keep", "keepprob", "pkeep"),
            "mask": ("mask", "m", "kept"),
            "training": ("training", "train", "istraining", "trainmode"),
            "generator": ("generator", "rng", "rs", "random", "randomstate"),
            "shape": ("shape",),
        },
        _dropout_cases,
        _dropout,
        ("dropout.dropout_backward",),
        FEATURES,
        "notebook 6, “From ids to a loss, with shapes”, and minigpt/ops/dropout.py",
        (
            Variant("inverted", {}),
            Variant("not inverted", {"form": "not inverted"}),
            Variant("a rate of its own", {"form": "a rate of its own"}),
        ),
    ),
)
