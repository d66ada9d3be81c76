"""Pairs are found, their names understood, their mistakes placed and named."""

import ast
import itertools
import json

import numpy as np
import pytest

from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.lab.check.asking import Measured
from minigpt.lab.check.binding import Binding, CannotBind, bind, stripped
from minigpt.lab.check.catalogue import KINDS, mistakes, scalings
from minigpt.lab.check.finding import base_name, find_pairs, read
from minigpt.lab.check.judging import Gradient, Verdict
from minigpt.lab.check.known import TABLE, Layout
from minigpt.lab.check.naming import explain
from minigpt.lab.check.operations import BY_NAME, OPERATIONS
from minigpt.lab.check.report import check_source
from minigpt.lab.check.where import locate
from minigpt.lab.testing import check_gradient

from .mutants import SOURCES

LAYERNORM = """
import numpy as np

def layernorm_forward(x, gamma, beta, eps=1e-5):
    sigma = np.sqrt(x.var(-1, keepdims=True) + eps)
    xhat = (x - x.mean(-1, keepdims=True)) / sigma
    return xhat * gamma + beta, (xhat, sigma, gamma)

def layernorm_backward(dy, cache):
    xhat, sigma, gamma = cache
    dgamma, dbeta = (dy * xhat).sum((0, 1)), dy.sum((0, 1))
    g = dy * gamma
    dx = (g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True)) / sigma
    return dx, dgamma, dbeta
"""


def test_pairs_are_found_in_every_style():
    kinds = {style: {(p.name, p.kind) for p in find_pairs(read(source, style))} for style, source in SOURCES.items()}
    assert len(kinds["closures"]) == 14 and {kind for _, kind in kinds["closures"]} == {"closure"}
    assert ("CausalSelfAttention", "class") in kinds["classes"] and len(kinds["classes"]) == 12
    assert ("mha", "functions") in kinds["out_in"] and len(kinds["out_in"]) == 11


@pytest.mark.parametrize(
    "name, meant",
    [
        ("layernorm_backward", ("layernorm", "backward")),
        ("backward_softmax", ("softmax", "backward")),
        ("gelu_grad", ("gelu", "backward")),
        ("linear_fwd", ("linear", "forward")),
        ("softmax", None),
    ],
)
def test_names_of_functions(name, meant):
    assert base_name(name) == meant


@pytest.mark.parametrize(
    "name, of", [("dW", "w"), ("grad_weight", "weight"), ("weight_grad", "weight"), ("W.grad", "w"), ("grads.db", "b")]
)
def test_names_of_gradients(name, of):
    assert stripped(name) == of


def test_names_are_given_their_meaning():
    (pair,) = find_pairs(read("def f_fwd(inp, W, b): return 1, 2\ndef f_bwd(dW, db, dout, inp, W): pass", "f"))
    bound = bind(pair, BY_NAME["linear"])
    assert bound.forward == {"inp": "x", "W": "weight", "b": "bias"}
    assert bound.backward == [
        ("dW", "zeros:W"),
        ("db", "zeros:b"),
        ("dout", "dy"),
        ("inp", "input:inp"),
        ("W", "input:W"),
    ]
    (pair,) = find_pairs(read("def f_fwd(Q, K): return 1, 2\ndef f_bwd(dy, cache): pass", "f"))
    with pytest.raises(CannotBind, match="no argument for v"):
        bind(pair, BY_NAME["attention"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_references_are_right(operation):
    """What everything is judged by, held against finite differences in its first case and its last."""
    for case in {0: operation.cases[0], 1: operation.cases[-1]}.values():
        inputs = {role: x.copy() for role, x in case.inputs.items()}
        settings = dict(case.fixed)
        y, pullback = operation.reference(TABLE, inputs, settings)
        r = np.random.default_rng(0).standard_normal(np.shape(y)) if np.ndim(y) else 0.7

        def value(inputs=inputs, settings=settings, r=r):
            return float(np.sum(operation.reference(TABLE, inputs, settings)[0] * r))

        for role, gradient in pullback(r).items():
            assert check_gradient(value, inputs[role], gradient, elements=2).passed, (case.name, role)


def judged(operation, mistake):
    """A verdict on a learner who made one mistake of the catalogue: what the process would have given is put in."""
    verdict = Verdict(None, operation=operation, variant=operation.variants[0], layout=Layout("as written"))
    for i, case in enumerate(c for c in operation.cases[:3]):
        y, pullback = operation.reference(TABLE, case.inputs, case.fixed | verdict.variant.fixed)
        dy = np.random.default_rng(i).standard_normal(np.shape(y)) if np.ndim(y) else np.asarray(0.7)
        fixed = case.fixed | {"dy": dy}
        measured = Measured(type(case)(case.name, case.inputs, fixed, case.needs, case.tags), y=y, dy=dy)
        measured.gradients = mistake.run(measured.case, fixed | verdict.variant.fixed, None)
        verdict.measured.append(measured)
        verdict.truths.append(pullback(dy if np.ndim(dy) else float(dy)))
    return verdict


@pytest.mark.parametrize(
    "name, says, kind",
    [
        ("layernorm", "the factor `gain` is missing", "factor"),
        ("embedding", "keeps one of its gradients", "overwritten"),
        ("softmax", "only the diagonal", "term"),
        ("attention", "reshaped as if it were already transposed", "transpose"),
        ("linear", "a mean stands where the sum belongs", "mean"),
    ],
)
def test_a_mistake_of_the_catalogue_is_named(name, says, kind):
    operation = BY_NAME[name]
    mistake = next(m for m in mistakes(operation) if says in m.says)
    verdict = judged(operation, mistake)
    for role in operation.cases[0].inputs:
        wrong = [i for i, (m, t) in enumerate(zip(verdict.measured, verdict.truths, strict=True))
                 if not np.allclose(m.gradients[role], t[role], rtol=1e-9, atol=1e-12)]  # fmt: skip
        verdict.gradients.append(Gradient(role, role, "values" if wrong else "", 1.0, (), wrong))
    assert verdict.wrong
    found = explain(verdict, "")
    assert found.kind == kind and set(found.roles) == {g.role for g in verdict.wrong}
    assert found.lesson.startswith("notebook") and found.hint == KINDS[kind][1]


def test_it_says_where_a_gradient_is_wrong():
    """A mask forgotten on the way back shows only where there is one; a lost occurrence only at repeated tokens."""
    for name, says, role, where in [
        ("attention", "without the mask", "v", "with a mask (causal)"),
        ("embedding", "keeps one of its gradients", "table", "at tokens that occur more than once"),
    ]:
        operation = BY_NAME[name]
        verdict = judged(operation, next(m for m in mistakes(operation) if says in m.says))
        verdict.pair = find_pairs(read("def f_fwd(x): return x\ndef f_bwd(dy, x): return dy", "f"))[0]
        verdict.binding = Binding(operation, verdict.pair, {}, {}, [])
        off = [
            not np.allclose(m.gradients[role], t[role], atol=1e-12)
            for m, t in zip(verdict.measured, verdict.truths, strict=True)
        ]
        wrong = [i for i, is_off in enumerate(off) if is_off]
        assert where in locate(verdict, Gradient(role, role, "values", 1.0, (), wrong)).only


def test_the_catalogue_knows_mistakes_of_every_operation():
    for operation in OPERATIONS:
        found = list(itertools.islice(mistakes(operation), 6))
        assert len(found) == 6 and {m.kind for m in found} <= set(KINDS), operation.name
    assert len(list(scalings(BY_NAME["linear"]))) == 4


def test_a_wrong_pair_in_a_process_of_its_own():
    report = check_source(LAYERNORM.replace("g = dy * gamma", "g = dy"), file="a.py")
    (verdict,) = report.pairs
    assert report.status == 1 and [g.role for g in verdict.wrong] == ["x"]
    for m, truth in zip(verdict.measured[:-1], verdict.truths, strict=False):  # two truths that know nothing of another
        np.testing.assert_allclose(m.numeric["x"], truth["x"], atol=1e-8)
    assert verdict.explanation.kind == "factor" and "gain" in verdict.explanation.says
    assert locate(verdict, verdict.wrong[0]).lines == (13,)
    assert "`gain` is missing" in report.text() and "`gain` is missing" not in report.text("hint")
    assert "minigpt/ops/norm.py" in report.text("answer")


@pytest.mark.parametrize(
    "source, says",
    [
        ("def f(", "line 1 is not Python"),
        ("CHECK = {'a': len}", "CHECK must be written out"),
        ("CHECK = {'a': {'call': 'nothing'}}", "there is no 'nothing'"),
    ],
)
def test_bad_files_are_told_in_a_sentence(source, says):
    with pytest.raises(UserError, match=says):
        check_source(source, file="a.py")


def test_the_command_says_what_is_missing(tmp_path, capsys):
    path = tmp_path / "a.py"
    path.write_text("def mystery_forward(a, b): return a\ndef mystery_backward(dy): return dy\n", encoding="utf-8")
    assert main(["check", str(path), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == 2 and "CHECK" in told["pairs"][0]["reason"]
    assert main(["check", str(path), "nobody"]) == 2
    assert "has no 'nobody' to check: there is mystery" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "none.py")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_processes_files_know_nothing_of_minigpt():
    from minigpt.lab.check import sandbox

    for name in ("child.py", "child_model.py", "child_places.py", "guard.py"):
        tree = ast.parse((sandbox.HERE / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not any(n.startswith("minigpt") for n in names), name
