"""For a course's tests: the fixture `minigpt_check`, which fails a test with the report where a backward pass is wrong.

In conftest.py: `pytest_plugins = ["minigpt.lab.check.pytest_plugin"]`. In a test:

    def test_layernorm(minigpt_check):
        minigpt_check("my_layers.py", "LayerNorm")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt.lab.check.report import Report, check_file


@pytest.fixture
def minigpt_check() -> Callable[..., Report]:
    """Check a file, or some of its pairs; returns the report where all is right."""

    def check(path: str | Path, *names: str, claimed: str | None = None, level: str = "name") -> Report:
        __tracebackhide__ = True
        report = check_file(path, names, claimed=claimed)
        if report.status == 1:
            pytest.fail(report.text(level), pytrace=False)
        if report.status == 2:
            pytest.fail(f"could not be judged:\n{report.text(level)}", pytrace=False)
        return report

    return check
