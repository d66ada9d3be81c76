"""The recipes of CONTRIBUTING.md name files that exist, and tables that stand in them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATH = r"`((?:minigpt|tests|tools|notebooks)/[\w./-]*|\w+\.md)`"
NAMED = re.findall(PATH + r"((?:[^`]*`_?[A-Za-z]\w*`)*)", TEXT)  # a file, and the names that follow up to the next


def test_the_files_exist():
    paths = {path for path, _ in NAMED if "NAME" not in path}
    assert len(paths) > 60 and [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_a_table_stands_in_the_file_after_which_it_is_named():
    tables = [
        (path, name)
        for path, names in NAMED
        for name in re.findall(r"`(_?[A-Z][A-Z_]+|_\w+|\w+_\w+)`", names)
        if path.endswith(".py") and name != "NAME" and not name.startswith("NAME_")
    ]
    assert len(tables) > 30
    missing = [(p, name) for p, name in tables if not re.search(rf"\b{name}\b", (ROOT / p).read_text(encoding="utf-8"))]
    assert missing == []


def test_the_commands_are_those_of_the_tiers():
    tiers = (ROOT / "tests" / "tiers.py").read_text(encoding="utf-8")
    for tier in ("slow", "full", "exhaustive"):
        assert f"`pytest --tier {tier}`" in TEXT and f"pytest --tier {tier}" in tiers
