"""A process locks itself in before it runs a student's code: what it may read, and which calls the kernel refuses.

Two locks of Linux, which need no rights and cannot be opened again. Landlock: of the machine's files, only Python's
library, NumPy and the process's own folder can be read, and none can be written. Seccomp (x86-64 alone): no new
process, thread or program, no signal to another one, no network, no file opened for writing, removed or renamed, no
memory that the limits do not count. Behind them an audit hook says the same in words, wherever Python runs.

The student's process has a copy of this file.
"""

import ctypes
import glob
import os
import platform
import struct
import sys
import sysconfig

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # landlock's system calls
_ALL = (1 << 13) - 1  # what landlock's first version knows: execute, write, read, list, remove, make
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3

# x86-64's numbers. Processes, threads (many would fill the machine's table) and signals:
_REFUSED = [56, 57, 58, 59, 62, 129, 200, 234, 297, 322, 424, 434, 438]
_REFUSED += [101, 310, 311, 440, 160, 302, 272, 308]  # other processes' memory, limits and namespaces
_REFUSED += [141, 142, 144, 151, 203, 251, 314]  # priorities, and memory that cannot be swapped out
_REFUSED += [41, 42, 49, 53, 29, 30, 64, 68, 240, 319, 447, 425]  # network, shared memory, io_uring
_REFUSED += [76, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 93, 94, 132, 133, 188, 189, 190, 235]  # changes of files
_REFUSED += [258, 259, 260, 261, 263, 264, 265, 266, 268, 280, 316, 437, 452]
_REFUSED += [155, 159, 161, 163, 164, 165, 166, 167, 169, 170, 171, 172, 173, 175, 176, 227, 246, 248, 249, 250]
_REFUSED += [
    103,
    153,
    168,
    179,
    298,
    300,
    304,
    305,
    313,
    321,
    323,
    428,
    429,
    430,
    431,
    432,
    433,
    442,
]  # the machine itself, and the kernel's own machinery
_CLONE3, _OPEN, _OPENAT = 435, 2, 257
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

FORBIDDEN = {"os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec", "os.spawn", "os.kill", "os.killpg"}
FORBIDDEN |= {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
FORBIDDEN |= {"os.chown", "os.utime", "os.setxattr", "subprocess.Popen", "pty.spawn", "resource.setrlimit"}
FORBIDDEN |= {"resource.prlimit", "signal.pthread_kill", "shutil.rmtree", "shutil.move"}


def landlock():
    """The version of Landlock that this kernel has; 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, ctypes.CDLL(None).syscall(_CREATE, None, ctypes.c_size_t(0), 1))


def seccomp():
    """Whether the filter of system calls can be set here."""
    return sys.platform.startswith("linux") and platform.machine() == "x86_64" and struct.calcsize("P") == 8


def readable(folder):
    """The files and folders that may be read: Python's library without other packages, NumPy, and the own folder."""
    library = sysconfig.get_path("stdlib")
    found = [os.path.join(library, name) for name in os.listdir(library) if not name.endswith("-packages")]
    found += ["/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu", "/proc/cpuinfo"]
    found += glob.glob("/lib/*-linux-gnu") + glob.glob("/usr/lib/*-linux-gnu")
    found += [folder, *(os.path.join(folder, "lib", name) for name in os.listdir(os.path.join(folder, "lib")))]
    return sorted({os.path.realpath(path) for path in found if os.path.exists(path)})


def lock(folder):
    """Lock this process in, as far as the system can."""
    import resource  # Windows has none, but asks what locks there are

    paths = readable(folder)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if landlock():
            _allow_reading(libc, paths)
        if seccomp():
            _refuse_calls(libc)
    sys.addaudithook(_hook(tuple(paths)))


def _allow_reading(libc, paths):
    # From version 6 on, also no signals to processes outside, and no sockets of theirs without a file.
    attribute = struct.pack("QQQ", _ALL, 0, 3) if landlock() >= 6 else struct.pack("Q", _ALL)
    rules = libc.syscall(_CREATE, attribute, ctypes.c_size_t(len(attribute)), 0)
    if rules < 0:
        raise OSError(ctypes.get_errno(), "no landlock rules")
    for path in paths:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = _READ_FILE | (_READ_FOLDER if os.path.isdir(path) else 0)
        libc.syscall(_ADD, rules, 1, struct.pack("=Qi", rights, handle), 0)
        os.close(handle)
    if libc.syscall(_RESTRICT, rules, 0):
        raise OSError(ctypes.get_errno(), "landlock does not hold")
    os.close(rules)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def _refuse_calls(libc):
    """A filter of the kernel: it looks at the number of a call, and where a file is opened at how."""
    load, equal, any_of, at_least, end = 0x20, 0x15, 0x45, 0x35, 0x06
    refuse, unknown, allow, kill = 0x50000 | 1, 0x50000 | 38, 0x7FFF0000, 0x80000000
    steps = [(load, 0, 0, 4), (equal, 1, 0, 0xC000003E), (end, 0, 0, kill), (load, 0, 0, 0)]
    steps += [(at_least, 0, 1, 0x40000000), (end, 0, 0, refuse)]  # the numbers of the x32 calls
    for number in _REFUSED:
        steps += [(equal, 0, 1, number), (end, 0, 0, refuse)]
    steps += [(equal, 0, 1, _CLONE3), (end, 0, 0, unknown)]  # libraries go back to clone
    for number, offset in ((_OPEN, 24), (_OPENAT, 32)):
        steps += [(equal, 0, 4, number), (load, 0, 0, offset), (any_of, 0, 1, _WRITING), (end, 0, 0, refuse)]
        steps += [(end, 0, 0, allow)]
    steps.append((end, 0, 0, allow))
    program = _Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    if libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the filter of system calls does not hold")


def _hook(paths):
    def forbid(event, arguments):
        if event in FORBIDDEN or event.startswith("socket."):
            raise PermissionError(f"an answer may not use {event}")
        if event == "import" and arguments[0].split(".")[0] == "minigpt":
            raise ImportError("an answer may not use minigpt: NumPy and the standard library are there")
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if arguments[2] & _WRITING or not any(path == p or path.startswith(p + "/") for p in paths):
                raise PermissionError("an answer may neither write files nor read others than Python's own")

    return forbid
