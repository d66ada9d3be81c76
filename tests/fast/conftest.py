"""Compiled operations need the numba extra; without it their tests are not collected."""

from importlib.util import find_spec

if not find_spec("numba"):
    collect_ignore = ["test_hands.py", "test_loops.py"]
