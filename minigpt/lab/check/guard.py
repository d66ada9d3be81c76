"""Stands between us and a learner's process: limits it, waits for it, and ends it with everything that it started.

Started as `python -I -S guard.py LIMITS COMMAND…`, with LIMITS as JSON. On Linux it adopts whatever its descendants
leave behind, so a process that forks away, or makes a session of its own, is found and killed too. Exit status: 0, or
124 for too much time, 125 for too much memory or too many processes, 126 for a command that somebody else killed, 1 for
one that ended by itself with something else.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time

POLL = 0.02  # seconds
_SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER


def adopt_orphans():
    """Whatever a descendant leaves behind becomes our child, not init's (Linux alone)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def limit(limits):
    """Of the process about to start, and of all that it starts."""
    os.setsid()
    for name, value in (
        (resource.RLIMIT_CPU, limits["cpu"]),
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(name, (value, value))


def descendants():
    """Every process below this one."""
    found, left = [], [os.getpid()]
    while left:
        process = left.pop()
        try:
            threads = os.listdir(f"/proc/{process}/task")
        except OSError:
            continue
        for thread in threads:
            with contextlib.suppress(OSError), open(f"/proc/{process}/task/{thread}/children") as file:
                children = [int(word) for word in file.read().split()]
                found += children
                left += children
    return found


def resident(processes):
    """The memory that processes hold, in bytes."""
    pages = 0
    for process in processes:
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{process}/statm") as file:
            pages += int(file.read().split()[1])
    return pages * resource.getpagesize()


def end_all(first):
    """Kill the process's group and every descendant, again until none is left."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            os.killpg(first, signal.SIGKILL)
        left = descendants()
        for process in left:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not left:
            return
        time.sleep(0.005)


def watch(first, limits):
    """Wait for the command; its status, or why it was stopped."""
    deadline = time.monotonic() + limits["wall"]
    while True:
        process, status, used = os.wait4(first, os.WNOHANG)
        if process:
            ended = os.waitstatus_to_exitcode(status)
            if (ended - 128 if ended > 128 else -ended) in (signal.SIGXCPU, signal.SIGKILL):  # 128: bubblewrap's way
                return 124 if used.ru_utime + used.ru_stime > 0.9 * limits["cpu"] else 126
            return 1 if ended else 0
        if time.monotonic() > deadline:
            return 124
        below = descendants()
        if len(below) > limits["processes"] or resident(below) > limits["memory"]:
            return 125
        time.sleep(POLL)


def main():
    limits, command = json.loads(sys.argv[1]), sys.argv[2:]
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(124))
    status, first = 124, 0
    try:
        first = os.fork()
        if first == 0:
            try:
                limit(limits)
                os.execv(command[0], command)
            finally:
                os._exit(126)
        status = watch(first, limits)
    finally:
        end_all(first)
    sys.exit(status)


if __name__ == "__main__":
    main()
