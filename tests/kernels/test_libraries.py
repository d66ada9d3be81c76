"""Compiled kernels are run, so what lies in their folder is ours, private and whole, or compiled anew."""

import os
import stat

import pytest

from minigpt.core.errors import UserNotice
from minigpt.kernels import emulator
from minigpt.kernels.emulator import Emulation, libraries

CODE = 'extern "C" __global__ void f(int* p) { p[0] = 1; }'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(emulator, "compiler", lambda: "a compiler")
    return tmp_path / "cache"


def test_a_cut_or_changed_library_is_compiled_anew(cache, monkeypatch):
    compiled = []

    def compile_(source, flags, library, *, instrument):
        compiled.append(library)
        made = library.with_name("made")
        made.write_bytes(b"machine code")
        libraries.keep(made, library)

    monkeypatch.setattr(emulator, "_compile", compile_)
    library = emulator._build(CODE, (), Emulation())
    assert emulator._build(CODE, (), Emulation()) == library and len(compiled) == 1
    for number, damage in enumerate((b"machine", b"", b"Machine code")):
        library.write_bytes(damage)
        assert emulator._build(CODE, (), Emulation()).read_bytes() == b"machine code" and len(compiled) == 2 + number
    library.with_suffix(".sha256").unlink()  # of before there were hashes, or put there by somebody
    emulator._build(CODE, (), Emulation())
    assert len(compiled) == 5


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_the_folder_is_private(cache, monkeypatch):
    folder = cache / "emulator"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert libraries.compiled_folder() == folder and stat.S_IMODE(folder.stat().st_mode) == 0o700
    owner = folder.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.warns(UserNotice, match="emulator belongs to another user; MINIGPT_CACHE names another folder"):
        own = libraries.compiled_folder()
    assert own != folder and stat.S_IMODE(own.stat().st_mode) == 0o700 and libraries.compiled_folder() == own


def test_a_cache_that_cannot_be_written_to_is_no_obstacle(cache):
    cache.write_text("a file where the folder should be")
    with pytest.warns(UserNotice, match="compiled anew in each process, because cannot make the folder"):
        assert libraries.compiled_folder().is_dir()
