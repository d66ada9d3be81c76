"""Measuring speed: contestants in processes of their own, timed in turn, compared round by round."""

OPPONENTS = {  # what a training step is timed beside
    "torch": "PyTorch",
    "torch-compile": "PyTorch through torch.compile",
    "numpy": "minigpt with NumPy's fast operations, not compiled ones",
    "threads": "minigpt with workers that are threads",
    "recompute": "minigpt with train.recompute",
    "kept": "minigpt with everything kept, T x T attention probabilities too",
}
CLOCKS = ("wall", "cpu")  # what a contest is timed by
