"""A malicious file costs only its own verdict: it ends, nothing of it stays, and what it forges counts for nothing."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.lab.check import sandbox
from minigpt.lab.check.report import check_source
from minigpt.lab.check.sandbox import Limits, run_job

SHORT = Limits(cpu=2, wall=6.0, memory=2**30)  # of what ends by nothing else
PATIENT = Limits(cpu=60, wall=600.0, memory=2**30)  # of what ends by itself, on a slow and busy machine too
PAIR = """
import numpy as np
def relu_forward(x):
    return np.maximum(x, 0), x
def relu_backward(dy, x):
    return dy * (x > 0)
"""
WRONG = PAIR.replace("dy * (x > 0)", "dy")
ATTACKS = {
    "an endless loop": "while True: pass",
    "fifty gigabytes": "x = np.ones(50 * 2**30 // 8)",
    "gigabytes by and by": "x = []\nwhile True: x.append(bytes(10**7))",
    "sys.exit": "import sys; sys.exit(0)",
    "os._exit": "import os; os._exit(0)",
    "a signal to itself": "import os; os.kill(os.getpid(), 9)",
    "a signal to its guard": "import os; os.kill(os.getppid(), 9)",
    "the reference": "import minigpt",
    "forking": "import os\nwhile True: os.fork()",
    "another program": "import subprocess; subprocess.run(['true'])",
    "another answer": "import os, sys\nopen(sys.argv[1] + '/out/told.json', 'w').write('[]'); os._exit(0)",
    "a link for an answer": "import os, sys\nos.symlink('/etc/passwd', sys.argv[1] + '/out/told.json'); os._exit(0)",
    "a pipe for an answer": "import os, sys\nos.mkfifo(sys.argv[1] + '/out/told.json'); os._exit(0)",
    "a pickle for arrays": (
        "import os, sys\nnp.savez(sys.argv[1] + '/out/arrays.npz', a=np.array([{}], dtype=object), allow_pickle=True)\n"
        "open(sys.argv[1] + '/out/told.json', 'w').write('{}'); os._exit(0)"
    ),
    "an answer of other kinds": (
        "import os, sys\nopen(sys.argv[1] + '/out/told.json', 'w').write('{\"runs\": [{\"y\": [1]}, 4]}')\n"
        "np.savez(sys.argv[1] + '/out/arrays.npz'); os._exit(0)"
    ),
    "nesting without end": (
        "import os, sys\nopen(sys.argv[1] + '/out/told.json', 'w').write('[' * 10**6)\n"
        "np.savez(sys.argv[1] + '/out/arrays.npz'); os._exit(0)"
    ),
}
KILLED = ("a signal to itself", "a signal to its guard")


def attacked(attack):
    report = check_source(WRONG + attack + "\n", limits=SHORT if attack == ATTACKS["an endless loop"] else PATIENT)
    return report.pairs[0]


def test_a_file_that_ends_or_forges_is_not_judged():
    verdict = attacked(ATTACKS["another answer"])
    assert verdict.status == "not judged" and verdict.reason


def test_a_guard_that_was_stopped_goes_on_and_is_ended(tmp_path, monkeypatch):
    did = []

    class Stopped:
        def wait(self, seconds):
            did.append("wait")
            raise subprocess.TimeoutExpired("guard", seconds)

        send_signal, kill = did.append, lambda self: did.append("kill")

    monkeypatch.setattr(sandbox.subprocess, "Popen", lambda *a, **k: Stopped())
    assert sandbox._run(tmp_path, SHORT, "child.py") == 124
    assert did == ["wait", signal.SIGTERM, signal.SIGCONT, "wait", "kill"]


def test_a_file_without_end_is_no_file():
    with pytest.raises(UserError, match="longer than a megabyte"):
        sandbox.need_plain_file("/dev/zero")


@pytest.mark.slow("test_a_file_that_ends_or_forges_is_not_judged: a process that gives no answer")
@pytest.mark.parametrize("result", ["np.ones(2**25)", "[np.ones(2**22)] * 10**4"])
def test_results_of_gigabytes_are_refused_before_they_are_copied(result):
    """What is slow to copy would end now by its size, now by the clock."""
    verdict = check_source(PAIR.replace("dy * (x > 0)", result), limits=PATIENT).pairs[0]
    assert verdict.status != "right" and "MemoryError: the results are too large together" in verdict.reason


@pytest.mark.slow("test_a_file_that_ends_or_forges_is_not_judged: a reason is said")
@pytest.mark.parametrize("condition", ["True", "x.ndim > 1"])
def test_an_error_in_backward_is_said_and_nothing_else_is_named(condition):
    wrong = PAIR.replace("return dy * (x > 0)", f"if {condition}: raise ValueError('no')\n    return dy * (x > 0)")
    verdict = check_source(wrong, limits=PATIENT).pairs[0]
    assert verdict.status == "wrong" and verdict.reason == "line 6: backward raised ValueError: no"
    assert verdict.explanation is None


@pytest.mark.slow("test_a_file_that_ends_or_forges_is_not_judged: the same of one attack")
@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_gets_a_good_verdict_or_stays(name):
    verdict = attacked(ATTACKS[name])
    assert verdict.status == "not judged" and verdict.reason
    assert ("took more than" in verdict.reason) == (name == "an endless loop")
    assert ("was killed: by itself" in verdict.reason) == (name in KILLED)


@pytest.mark.slow("test_a_file_that_ends_or_forges_is_not_judged: other ways of forging")
@pytest.mark.parametrize(
    "patch",
    [
        "print('right')\nimport sys\nsys.stdout.flush()",
        "import __main__\n__main__.one_run = lambda *a, **k: {'y': 'a0', 'status': 'right'}",
        "import __main__\n__main__.STEPS = (0.0, 0.0, 0.0, 0.0)",
        "np.array_equal = lambda *a, **k: True\nnp.allclose = lambda *a, **k: True",
    ],
)
def test_patching_the_runner_does_not_make_a_wrong_gradient_right(patch):
    assert attacked(patch).status != "right"


@pytest.mark.slow("test_no_attack_gets_a_good_verdict_or_stays: processes that leave the group")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux alone adopts orphans")
def test_a_process_that_slips_away_is_killed():
    """The hook is gone round by a module that knows no audit event; the guard finds the process all the same."""
    mark = f"minigpt-slipped-{os.getpid()}"
    attack = f"""
import _posixsubprocess, os, sys
read, write = os.pipe()
_posixsubprocess.fork_exec([b"/bin/sh", b"-c", b"exec sleep 300 # {mark}"], [b"/bin/sh"], True, (), None, None,
    -1, -1, -1, -1, -1, -1, read, write, True, True, 0, None, None, None, -1, None, False)
"""
    attacked(attack)
    for _ in range(600):  # it sleeps for 300 s
        if not running(mark):
            return
        time.sleep(0.1)
    raise AssertionError("a process is still there")


def running(mark):
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in process.read_bytes():
                found.append(process)
        except OSError:
            continue
    return found


@pytest.mark.slow("test_no_attack_gets_a_good_verdict_or_stays: the same inside bubblewrap")
@pytest.mark.needs(sandbox.protects_files(), "bubblewrap")
def test_inside_bubblewrap_no_file_is_seen(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    job = {"pair": {"kind": "functions", "forward": "f"}, "runs": []}
    answer = run_job(f"open({str(secret)!r}).read()", job, {"x": np.zeros(1)})
    assert answer.told["error"]["type"] == "FileNotFoundError"
    assert check_source(PAIR).status == 0
