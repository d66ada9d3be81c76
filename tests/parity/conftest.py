"""These tests need the parity extra; without it there is nothing here to collect."""

from importlib.util import find_spec

if not all(map(find_spec, ("torch", "transformers"))):
    collect_ignore_glob = ["test_*.py"]
