"""What there is to check: small cases of every operation and every model, in float64, with weights of order one.

The sizes are chosen so that mistakes show: odd lengths, T different from the head width, repeated tokens, gains that
are not 1, every mask. Tests, notebooks and `minigpt gradcheck` all run these cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigpt import ops
from minigpt.blocks.run import Run
from minigpt.data.batch import Batch
from minigpt.lab.gradcheck.bert import BERT_CASES
from minigpt.lab.gradcheck.heads import HEAD_CASES
from minigpt.lab.gradcheck.seq2seq import SEQ2SEQ_CASES
from minigpt.lab.testing import GradientCheck, ModelCase, check_gradients, random_parameters
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class OperationCase:
    """One operation on one set of inputs.

    Attributes:
        inputs: the arrays that are differentiated, by name.
        forward: inputs to (y, cache), with `out=`.
        backward: (dy, cache, grads, out=) adds into the gradient of every input.
        batched: which inputs have the batch as their first axis.
    """

    name: str
    inputs: Arrays
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[..., None]
    batched: tuple[str, ...] = ("x",)

    @property
    def operation(self) -> str:
        """The name in `operation_names` that the case's own name begins with."""
        own = self.name.replace("_", "-")
        return max((name for name in operation_names() if own.startswith(name)), key=len)

    def checks(self, elements: int | None = None) -> Iterator[GradientCheck]:
        """Differentiate Σ r y for a fixed random r, and compare all elements, or a few as `check_gradient` does."""
        y, cache = self.forward(self.inputs)
        r = np.random.default_rng(1).standard_normal(np.shape(y))
        grads = {name: np.zeros_like(x) for name, x in self.inputs.items()}
        self.backward(r, cache, grads)

        def value() -> float:
            return float((self.forward(self.inputs)[0] * r).sum())

        return check_gradients(value, self.inputs, grads, elements=elements)


def operation_names() -> list[str]:
    """The pairs of `minigpt.ops`, as cases are called: "attention" for attention_forward and attention_backward."""
    return sorted(name.removesuffix("_forward").replace("_", "-") for name in ops.TABLE if name.endswith("_forward"))


def _linear_cases(normal: Callable, impl: Any) -> Iterator[OperationCase]:
    def forward(a: Arrays, out: Any = None) -> Any:
        return impl.linear_forward(a["x"], a["weight"], a.get("bias"), out=out)

    def backward(dy: Any, cache: Any, g: Arrays, out: Any = None) -> None:
        g["x"] += impl.linear_backward(dy, cache, g["weight"], g.get("bias"), out=out)

    for name, lead, inputs, outputs in [
        ("linear", (2, 3), 7, 5),
        ("linear-1", (1, 1), 1, 1),
        ("linear-97", (2,), 97, 3),
    ]:
        arrays = {"x": normal(*lead, inputs), "weight": normal(inputs, outputs)}
        yield OperationCase(name, arrays | {"bias": normal(outputs)}, forward, backward)
    yield OperationCase("linear-no-bias", {"x": normal(2, 3, 7), "weight": normal(7, 5)}, forward, backward)


_POSITIONS = {  # of five columns: from 0, from 4, and two rows whose padding on the left counts for nothing
    "": 0,
    "-shifted": 4,
    "-left-padded": np.array([[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]),
}


def _embedding_cases(normal: Callable, impl: Any) -> Iterator[OperationCase]:
    ids = np.array([[3, 0, 3, 3, 6], [0, 1, 3, 6, 6]])  # repeated within a row and across rows

    def token_case(name: str, rows: int, ids: np.ndarray, scale: float = 1.0) -> OperationCase:
        return OperationCase(
            name,
            {"table": normal(rows, 3)},
            lambda a, out=None: impl.embedding_forward(ids, a["table"], scale=scale, out=out),
            lambda dy, cache, g, out=None: impl.embedding_backward(dy, cache, g["table"]),
            batched=(),
        )

    yield token_case("embedding", 7, ids)
    yield token_case("embedding-sorted", 521, ids * 80)  # a table too large for the one-hot product
    yield token_case("embedding-scaled", 7, ids, scale=math.sqrt(3))

    def backward(dy: Any, cache: Any, g: Arrays, out: Any = None) -> None:
        g["x"] += impl.position_backward(dy, cache, g["table"], out=out)

    for name, positions in _POSITIONS.items():
        yield OperationCase(
            f"positions{name}",
            {"x": normal(2, 5, 3), "table": normal(9, 3)},
            lambda a, out=None, at=positions: impl.position_forward(a["x"], a["table"], positions=at, out=out),
            backward,
        )


def _rope_cases(normal: Callable, impl: Any) -> Iterator[OperationCase]:
    def backward(dy: Any, cache: Any, g: Arrays, out: Any = None) -> None:
        g["x"] += impl.rope_backward(dy, cache, out=out)

    ropes = {layout: ops.Rope(base=10.0, layout=layout) for layout in ("half", "interleaved")}
    ropes["scaled"] = ops.Rope(base=10.0, scaling=ops.RopeScaling(factor=8.0, low=1.0, high=4.0, context=16))
    for rope_name, rope in ropes.items():
        for name, positions in _POSITIONS.items():
            yield OperationCase(
                f"rope-{rope_name}{name}",
                {"x": normal(2, 5, 3, 6)},
                lambda a, out=None, rope=rope, at=positions: impl.rope_forward(a["x"], rope, positions=at, out=out),
                backward,
            )


def _norm_cases(normal: Callable, impl: Any) -> Iterator[OperationCase]:
    def forward(a: Arrays, out: Any = None) -> Any:
        return impl.layernorm_forward(a["x"], a["gain"], a.get("bias"), eps=1e-5, out=out)

    def backward(dy: Any, cache: Any, g: Arrays, out: Any = None) -> None:
        g["x"] += impl.layernorm_backward(dy, cache, g["gain"], g.get("bias"), out=out)

    for name, shape in [("layernorm", (2, 3, 7)), ("layernorm-97", (2, 97)), ("layernorm-1", (2, 1))]:
        arrays = {"x": normal(*shape), "gain": 1 + normal(shape[-1])}
        yield OperationCase(name, arrays | {"bias": normal(shape[-1])}, forward, backward)
    yield OperationCase("layernorm-no-bias", {"x": normal(2, 7), "gain": 1 + normal(7)}, forward, backward)

    def rms_backward(dy: Any, cache: Any, g: Arrays, out: Any = None) -> None:
        g["x"] += impl.rmsnorm_backward(dy, cache, g["gain"], out=out)

    for name, shape in [("rmsnorm", (2, 3, 7)), ("rmsnorm-97", (2, 97)), ("rmsnorm-1", (2, 1))]:
        yield OperationCase(
            name,
            {"x": normal(*shape), "gain": 1 + normal(shape[-1])},
            lambda a, out=None: impl.rmsnorm_forward(a["x"], a["gain"], eps=1e-2, out=out),
            rms_backward,
        )


def _elementwise_cases(normal: Callable, impl: Any) -> Iterator[OperationCase]:
    def case(name: str, x: np.ndarray, forward: Callable, backward: Callable) -> OperationCase:
        def run_backward(dy: Any, cache: Any, g: Arrays, out: Any = None) -> None:
            g["x"] += backward(dy, cache, out=out)

        return OperationCase(name, {"x": x}, lambda a, out=None: forward(a["x"], out=out), run_backward)

    for name, (forward, backward) in impl.ACTIVATIONS.items():
        x = 5 * normal(3, 14 if name == "swiglu" else 7)  # up to where the activations saturate
        yield case(name, x + 0.01 * np.sign(x), forward, backward)  # away from ReLU's corner
    yield case("softmax", normal(2, 3, 7), impl.softmax_forward, impl.softmax_backward)
    yield case("softmax-1", normal(2, 1), impl.softmax_forward, impl.softmax_backward)
    yield case("softmax-97", 5 * normal(2, 97), impl.softmax_forward, impl.softmax_backward)
    key = ops.DropoutKey(seed=1, step=2, site=3, row=4)
    yield case(
        "dropout",
        normal(3, 7, 5),
        lambda x, out=None: impl.dropout_forward(x, 0.4, key, out=out),
        impl.dropout_backward,
    )


def attention_masks(batch: int, queries: int, keys: int) -> dict[str, ops.Mask]:
    """Every mask that attention knows, those where a query sees nothing included."""
    padding = np.arange(keys) < np.linspace(keys, keys // 2, batch).astype(int)[:, None]  # right padding
    left = padding[:, ::-1]
    masks = {
        "none": ops.Mask(),
        "padded": ops.Mask(key_padding=padding),
        "all-padded": ops.Mask(key_padding=padding & (np.arange(batch)[:, None] > 0)),
    }
    if queries <= keys:
        masks |= {
            "causal": ops.Mask(causal=True),
            "causal-left-padded": ops.Mask(causal=True, key_padding=left),
            "banded": ops.Mask(causal=True, window=2),
            "banded-two-sided": ops.Mask(window=2),
            "banded-padded": ops.Mask(causal=True, window=3, key_padding=padding),
        }
    return masks


def _attention_cases(normal: Callable, impl: Any) -> Iterator[OperationCase]:
    def backward(dy: Any, cache: Any, g: Arrays, out: Any = None) -> None:
        for name, gradient in zip("qkv", impl.attention_backward(dy, cache, out=out), strict=True):
            g[name] += gradient

    shapes = {  # (B, T, S, H, G, D)
        "self": (2, 5, 5, 2, 2, 3),
        "cross": (2, 3, 7, 2, 2, 4),
        "cross-long": (2, 7, 3, 2, 2, 4),
        "grouped": (2, 5, 5, 4, 2, 3),
        "one-kv-head": (1, 4, 4, 3, 1, 5),
        "single": (1, 1, 1, 1, 1, 1),
    }
    key = ops.DropoutKey(seed=5, step=6, site=7, row=8)
    for shape_name, (b, t, s, h, groups, d) in shapes.items():
        for mask_name, mask in attention_masks(b, t, s).items():
            for dropout in (0.0, 0.3) if mask_name in ("none", "banded-padded") else (0.0,):
                settings = {"mask": mask, "dropout": dropout, "scale": 1.0 if mask_name == "banded" else None}

                def forward(a: Arrays, out: Any = None, settings: Any = settings) -> Any:
                    return impl.attention_forward(a["q"], a["k"], a["v"], **settings, key=key, out=out)

                yield OperationCase(
                    f"attention-{shape_name}-{mask_name}" + ("-dropout" if dropout else ""),
                    {
                        "q": 3 * normal(b, t, h, d),
                        "k": 3 * normal(b, s, groups, d),
                        "v": normal(b, s, groups, d),
                    },
                    forward,
                    backward,
                    batched=("q", "k", "v"),
                )


def _loss_cases(normal: Callable, impl: Any) -> Iterator[OperationCase]:
    targets = np.array([[3, 0, 3, ops.IGNORE, 6], [0, ops.IGNORE, 3, 6, 5]])
    weights = np.linspace(0.2, 1.4, 10).reshape(2, 5)
    for name, y, settings in [
        ("cross-entropy", targets, {}),
        ("cross-entropy-smoothed", targets, {"label_smoothing": 0.1}),
        ("cross-entropy-global", targets, {"label_smoothing": 0.1, "denominator": 23}),
        ("cross-entropy-weighted", targets, {"weights": weights, "denominator": 2, "label_smoothing": 0.1}),
        ("cross-entropy-all-ignored", np.full((2, 5), ops.IGNORE), {"label_smoothing": 0.1}),
    ]:

        def forward(a: Arrays, out: Any = None, y: Any = y, settings: Any = settings) -> Any:
            return impl.cross_entropy_forward(a["logits"], y, **settings)

        def backward(dy: Any, cache: Any, g: Arrays, out: Any = None) -> None:
            g["logits"] += impl.cross_entropy_backward(float(dy), cache, out=out)

        yield OperationCase(name, {"logits": 3 * normal(2, 5, 7)}, forward, backward, batched=())

    scores = np.array([0.3, ops.IGNORE, -1.2, 0.0, 1.0])
    for name, denominator in (("squared-error", None), ("squared-error-global", 11)):

        def squared(a: Arrays, out: Any = None, n: Any = denominator) -> Any:
            return impl.squared_error_forward(a["predictions"], scores, denominator=n)

        def squared_back(dy: Any, cache: Any, g: Arrays, out: Any = None) -> None:
            g["predictions"] += impl.squared_error_backward(float(dy), cache, out=out)

        yield OperationCase(name, {"predictions": normal(5)}, squared, squared_back, batched=())


def operation_cases(implementation: Any = ops, seed: int = 0) -> list[OperationCase]:
    """Every operation of an implementation, with inputs N(0, 0.3²) or a stated multiple."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return 0.3 * rng.standard_normal(shape)

    groups = (
        _linear_cases,
        _embedding_cases,
        _norm_cases,
        _elementwise_cases,
        _attention_cases,
        _rope_cases,
        _loss_cases,
    )
    return [case for cases in groups for case in cases(normal, implementation)]


def _causal_case(name: str, model: Any, *, padded: bool = False, train: bool = False) -> ModelCase:
    inputs = np.array([[3, 0, 3, 3, 6], [5, 0, 1, 6, 6]])  # T = 5
    targets = np.array([[0, 3, 3, 6, 2], [0, 1, ops.IGNORE, 6, 4]])
    key_padding = None
    if padded:  # the second row is two tokens shorter
        key_padding = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=bool)
        targets = np.where(key_padding, targets, ops.IGNORE)
    run = Run(train=train, seed=1, step=3, row=2)
    return ModelCase(name, model, random_parameters(model), Batch(inputs, targets, key_padding), run)


def _gpt_case(name: str, *, padded: bool = False, train: bool = False, **config: Any) -> ModelCase:
    model = GPT(GPTConfig(vocab_size=7, context=6, layers=2, heads=2, width=6, **config))  # D = 3
    return _causal_case(name, model, padded=padded, train=train)


def _llama_case(name: str, *, padded: bool = False, train: bool = False, **config: Any) -> ModelCase:
    shape = {"layers": 2, "heads": 4, "width": 8, "feed_forward": 5, "rope_base": 10.0} | config  # D = 2
    return _causal_case(name, Llama(LlamaConfig(vocab_size=7, context=6, **shape)), padded=padded, train=train)


MODEL_CASES: dict[str, Callable[[], ModelCase]] = {
    "gpt": lambda: _gpt_case("gpt", norm="post", scaled_residual_init=False),
    "gpt2": lambda: _gpt_case("gpt2"),
    "gpt2-no-bias": lambda: _gpt_case("gpt2-no-bias", bias=False, activation="gelu_erf"),
    "gpt2-padded": lambda: _gpt_case("gpt2-padded", padded=True, activation="relu"),
    "gpt2-dropout": lambda: _gpt_case("gpt2-dropout", train=True, dropout=0.2),
    "gpt2-untied": lambda: _gpt_case("gpt2-untied", tied=False),
    "gpt3": lambda: _gpt_case("gpt3", window=2),
    "gpt-neo": lambda: _gpt_case("gpt-neo", window=3, window_layers="wf", qkv_bias=False, scaled_scores=False),
    "llama": lambda: _llama_case("llama"),
    "llama-grouped": lambda: _llama_case("llama-grouped", heads=6, kv_heads=3, width=12),
    "llama-one-kv-head": lambda: _llama_case("llama-one-kv-head", kv_heads=1, rope_layout="interleaved"),
    "llama-tied": lambda: _llama_case("llama-tied", kv_heads=2, tied=True, padded=True),
    "llama-dropout": lambda: _llama_case("llama-dropout", kv_heads=2, train=True, attention_dropout=0.3),
    "llama-wide-heads": lambda: _llama_case(
        "llama-wide-heads", heads=3, kv_heads=1, head_width=6, rope_factor=4.0, rope_context=16
    ),
    "llama-biases": lambda: _llama_case("llama-biases", layers=1, attention_bias="all"),
    "mistral": lambda: _llama_case("mistral", layers=1, kv_heads=2, window=2, padded=True),
    "qwen2": lambda: _llama_case("qwen2", kv_heads=2, attention_bias="qkv", window=2, window_layers="fw"),
    **SEQ2SEQ_CASES,
    **BERT_CASES,
    **HEAD_CASES,
}
