"""A small trained run, a copy of it to damage, and ways to call a command that must fail, or that prints JSON."""

import json
import shutil

import pytest

from minigpt.cli import main

from ..train.runs import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    text = folder / "text.txt"
    text.write_text("".join(f"{i} plus {i} is {i + i}.\n" for i in range(200)))
    patch = pytest.MonkeyPatch()
    patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
    assert train(text, folder / "run", 10) == 0
    patch.undo()
    return text, folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run that a test may damage."""
    shutil.copytree(trained[1], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def error(capsys, tmp_path, monkeypatch):
    """Run a command that must fail with one sentence on stderr, and return the sentence."""
    monkeypatch.chdir(tmp_path)

    def check(*arguments) -> str:
        capsys.readouterr()
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as exit:  # argparse
            status = exit.code
        shown = capsys.readouterr()
        assert status == 2, shown
        assert shown.out == "" and shown.err.count("\n") == 1 and shown.err.startswith("minigpt: error: "), shown
        assert not (tmp_path / "runs").exists()
        return shown.err

    return check


def json_of(capsys, *arguments):
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)
