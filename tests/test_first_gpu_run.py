"""The script for a first GPU: stages have their time and no more, whatever becomes of them; results become a page."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import gpu_tables

ROOT = Path(__file__).resolve().parents[1]
PLAN = ROOT / "tools" / "first_gpu_run.plan"
REHEARSED = """# name, seconds, command
good     30  echo measured
bad      30  echo wrong; exit 3
late      1  echo begun; sleep 300 & sleep 300
absent   30  no-such-profiler --csv
after    30  echo "with a $OUT"
never    30  echo "there is no time left"
"""


def stages(folder):
    return {one["stage"]: one for one in map(json.loads, (folder / "stages.jsonl").read_text().splitlines())}


@pytest.mark.slow("test_the_page_says_what_was_measured_and_what_was_not: of stages that were run before")
def test_every_stage_has_its_time_and_no_more(tmp_path):
    (tmp_path / "plan").write_text(REHEARSED.replace("never    30", "never    30  sleep 500;"))
    environment = os.environ | {"OUT": str(tmp_path), "PYTHON": sys.executable, "SECONDS_IN_ALL": "6", "PATIENCE": "4"}
    command = [ROOT / "tools" / "first_gpu_run.sh", tmp_path / "plan"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    found = stages(tmp_path)
    assert done.returncode == 1 and done.stdout.count("\n") == 6
    assert [one["status"] for one in found.values()] == [
        *("passed", "failed (3)", "timed out", "not there", "passed", "timed out"),
    ]
    assert (
        found["late"]["limit"] == 4
        and found["late"]["seconds"] < 300  # that it sleeps for, on however slow a machine
        and found["never"]["seconds"] < 500
    )
    assert found["never"]["limit"] <= 20  # of 120: all stages together have 24, of which another has used 4
    assert (tmp_path / "late.txt").read_text() == "begun\n" and f"with a {tmp_path}" in (
        tmp_path / "after.txt"
    ).read_text()
    assert "| late | timed out |" in (tmp_path / "tables.md").read_text()


def test_the_plan_fits_its_time():
    lines = [line.split(maxsplit=2) for line in PLAN.read_text().splitlines() if line and line[0] != "#"]
    names = [name for name, _, _ in lines]
    assert sum(int(seconds) for _, seconds, _ in lines) <= 600 and len(set(names)) == len(names)
    assert names[:3] == ["machine", "calls", "ptx"] and names[-1] == "compiled"


def test_the_page_says_what_was_measured_and_what_was_not(tmp_path):
    one = {"ms": 0.5, "host_ms": 0.02, "flops_per_second": 2e14}
    rows = {"cuda:mma": {"forward": one, "backward": one}, "torch flash_attention": {"problem": "no kernel"}}
    files = {
        "machine.json": {
            "device": "NVIDIA H200",
            "date": "2027-01-02",
            "versions": {"python": "3.11.7", "cupy-cuda12x": "14.2.0"},
            "ceilings": {"measured": {"flops": 7e14, "bytes": 4.2e12}},
            "times": {"bfloat16 add, ms": 0.1, "bytes of an add": 4e8},
        },
        "attention.json": {"dtype": "bfloat16", "shapes": {"8x12x1024x64": rows}},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "stages.jsonl").write_text(
        '{"stage": "step", "status": "timed out", "seconds": 62, "limit": 60, "processor": 1.5}\n'
    )
    page = gpu_tables.page(tmp_path)
    assert "NVIDIA H200, 2027-01-02; python 3.11.7, cupy-cuda12x 14.2.0." in page
    assert "a bfloat16 add moves 4,000 GB/s" in page and "| step | timed out | 62 | 60 | 1.5 |" in page
    assert "| 8x12x1024x64 | cuda:mma | forward | 0.023 | 0.500 | 0.020 | 200.0 |" in page  # half of 96/128 of 0.061
    assert "left out: no kernel" in page and page.count("Not measured.") == 3
