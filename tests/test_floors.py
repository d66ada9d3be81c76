"""Imports point down, and stand at the top of a file: what pyproject.toml tells import-linter, read off the lines."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
FLOORS = [name.strip("()") for name in next(c["layers"] for c in CONTRACTS if c["type"] == "layers")]
PACKAGE = ROOT / "minigpt"
IMPORT = re.compile(r"^( *)(?:from|import) minigpt(?:\.(\w+)| import (\w+))", re.M)  # of a folder, or one of its files


def imports(path):
    """(indentation, floor) for each import of the package; "" for a name that is in no folder."""
    for indent, module, name in IMPORT.findall(path.read_text(encoding="utf-8")):
        floor = module or name
        yield indent, floor if floor in FLOORS else ""


FILES = {floor: sorted((PACKAGE / floor).rglob("*.py")) for floor in FLOORS}


def test_every_folder_is_a_floor():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(FLOORS) - folders <= {"distributed"} and folders <= set(FLOORS)
    assert len(FLOORS) == 16 and sum(map(len, FILES.values())) > 300


def test_imports_point_down():
    seen = [(path, floor, to) for floor in FLOORS for path in FILES[floor] for _, to in imports(path) if to]
    assert len(seen) > 1000
    upwards = [(str(path), to) for path, floor, to in seen if FLOORS.index(to) < FLOORS.index(floor)]
    assert upwards == []


def test_only_commands_import_late():
    """So that the command line starts quickly, and `import minigpt` too."""
    late = {path for path in PACKAGE.rglob("*.py") for indent, _ in imports(path) if indent}
    assert PACKAGE / "__init__.py" in late
    others = {path for path in late if path not in FILES["cli"]} - {PACKAGE / "__init__.py"}
    assert others == {
        PACKAGE / "blocks" / "dispatch.py",  # of what needs Numba, an optional extra
        PACKAGE / "__main__.py",  # Ctrl-C while the first modules are imported is a word, too
    }
