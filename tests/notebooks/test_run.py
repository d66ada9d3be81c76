"""Every notebook runs from top to bottom in a fresh kernel: no error, no warning, nothing from the network."""

import time

import pytest

from .sources import NOTEBOOKS

pytestmark = pytest.mark.notebooks

PEAK = """
import resource, sys
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in kB, on macOS in bytes
print(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
"""
NOWHERE = "http://127.0.0.1:9"  # nobody listens on the discard port: a download fails at once


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path, tmp_path, monkeypatch, costs):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK))
    work = tmp_path / "work"
    work.mkdir()
    started = time.monotonic()
    NotebookClient(notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(work)}}).execute()
    costs[path.stem] = time.monotonic() - started, float(notebook.cells[-1].outputs[0].text)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", f"{path.name}, cell {cell.id}: {output.text}"
