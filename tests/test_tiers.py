"""What a test run says in the end: proven is only what passed whole."""

from types import SimpleNamespace

import pytest

from tests import tiers


@pytest.mark.parametrize("exitstatus, proven", [(0, True), (1, False), (2, False)])
def test_nothing_is_proven_by_a_part(exitstatus, proven, monkeypatch):
    monkeypatch.setattr(tiers, "product_speed", lambda: 1.0)
    lines: list[str] = []
    passed = [SimpleNamespace(nodeid="tests/ops/test_a.py::test_a"), SimpleNamespace(nodeid="tests/ops/test_b.py::b")]
    reporter = SimpleNamespace(stats={"passed": passed}, write_line=lines.append)
    tiers.Tiers(SimpleNamespace()).pytest_terminal_summary(reporter, exitstatus)
    assert ("What was proven:" in lines) == proven
    assert any(line.startswith("What passed, of tests that did not all") for line in lines) != proven
    assert any(line.startswith("  ops ") and " 2 passed: " in line for line in lines)
