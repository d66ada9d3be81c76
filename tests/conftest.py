"""Fixtures that all tests share: a cache of their own, and where the real corpora lie, if they do."""

from pathlib import Path

import pytest

REAL_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

TEXT = "".join(
    f"Line {i} says that {a} and {b} make {a + b}, and nobody minds.\n" for i in range(60) for a, b in [(i, i * 7 % 11)]
)


def pytest_collection_modifyitems(items):
    """A slow test says which faster one suggests what it proves: @pytest.mark.slow("test_values: the same at one size")."""
    for item in items:
        for mark in item.iter_markers("slow"):
            if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not mark.args[0]:
                raise pytest.UsageError(f"{item.nodeid}: the slow mark takes one sentence, the faster test it follows")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache or runs folder."""
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("MINIGPT_BACKEND", raising=False)


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def shakespeare():
    path = REAL_DATA / "corpora" / "tinyshakespeare.txt"
    if not path.exists():
        pytest.skip(f"the corpus {path} is not there")
    return path
