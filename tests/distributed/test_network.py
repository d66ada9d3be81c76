"""Three machines that are network namespaces with addresses of their own: a cable is pulled in the middle of a run."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from ..conftest import TEXT
from .launching import Ended, alone, is_locked, start
from .test_failures import arguments

NEEDED = sys.platform == "linux" and os.getuid() == 0 and shutil.which("ip") and shutil.which("unshare")
pytestmark = [pytest.mark.mpi, pytest.mark.needs(NEEDED, "the rights of root, and ip of iproute2")]
NET = "10.213.9"
REACH = """#!/bin/sh
# In the place of ssh: options, an address, a command.
while [ "${1#-}" != "$1" ]; do shift; done
name=NAME${1##*.}
shift
exec ip netns exec $name unshare --uts sh -c "hostname $name; exec $*"
"""


def ip(*words, check=True):
    subprocess.run(["ip", *words], check=check, capture_output=not check)


@pytest.fixture
def machines(tmp_path):
    """Names of three namespaces, each with a cable of the same name to a bridge, and what reaches them."""
    stem = f"mg{os.getpid() % 10_000}"
    names, bridge = [f"{stem}x{i}" for i in (1, 2, 3)], f"{stem}br"
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", f"{NET}.254/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for i, name in enumerate(names, 1):
            ip("netns", "add", name)
            ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", name, "master", bridge, "up")
            ip("-n", name, "addr", "add", f"{NET}.{i}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        reach = tmp_path / "reach"
        reach.write_text(REACH.replace("NAME", f"{stem}x"))
        reach.chmod(0o755)
        yield names, reach
    finally:
        for name in names:
            for process in pids(name):
                os.kill(process, 9)
            ip("link", "del", name, check=False)
            ip("netns", "del", name, check=False)
        ip("link", "del", bridge, check=False)


def pids(name):
    said = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    return [int(word) for word in said.stdout.split()]


def test_a_cable_is_pulled(machines, tmp_path):
    names, reach = machines
    (tmp_path / "text.txt").write_text(TEXT)
    run, hosts = tmp_path / "run", ",".join(f"{NET}.{i}" for i in (1, 2, 3))
    options = ["-launcher", "ssh", "-launcher-exec", str(reach), "-localhost", f"{NET}.254", "-hosts", hosts]
    # by TCP alone: they share a kernel, and MPI would find its memory faster than any cable
    tcp = {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "eth0", "MPIR_CVAR_NOLOCAL": "1"}
    line = arguments(tmp_path / "text.txt", run, steps=100_000, train__workers=3)
    nobody = {"rank": 3, "place": "step", "step": 13, "what": "stop"}  # so all of them are in a hurry from then on
    process = start(3, [{"arguments": line, "fault": nobody}], tmp_path, *options, **tcp)
    log, end = run / "log.jsonl", time.monotonic() + 600
    while not (log.exists() and log.read_text().count("\n") > 30) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.1)
    ip("link", "set", names[2], "down")
    said, _ = process.communicate(timeout=600)
    ended = Ended(process.returncode, said)
    assert ended.status != 0 and len(ended.errors) == 1, said
    assert "did not finish" in ended.errors[0] or "did not come back" in ended.errors[0], said  # MPI may block itself
    end = time.monotonic() + 120
    while (any(map(pids, names)) or is_locked(run)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(pids, names)) and not is_locked(run)
    steps = max(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*"))
    assert steps >= 9
    assert alone("train", "--resume", str(run), "--steps", str(steps + 2)) == 0
