"""What docs/check.md promises: CHECK, adapters that do both ways, other names, tests of one's own, pictures."""

import re
from pathlib import Path

import pytest

from minigpt.cli import main
from minigpt.lab.check.pytest_plugin import minigpt_check  # noqa: F401
from minigpt.lab.check.report import check_source, show_check

DOCS = Path(__file__).resolve().parents[3] / "docs" / "check.md"
slow = pytest.mark.slow("test_a_wrong_pair_in_a_process_of_its_own: the same in one convention")
ODD = """
import numpy as np

class Odd:
    def __init__(self, w):
        self.w = w

    def go(self, x):
        self.x = x
        return x @ self.w

    def go_back(self, dy):
        self.w_gradient = self.x.T @ dy
        return dy @ self.w.T
"""
TANH = "import numpy as np\ndef forward(x): return np.tanh(x)\ndef backward(dy, y): return dy * (1 - y * y)\n"


def documented(name):
    """The block of Python in the document that begins with CHECK for a name."""
    return next(
        b for b in re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.S) if f'CHECK = {{"{name}"' in b
    )


@slow
def test_an_adapter_that_does_both_ways():
    adapter = documented("odd")
    assert check_source(ODD + adapter).status == 0
    report = check_source(ODD.replace("self.x.T @ dy", "self.x.T @ dy / 2") + adapter)
    assert report.status == 1 and [g.role for g in report.pairs[0].wrong] == ["w"]


@slow
def test_an_operation_that_nobody_knows():
    source = "import numpy as np\ndef swish(x, w):\n    s = 1 / (1 + np.exp(-x))\n    def back(dy):\n"
    source += "        return dy * w * (s + x * s * (1 - s)), (dy * x * s).sum((0, 1))\n    return x * s * w, back\n"
    assert check_source(source + documented("swish")).status == 0
    (verdict,) = check_source(source.replace("s + x", "s - x") + documented("swish")).pairs
    assert verdict.status == "wrong" and verdict.explanation.kind == "sign"
    assert "line 5" in verdict.explanation.says


@slow
def test_a_class_that_nobody_knows():
    source = """
import numpy as np
class Scale:
    def __init__(self, width):
        self.s = np.ones(width)
    def forward(self, x):
        self.x = x
        return x * self.s
    def backward(self, dy):
        self.ds = (dy * self.x).sum((0, 1))
        return dy * self.s
CHECK = {"Scale": {"inputs": {"x": [2, 3, 4], "s": [4], "width": 4}}}
"""
    assert check_source(source).status == 0
    (verdict,) = check_source(source.replace("return dy * self.s", "return dy")).pairs
    assert [g.role for g in verdict.wrong] == ["x"] and verdict.explanation.kind == "factor"


@slow
def test_overwriting_is_a_note_or_a_mistake():
    source = "def linear_fwd(x, w):\n    return x @ w, x\ndef linear_bwd(dw, dy, x, w):\n"
    source += "    dw[...] = x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])\n    return dy @ w.T\n"
    (verdict,) = check_source(source).pairs
    assert verdict.status == "right" and "overwritten" in verdict.notes[0]
    (verdict,) = check_source('CHECK = {"linear": {"accumulates": True}}\n' + source).pairs
    assert [(g.role, g.problem) for g in verdict.wrong] == [("weight", "overwritten")]
    assert verdict.explanation.kind == "overwritten"


@slow
def test_greek_names():
    source = "def relu_forward(é):\n    return é * (é > 0)\ndef relu_backward(δ, é):\n    return δ * (é > 0)\n"
    assert check_source(source).status == 0
    (verdict,) = check_source(source.replace("δ * (é > 0)", "δ * (é < 0)  # ééé")).pairs
    assert verdict.status == "wrong"


@slow
def test_what_a_pair_is_can_be_said():
    assert check_source(TANH, claimed="tanh").status == 0
    assert check_source(TANH, claimed="relu").status == 1


@slow
def test_a_course_s_test_fails_with_the_report(minigpt_check, tmp_path):  # noqa: F811
    path = tmp_path / "layers.py"
    path.write_text(TANH.replace("backward", "tanh_backward").replace("forward", "tanh"), encoding="utf-8")
    assert minigpt_check(path, "tanh").status == 0
    path.write_text(path.read_text("utf-8").replace("1 - y", "1 + y"), encoding="utf-8")
    with pytest.raises(pytest.fail.Exception, match="the gradient of x is off"):
        minigpt_check(path)


@slow
def test_a_picture_and_a_notebook(tmp_path, capsys):
    path, picture = tmp_path / "layers.py", tmp_path / "wrong.png"
    path.write_text(TANH.replace("1 - y", "1 + y"), encoding="utf-8")
    assert main(["check", str(path), "--as", "tanh", "--plot", str(picture)]) == 1
    assert picture.read_bytes()[:4] == b"\x89PNG"
    capsys.readouterr()
    show_check(path, claimed="tanh", level="hint")
    shown = capsys.readouterr().out
    assert "hint: " in shown and "mistake: " not in shown


@slow
def test_a_result_that_is_not_a_number_is_not_right():
    source = TANH.replace("np.tanh(x)", "np.where(x > 0.5, np.nan, np.tanh(x))")
    assert check_source(source, claimed="tanh").status == 1
