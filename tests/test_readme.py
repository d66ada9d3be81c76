"""The README tells the truth: its commands, presets, files and line numbers exist."""

import re
import tomllib
from pathlib import Path

import pytest

from minigpt import __version__
from minigpt.cli import parse
from minigpt.cli.commands import COMMANDS
from minigpt.train.config import preset_names

ROOT = Path(__file__).resolve().parents[1]
README_PATH = ROOT / "README.md"
README = README_PATH.read_text(encoding="utf-8")


def test_the_line_where_dk_is_computed():
    file = "minigpt/ops/attention.py"
    shown, line = re.search(rf"{file}, line (\d+)\]\({file}#L(\d+)\)", README).groups()
    source = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert shown == line
    assert source[int(line) - 1].strip().startswith("dk = xp.matmul(dscores.swapaxes(-1, -2), q_heads)")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)", README))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


COMMAND = rf"`minigpt ((?:{'|'.join(COMMANDS)})[^`]*)`"


@pytest.mark.parametrize("command", sorted(set(re.findall(COMMAND, README))))
def test_commands_parse(command, tmp_path):
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command.replace("seed N", "seed 1"))]
    if words[:2] != ["train", "my.toml"]:
        assert parse(words).run


def test_every_command_and_preset_is_mentioned():
    for command in COMMANDS:
        assert f"minigpt {command}" in README
    for preset in preset_names():
        assert f"`{preset}`" in README


def test_the_tree_names_what_is_there():
    tree = re.search(r"```\nminigpt/\n(.*?)```", README, re.S).group(1)
    named = set(re.findall(r"[\w.]+/|[\w]+\.py", tree))
    parts = [p for p in (ROOT / "minigpt").iterdir() if not p.name.startswith("__")]
    files = {p.name + "/" if p.is_dir() else p.name for p in parts}
    assert files - {"errors.py", "py.typed"} - named == set()


def test_both_commands_are_marked_for_the_machines_that_run_them():
    for name, end in [("train", ".venv/bin/minigpt train"), ("test", ".venv/bin/python -m pytest")]:
        (line,) = re.search(rf"<!-- command: {name} -->\n```sh\n(.*)\n```", README).groups()
        assert line.endswith(end)


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.M).group(1) == project["version"] == __version__


def test_extras_are_installed_from_the_clone():
    """The package is on no index, and "minigpt" there is somebody else's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "minigpt-from-scratch" and project["scripts"] == {"minigpt": "minigpt.cli:main"}
    extras = project["optional-dependencies"]
    assert set(extras["tasks"]) <= set(extras["notebooks"]) and set(extras["tasks"]) <= set(extras["test"])
    listed = set((ROOT / "requirements.txt").read_text(encoding="utf-8").split("\n"))
    assert {*project["dependencies"], *extras["notebooks"], "pytest", "hypothesis"} <= listed
    files = [README_PATH, *(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "minigpt").rglob("*.py")]
    files += (ROOT / "minigpt").rglob("*.md")
    wrong = [path for path in files if re.search(r"minigpt\[\w", path.read_text(encoding="utf-8"))]
    assert wrong == []
    named = {name for path in files for name in re.findall(r"\.\[(\w+)\]", path.read_text(encoding="utf-8"))}
    assert named <= set(extras) and "tasks" in named
