"""What notebooks call: command lines in cells, and the style of their figures."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from minigpt.cli import notebook
from minigpt.cli.notebook import command, project_data
from minigpt.core.errors import UserError
from minigpt.lab.plot import draw_attention, draw_tokens, shown, use_notebook_style


def test_a_command_speaks_on_stdout(capsys):
    command("minigpt gradcheck gpt2-no-bias --json")
    assert '"worst"' in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="the command ended with 2: minigpt train nothing"):
        command("minigpt train nothing")
    heard = capsys.readouterr()
    assert "unknown preset 'nothing'" in heard.out and not heard.err


@pytest.mark.parametrize(
    ("line", "said"),
    [("rm -rf .", "only minigpt can be run, not rm"), ("minigpt train --stepz 1", "the command ended with 2")],
)
def test_what_is_no_command(line, said, capsys):
    with pytest.raises(RuntimeError, match=said):
        command(line)


def test_help_is_no_failure(capsys):
    command("minigpt sample --help")
    assert "usage: minigpt sample" in capsys.readouterr().out


def test_where_the_project_keeps_its_data(tmp_path, monkeypatch):
    assert project_data("README.md").read_text(encoding="utf-8").startswith("# What the project made itself")
    monkeypatch.setattr(notebook, "__file__", str(tmp_path / "installed" / "minigpt" / "cli" / "notebook.py"))
    (tmp_path / "copy" / "data").mkdir(parents=True)
    (tmp_path / "copy" / "data" / "some.json").touch()
    (tmp_path / "copy" / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "copy" / "notebooks")
    assert project_data("some.json") == tmp_path / "copy" / "data" / "some.json"
    with pytest.raises(UserError, match=r"data/other\.json is not there: run the notebook in a copy of the project"):
        project_data("other.json")


def test_figures_have_opaque_paper():
    with matplotlib.rc_context():
        use_notebook_style()
        figure = Figure()
        axes = figure.subplots()
        assert figure.get_facecolor()[3] == axes.get_facecolor()[3] == 1.0
        colors = [axes.plot([0, 1])[0].get_color() for _ in range(7)]
        assert len(set(colors)) == 7
        draw_attention(axes, np.eye(3), ["a", " b", "\n"], ["x", "$y$", "z"])
        assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "␣b", "↵"]


def test_strips_of_tokens():
    axes = Figure().subplots()
    draw_tokens(axes, [("one", ["[CLS]", " a"], [1, 0]), ("two", ["$"], [2])])
    assert [text.get_text() for text in axes.texts] == ["[CLS]", "␣a", "\\$"]
    assert [box.get_width() for box in axes.patches] == [6, 3, 2]
    faces = [box.get_facecolor() for box in axes.patches]
    assert faces[1] == (1, 1, 1, 1) and len(set(faces)) == 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two"]


def test_tokens_are_shown_as_they_are():
    assert shown(" a\n$") == "␣a↵\\$"
