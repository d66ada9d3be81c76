"""Students' answers are found by reading, judged on hidden inputs, and written down; nobody's malice is another's."""

import csv
import io
import json
import os

import pytest

from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.lab.exercises import exercise_names, find_exercise
from minigpt.lab.exercises.checks import Function
from minigpt.lab.grading import lock, slicing, values
from minigpt.lab.grading.feedback import page
from minigpt.lab.grading.grade import Row, Rules, as_csv, names_of
from minigpt.lab.grading.submissions import read_submissions
from minigpt.lab.grading.verdict import Outcome, by_machine

from .handed_in import MALICE, STYLES, function, malicious, styled

RIGHT = styled("einsum")[1]
WRONG = function("05-attention/1", "def softmax_gradient(p, dp):\n    return p * (1 - p) * dp\n")


def as_notebook(*cells):
    """Cells as texts, or as (text, grade_id) of a solution's."""
    made = []
    for cell in cells:
        source, mark = cell if isinstance(cell, tuple) else (cell, None)
        metadata = {"nbgrader": {"schema_version": 3, "solution": True, "grade_id": mark}} if mark else {}
        made.append({"cell_type": "code", "metadata": metadata, "outputs": [], "source": source.splitlines(True)})
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_a_class_is_graded(tmp_path, capsys):
    """One right, one wrong and one malicious answer, a broken file and none at all: five students, three processes."""
    hand_in = tmp_path / "in"
    (hand_in / "ann" / "week-5").mkdir(parents=True)
    cells = ["import numpy as np\n!ls", "raise SystemExit", "%%bash\nfalse", ("def broken(", None)]
    cells += [(RIGHT.split("check_exercise")[0], "05-attention-1")]
    (hand_in / "ann" / "week-5" / "05-attention.ipynb").write_text(as_notebook(*cells), encoding="utf-8")
    (hand_in / "bob.py").write_text(WRONG, encoding="utf-8")
    (hand_in / "eve.py").write_text(malicious("os._exit"), encoding="utf-8")
    (hand_in / "dan.ipynb").write_text("{" * 10**5, encoding="utf-8")
    (hand_in / "zoe").mkdir()
    (hand_in / "zoe" / "a.py").symlink_to(hand_in / "bob.py")
    line = ["exercises", "grade", str(hand_in), "--only", "05-attention/1", "--points", "05-attention=4"]
    line += ["--late", "ann=25", "--out", str(tmp_path / "p.csv"), "--feedback", str(tmp_path / "f")]
    assert main(line) in (0, None)
    said = capsys.readouterr()
    assert "ann                      3 of 4 points, 1 of 1 right" in said.out
    assert "dan: dan.ipynb cannot be read" in said.err
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO((tmp_path / "p.csv").read_text()))}
    assert {name: (row["passed"], row["points"], row["mistake"]) for name, row in rows.items()} == {
        "ann": ("yes", "3", ""),
        "bob": ("no", "0", "That is the Jacobian's diagonal only."),
        "eve": ("no", "0", "ended its process"),
        "dan": ("no", "0", "not handed in"),
        "zoe": ("no", "0", "not handed in"),
    }
    assert float(rows["bob"]["minutes"]) > 0
    assert "0 of 4 points" in (tmp_path / "f" / "bob.html").read_text(encoding="utf-8")


def test_only_what_an_answer_needs_is_taken():
    cells = [
        "import numpy as np\nimport matplotlib.pyplot as plt\nfrom minigpt import ops",
        "scale = 2\nmodel = load()\nanswer = 1",
        "def helper(x):\n    model = x\n    return model * scale + late(x)\n\ndef unused(): return model",
        "answer = helper(np.pi)\ncheck_exercise('08-sampling/5', answer)",
        "def late(x): return offset\noffset = 3\nscale = 99\nanswer = 5",
    ]
    chosen, expression = slicing.slice_answer(cells, [None] * 5, "08-sampling/5", None)
    assert expression.id == "answer"
    made = [sorted(slicing.made_by(node)) for _, node in chosen]
    assert made == [["np"], ["scale"], ["helper"], ["answer"], ["late"], ["offset"]]
    with pytest.raises(slicing.NotFound, match="no answer"):
        slicing.slice_answer(cells, [None] * 5, "05-attention/1", "softmax_gradient")
    with pytest.raises(slicing.NotFound, match="no Python"):
        slicing.slice_answer(["check_exercise('05-attention/1', x"], [None], "05-attention/1", None)


def test_values_go_there_and_back():
    import numpy as np

    arrays = {}
    value = ([1, 2.5, "a", None, ...], {"k": (True, frozenset([3]))}, np.arange(3.0), np.float32(2))
    told = json.loads(json.dumps(values.encode(value, arrays)))
    back = values.decode(told, arrays)
    assert back[0] == value[0] and back[1] == value[1] and back[3] == 2 and back[3].dtype == np.float32
    assert np.array_equal(back[2], value[2]) and back[2] is not arrays["a0"]
    with pytest.raises(ValueError, match="too large"):
        values.decode({"list": [{"array": "a0"}] * 3}, arrays, [60])
    kept, large = {}, np.broadcast_to(np.float32(1), (2**20, 2**10))  # four gigabytes, of which nothing is copied
    with pytest.raises(MemoryError):
        values.encode([np.ones(5), large], kept, [2**20])
    assert [array.size for array in kept.values()] == [5]
    strange = values.decode(values.encode(object(), arrays), arrays, [0])
    assert isinstance(strange, values.Strange) and type(strange).__name__ == "object"


def test_inputs_of_functions_depend_on_the_seed():
    """So a table of results made with the library cannot be handed in."""
    for name in exercise_names():
        check = find_exercise(name).check
        if isinstance(check, Function):
            first, again, other = (repr(check.cases((seed, 3))) for seed in (1, 1, 2))
            assert first == again and first != other, name
    assert [name for name in exercise_names() if not by_machine(find_exercise(name))] == [
        "09-cuda/4",
        "10-speed/1",
        "10-speed/2",
    ]


def test_points():
    half = Outcome(False, 0.5, "wrong result", "…")
    rules = Rules({"05-attention": 4, "05-attention/2": 3}, {"ann": 50})
    assert [rules.possible(n) for n in ("05-attention/1", "05-attention/2", "06-gpt/1", "08-sampling/5")] == [
        4,
        3,
        2,
        1,
    ]
    assert rules.given("bob", "05-attention/1", half) == 0
    assert rules._replace(partial=True).given("ann", "05-attention/1", half) == 1
    assert rules.given("bob", "09-cuda/4", Outcome(None, 0.0, "", "")) is None
    with pytest.raises(UserError, match="did you mean '05-attention'"):
        names_of(["05-atention"])


def test_what_students_write_is_no_formula_and_no_html():
    outcome = Outcome(False, 0.0, "=cmd()", "<script>alert(1)</script>")
    row = Row("@eve\n<b>", "05-attention/1", outcome, 0.0, 2)
    assert as_csv([row]).splitlines()[1] == "'@eve <b>,05-attention/1,no,0,'=cmd(),0.0000"
    assert "<script>" not in page(row.student, [row]) and "<b>" not in page(row.student, [row])


def test_files_by_name_without_check_lines(tmp_path):
    (tmp_path / "ann.py").write_text("def merge(a): ...\ndef nothing(): ...", encoding="utf-8")
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / "04.py").write_text("def merge(a): ...", encoding="utf-8")
    ann, bob = read_submissions(tmp_path)
    assert ann.notebooks[0].answers == {"01-text-to-tokens/1", "04-layer-norm/5", "09-cuda/1"}
    assert bob.newest("04-layer-norm/5") is bob.notebooks[0] and bob.newest("01-text-to-tokens/1") is None
    with pytest.raises(UserError, match="neither folders"):
        read_submissions(_empty(tmp_path))


def _empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def test_there_are_twenty_answers_of_each_kind():
    assert len(STYLES) >= 20 and len(MALICE) >= 20


@pytest.mark.needs(lock.landlock() and lock.seccomp(), "Landlock and seccomp")
def test_a_locked_process_can_neither_read_nor_write_nor_fork_nor_signal(tmp_path):
    """By the C library, where no audit hook looks."""
    (tmp_path / "lib").mkdir()
    secret = tmp_path.parent / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    child = os.fork()
    if child == 0:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        before = libc.open(os.fsencode(secret), os.O_RDONLY)
        lock.lock(str(tmp_path))
        tried = [libc.open(os.fsencode(secret), os.O_RDONLY), libc.open(os.fsencode(secret), os.O_WRONLY)]
        tried += [libc.fork(), libc.kill(os.getppid(), 0), libc.unlink(os.fsencode(secret)), libc.socket(2, 1, 0)]
        tried += [
            libc.memfd_create(b"x", 0),
            libc.setpriority(0, 0, 5),
            libc.open(os.fsencode(tmp_path / "new"), os.O_CREAT | os.O_WRONLY, 0o600),
        ]
        os._exit(0 if before >= 0 and tried == [-1] * 9 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("grade {in} --late ann=120", "--late ann=120 is not NAME=NUMBER"),
        ("grade {in} --points 05-attention", "--points 05-attention is not NAME=NUMBER"),
        ("grade {in} --late bob=10", "there is no student 'bob'"),
        ("grade {in} --only 5-attention", "did you mean '05-attention'"),
        ("grade {in} --points 99-no=1", "there is no exercise or notebook '99-no'"),
        ("grade {in}/none", "cannot be read as a folder of submissions"),
        ("grade {in} --out {in}/points.txt", "does not end in .csv"),
        ("list 99-no", "there is no exercise or notebook '99-no'"),
        ("release {in} 99-no", "there is no notebook 99-no"),
        ("release {in} 05-attention --notebooks {in}", "there is no notebook 05-attention"),
    ],
)
def test_mistakes_of_a_teacher_are_one_sentence(line, sentence, tmp_path, capsys):
    (tmp_path / "ann").mkdir()
    assert main(["exercises", *line.replace("{in}", str(tmp_path)).split()]) == 2
    assert sentence in capsys.readouterr().err


def test_the_list_and_a_release_by_the_command_line(tmp_path, capsys):
    assert not main(["exercises", "list", "05-attention", "09-cuda/4", "--json"])
    told = json.loads(capsys.readouterr().out)["exercises"]
    assert [one["exercise"] for one in told] == [f"05-attention/{k}" for k in range(1, 5)] + ["09-cuda/4"]
    assert told[0]["points"] == 2 and told[0]["function"] == "softmax_gradient" and told[-1]["by_hand"]
    assert not main(["exercises", "release", str(tmp_path / "new"), "05-attention"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["05-attention.ipynb"]
    capsys.readouterr()
    assert main(["exercises", "release", str(tmp_path / "new"), "05-attention"]) == 2
    assert "replace it with --force" in capsys.readouterr().err
