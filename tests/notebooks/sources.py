"""The notebooks as files."""

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def texts(notebook, kind):
    """The sources of all cells of a kind, "markdown" or "code"."""
    return [source(cell) for cell in notebook["cells"] if cell["cell_type"] == kind]
