"""These tests need the parity extra; without it there is nothing here to collect."""

from importlib.util import find_spec

if not all(map(find_spec, ("torch", "transformers"))):
    collect_ignore_glob = ["test_*.py"]
else:
    import torch

    torch.set_num_threads(1)  # the models here are tiny: waiting for threads would take most of the time
