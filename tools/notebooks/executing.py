"""A notebook is executed in a fresh kernel, offline, in an empty folder; its outputs are made small and stored."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

from . import fingerprint, recording

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "minigpt"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOWHERE = "http://127.0.0.1:9"  # nobody listens on the discard port: a download fails at once
KEY = "minigpt"  # of the notebook's metadata: what is noted with the outputs
MOST, MOST_TOGETHER = 400_000, 6_000_000  # bytes of outputs of a notebook, and of all
_COLORS = 256
_PARSING = threading.Lock()  # Python 3.11 sometimes fails where two threads call ast.parse at the same time
_COSTS = """
import os, resource, sys
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in kB, on macOS in bytes
print(sum(os.times()[:4]), peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
"""
Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, notebook: Notebook) -> None:
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def code_cells(notebook: Notebook) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def sources(notebook: Notebook) -> list[str]:
    return ["".join(cell["source"]) for cell in code_cells(notebook)]


class Executed(NamedTuple):
    """A notebook with its outputs, what it used of the package, and what it cost."""

    notebook: Notebook
    used: recording.Recorded
    seconds: float  # of processors, with those of the processes that it started
    megabytes: float  # the most that its kernel had


def execute(path: Path, folder: Path) -> Executed:
    """Execute a notebook from clean, in an empty folder of one's own.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    notebook.cells.append(nbformat.v4.new_code_cell(_COSTS))
    for name in ("work", "temporary", "recording"):
        (folder / name).mkdir()
    client = NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(folder / "work")}}
    )
    with _PARSING:
        environment = _environment(folder)
    client.execute(env=environment)
    costs = "".join(output.text for output in notebook.cells.pop().outputs)  # on a busy machine it comes in pieces
    seconds, megabytes = map(float, costs.split())
    used = recording.recorded(PACKAGE, folder / "recording")
    return Executed(json.loads(nbformat.writes(notebook)), used, seconds, megabytes)


def _environment(folder: Path) -> dict[str, str]:
    """The variables of the kernel's process: nothing of the user's own comes in, and nothing from the network."""
    variables = {"OPENBLAS_NUM_THREADS": "1"} | dict(os.environ) | recording.environment(PACKAGE, folder / "recording")
    variables |= {
        "MINIGPT_CACHE": str(folder / "cache"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(folder / "ipython"),
        "TMPDIR": str(folder / "temporary"),
        "COLUMNS": "100",
        # Numba takes a minute to compile the loops: that is done once, as the tests do it
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", f"{tempfile.gettempdir()}/minigpt-tests-{os.getuid()}"),
    }
    variables.pop("MINIGPT_BACKEND", None)
    return variables | dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)


def refresh(path: Path) -> tuple[str, list[str]]:
    """Execute a notebook and store its outputs, if nothing is wrong with them.

    Returns:
        how it went, in a line, and what was wrong.
    """
    from nbclient.exceptions import CellExecutionError

    stored = read(path)
    with tempfile.TemporaryDirectory(prefix="minigpt-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        try:
            notebook, used, seconds, _ = execute(path, folder)
        except CellExecutionError as error:
            return f"{path.name}: failed", [f"{path.name}: {error}"]
        for cell, executed in zip(code_cells(stored), code_cells(notebook), strict=True):
            cell["outputs"] = small([_without_paths(output, folder) for output in executed["outputs"]])
            cell["execution_count"] = executed["execution_count"]
    with _PARSING:
        taken = fingerprint.take(fingerprint.Source(PACKAGE), sources(stored), used)
    stored["metadata"][KEY] = {**taken, "seconds": round(seconds)}  # in the order in which ruff writes them
    size, wrong = output_size(stored), [f"{path.name}, {each}" for each in faults(stored)]
    if not wrong:
        write(path, stored)
    return f"{path.name}: {seconds:.0f} s of a core, {size / 1000:.0f} kB of outputs", wrong


def faults(notebook: Notebook) -> list[str]:
    """What stored outputs must not be: missing, errors, warnings, too large."""
    found = []
    for at, cell in enumerate(code_cells(notebook), 1):
        where = f"cell {cell['id']}"
        if cell["execution_count"] != at:
            found.append(f"{where}: it has not been executed")
        for output in cell["outputs"]:
            text = "".join(output.get("text", ""))
            if output["output_type"] == "error":
                found.append(f"{where}: {output['ename']}: {output['evalue']}")
            elif output.get("name") == "stderr" or "Warning:" in text:
                found.append(f"{where}: {text.strip()}")
    if (size := output_size(notebook)) > MOST:
        found.append(f"its outputs have {size / 1000:.0f} kB, and may have {MOST / 1000:.0f}")
    return found


def output_size(notebook: Notebook) -> int:
    """Bytes of the outputs, as they are stored."""
    outputs = [cell["outputs"] for cell in code_cells(notebook)]
    return len(json.dumps(outputs, ensure_ascii=False).encode("utf-8"))


def outdated(source: fingerprint.Source, notebook: Notebook) -> list[str]:
    """What stored outputs are older than; of a notebook without any, that."""
    before = notebook["metadata"].get(KEY)
    if before is None:
        return ["nothing: it has not been executed"]
    now = fingerprint.again(source, sources(notebook), before)
    return fingerprint.changes(now, before)


def small(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs as they are stored: one stream for several, progress bars at their end, pictures in 256 colours."""
    kept: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] == "stream" and kept and kept[-1].get("name") == output["name"]:
            kept[-1]["text"] = "".join(kept[-1]["text"]) + "".join(output["text"])
        else:
            kept.append(output)
    for output in kept:
        if output["output_type"] == "stream":
            output["text"] = _as_seen("".join(output["text"])).splitlines(keepends=True)
        data = output.get("data", {})
        if "image/png" in data:
            data["image/png"] = _fewer_colors("".join(data["image/png"]))
            data.pop("text/html", None)  # a page of its own size; the picture stands for it
        if "execution_count" in output:
            output["execution_count"] = None
    return kept


def _as_seen(text: str) -> str:
    """Text as a terminal shows it: what comes after a carriage return replaces the line."""
    lines = (line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n"))
    return "\n".join(lines)


def _fewer_colors(png: str) -> str:
    from PIL import Image

    given = base64.b64decode(png)
    out = io.BytesIO()
    picture = Image.open(io.BytesIO(given)).convert("RGB")
    picture.quantize(_COLORS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return base64.b64encode(min(given, out.getvalue(), key=len)).decode("ascii")


def _without_paths(output: dict[str, Any], folder: Path) -> dict[str, Any]:
    """An output without the paths of the machine that made it."""
    text = json.dumps(output, ensure_ascii=False)
    text = re.sub(rf"{re.escape(str(folder))}/temporary/tmp\w+", "/tmp/example", text)
    for path, name in ((folder / "work", "."), (folder / "temporary", "/tmp"), (folder, "/tmp"), (ROOT, "minigpt")):
        text = text.replace(f"{path}/", f"{name}/" if name != "." else "").replace(str(path), name)
    return json.loads(text)


def in_turn() -> list[Path]:
    """Two notebooks that are executed to see that they still run: which, the commit says, and any two are as long.

    The shortest goes with the longest, and so on; a commit is a number, which chooses one of these pairs.
    """
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    commit = said.stdout.strip() or "0"  # in an archive without git, always the first pair
    by_time = sorted(NOTEBOOKS, key=lambda path: (read(path)["metadata"].get(KEY, {}).get("seconds", 0), path))
    pairs = (len(by_time) + 1) // 2
    chosen = int(commit, 16) % pairs
    other = by_time[-1 - chosen] if len(by_time) != 2 * chosen + 1 else by_time[0]  # the one in the middle has none
    return sorted([by_time[chosen], other])
