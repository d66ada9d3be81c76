"""Whole models: what published implementations got wrong, planted, is found, placed and named."""

import pytest

from minigpt.lab.check.report import check_source

from .mutants import FOLDER

MODEL = (FOLDER / "model.py").read_text(encoding="utf-8")
PLANTED = {  # what: (line, what it becomes, the function that is guilty or the only wrong parameter, kind)
    "dK reshaped as if already transposed": (
        "    dk = dz.swapaxes(-1, -2) @ q\n",
        "    dk = (q.swapaxes(-1, -2) @ dz).reshape(q.shape)\n",
        "attention_forward",
        "transpose",
    ),
    "softmax divided by the batch": ("    return dz\n", "    return dz / len(dz)\n", "softmax_forward", "mean"),
    "layer norm forgets the gain": ("    dnorm = dout * g\n", "    dnorm = dout\n", "layernorm_forward", "factor"),
    "tied output matrix dropped": (
        'g["wte"] = np.einsum("btv,btc->vc", dlogits, self.x)',
        'g["wte"] = np.zeros_like(p["wte"])',
        "wte",
        "dropped",
    ),
    "embedding keeps one occurrence": (
        'np.add.at(g["wte"], self.ids, dx)',
        'g["wte"][self.ids] += dx',
        "wte",
        "overwritten",
    ),
    "dropout by the output": ("    return y, mask", "    return y, y", "dropout_forward", "variable"),
    "a scale off by 11%": (
        "softmax_backward(dp, p) * s",
        "softmax_backward(dp, p) * s * 1.11",
        "attention_forward",
        "factor",
    ),
    "the loss's mean forgotten": ("dlogits / self.targets.size", "dlogits / len(self.targets)", "", "factor"),
    "residual connection cut": ("dx = dx + dh\n            do", "dx = dh\n            do", "line", "overwritten"),
}


@pytest.mark.slow("test_a_wrong_pair_in_a_process_of_its_own: the same of one operation")
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_found_placed_and_named(name):
    right, wrong, where, kind = PLANTED[name]
    assert MODEL.count(right) == 1
    report = check_source(MODEL.replace(right, wrong))
    (model,) = report.models
    assert report.status == 1 and model.status == "wrong" and model.error > 1e-3
    assert model.kind == kind and (not where or any(where in guilty for guilty in model.guilty))
    if where == "wte":
        assert [p.name for p in model.wrong] == ["wte"]


@pytest.mark.slow("test_a_wrong_pair_in_a_process_of_its_own: the same of one operation")
def test_a_right_model_is_right():
    report = check_source(MODEL)
    assert report.status == 0 and [m.status for m in report.models] == ["right"]
    assert {v.pair.name: v.status for v in report.pairs} == dict.fromkeys(
        ("layernorm", "linear", "softmax", "attention", "gelu", "dropout"), "right"
    )


@pytest.mark.slow("test_a_wrong_pair_in_a_process_of_its_own: the same of one operation")
def test_an_adapter_that_gives_something_else_is_told():
    (model,) = check_source("CHECK = {'m': {'model': 'make'}}\ndef make(): return 3, 4\n").models
    assert model.status == "not judged" and "the adapter must return" in model.reason
