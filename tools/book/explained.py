"""The explain pages of four families, written by `minigpt explain`; two of the models are trained on the spot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROMPT = "Anna was looking for her red ball."
SETTINGS = ("--steps", "100", "--tokenizer", "bpe:1024", "--set", "model.width=64", "--set", "model.heads=2")
PAGES = {  # of each the model, or the preset that trains one, and the text that it reads
    "gpt": ("data/checkpoints/tiny", PROMPT),
    "bert": ("data/checkpoints/bert-tiny", "Anna was looking for her red [MASK]."),
    "bart": ("bart-tiny", PROMPT),
    "llama": ("llama-tiny", PROMPT),
}


def write_pages(root: Path, work: Path, to: Path) -> None:
    """Write the pages; what was trained for an earlier build is used again."""
    to.mkdir(parents=True, exist_ok=True)
    for name, (model, prompt) in PAGES.items():
        if "/" not in model and not (work / name / "checkpoints").exists():
            _minigpt(root, "train", model, *SETTINGS, "--out", work / name, "--force")
        source = root / model if "/" in model else work / name
        _minigpt(root, "explain", source, "--prompt", prompt, "--out", to / f"{name}.html", "--force")


def _minigpt(root: Path, *arguments: object) -> None:
    """Run a command of minigpt; what it says is shown if it fails."""
    command = [sys.executable, "-m", "minigpt", *map(str, arguments)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
