"""How many seconds of a core each notebook took, and how much memory its kernel had, at the end of the report."""

import pytest

COSTS = pytest.StashKey[dict[str, tuple[float, float]]]()


@pytest.fixture
def costs(request):
    """{notebook: (seconds, peak MB)} of those that were run."""
    return request.config.stash.setdefault(COSTS, {})


def pytest_terminal_summary(terminalreporter, config):
    costs = config.stash.get(COSTS, {})
    if costs:
        terminalreporter.section("notebooks")
        for name, (seconds, megabytes) in sorted(costs.items()):
            terminalreporter.write_line(f"{name:32} {seconds:6.1f} s  {megabytes:6.0f} MB")
        terminalreporter.write_line(f"{'together':32} {sum(seconds for seconds, _ in costs.values()):6.1f} s")
