"""The README and docs/ tell the truth: their commands, presets, files, headings and line numbers exist."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from minigpt import __version__
from minigpt.cli import main, parse
from minigpt.cli.arguments.training import DEFAULT_PRESET
from minigpt.cli.commands import COMMANDS
from minigpt.train.config import build_config, config_to_toml, preset_names, read_preset

from .tiers import some

ROOT = Path(__file__).resolve().parents[1]
README_PATH = ROOT / "README.md"
README = README_PATH.read_text(encoding="utf-8")
PAGES = {path: path.read_text(encoding="utf-8") for path in (README_PATH, *sorted((ROOT / "docs").glob("*.md")))}
TEXT = "\n".join(PAGES.values())


def test_the_line_where_dk_is_computed():
    file = "minigpt/ops/attention.py"
    shown, line = re.search(rf"{file}, line (\d+)\]\({file}#L(\d+)\)", README).groups()
    source = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert shown == line
    assert source[int(line) - 1].strip().startswith("dk = xp.matmul(dscores.swapaxes(-1, -2), q_heads)")


def headings(page):
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_links_lead_somewhere():
    for page, text in PAGES.items():
        for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text):
            path = page.parent / target if target else page
            assert path.exists(), f"{page.name}: {target}"
            if path.suffix == ".md" and anchor:
                assert anchor in headings(path), f"{page.name}: {target}#{anchor}"


def test_the_readme_is_short():
    assert README.count("\n") <= 200


COMMAND = rf"`minigpt ((?:{'|'.join(COMMANDS)})[^`]*)`"


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{name}.md" for name in ("commands", "measurements", "settings"))]
)
def test_commands_parse(page):
    for command in sorted(set(re.findall(COMMAND, PAGES[ROOT / page]))):
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command.replace("seed N", "seed 1"))]
        if words[:2] != ["train", "my.toml"]:
            assert parse(words).run


SEVEN = re.findall(r"^\| `minigpt (.+?)` \| [\d.]+ \|", README, re.M)
QUICK = [command for command in SEVEN if command.startswith(("tokenizer", "plan"))]


@pytest.mark.parametrize("command", some(SEVEN, QUICK, "the same of tokenizer and plan; test_commands_parse"))
def test_the_seven_commands_run(command, tmp_path, monkeypatch, capsys):
    """As the README shows them, with nothing but the folder data/; what they write stays in a folder of the test."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) == 0
    assert ("page.html" in command) == (tmp_path / "page.html").exists()
    assert len(capsys.readouterr().out) > 20


def test_there_are_seven():
    assert len(SEVEN) == 7 and len(QUICK) == 2


def test_every_command_and_preset_is_mentioned():
    for command in COMMANDS:
        assert f"minigpt {command}" in TEXT
    for preset in preset_names():
        assert f"`{preset}`" in TEXT


def test_the_page_of_settings_has_the_defaults():
    """Those of `minigpt train` without arguments."""
    config = tomllib.loads(config_to_toml(build_config(read_preset(DEFAULT_PRESET))))
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \| (.*?) \|", PAGES[ROOT / "docs/settings.md"], re.M)
    shown = {(section, key): tomllib.loads(f"x = {value}")["x"] for section, key, value in rows}
    assert shown == {(section, key): config[section][key] for section, key in shown} and len(shown) >= 25


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
    assert project["name"] == "minigpt-from-scratch" and project["scripts"] == {"minigpt": "minigpt.__main__:start"}
    extras = project["optional-dependencies"]
    assert set(extras["tasks"]) <= set(extras["notebooks"]) and set(extras["tasks"]) <= set(extras["test"])
    listed = set((ROOT / "requirements.txt").read_text(encoding="utf-8").split("\n"))
    assert {*project["dependencies"], *extras["notebooks"], "pytest", "hypothesis"} <= listed
    files = [README_PATH, *(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "minigpt").rglob("*.py")]
    files += [*(ROOT / "minigpt").rglob("*.md"), *PAGES]
    wrong = [path for path in files if re.search(r"minigpt\[\w", path.read_text(encoding="utf-8"))]
    assert wrong == []
    named = {name for path in files for name in re.findall(r"\.\[(\w+)\]", path.read_text(encoding="utf-8"))}
    assert named <= set(extras) and "tasks" in named


@pytest.mark.slow("what its lines call: interop/test_api.py, train/test_loop.py, cli/test_finetune.py")
def test_the_python_of_the_docs_runs(tmp_path, monkeypatch, capsys):
    """Everything before the models of other people, which have to be downloaded."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    page, names = PAGES[ROOT / "docs" / "python.md"].partition("## Other people's models")[0], {}
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for code in snippets:
        exec(code, names)
    said = capsys.readouterr().out
    assert len(snippets) == 5 and names["ids"] and names["loss"] < 2.0
    assert names["evaluations"][-1].loss < names["steps"][0].loss - 1 and "by chance 0.50" in said
    assert names["outcome"].run.is_dir() and names["tuned"].config.task == "story-cloze"
