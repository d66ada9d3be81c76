"""What killed processes leave behind: it goes where they are known to be dead, and stays wherever they may live."""

import errno
import os
import subprocess
import sys

import pytest

from minigpt.core import files
from minigpt.core.errors import UserError


@pytest.mark.needs(sys.platform == "linux", "Linux, which says what numbers a process")
def test_only_what_dead_processes_of_this_machine_left_is_removed(tmp_path, monkeypatch):
    place = tmp_path / "log-1.json"
    living = files.unique(place, "unfinished")
    ended = subprocess.Popen(["true"])
    ended.wait()
    names = {}
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "getpid", lambda: ended.pid)
        names["dead"], names["folder"], names["replaced"] = (
            files.unique(place, why) for why in ("unfinished", "unfinished", "replaced")
        )
        patch.setattr(files, "_numbering", lambda: "0ther1dd")
        names["elsewhere"] = files.unique(place, "unfinished")
    stranger = living.with_name(living.name.replace(f"-{files.os.getpid()}-", "-99999999999999999999-"))
    for path in (living, names["dead"], names["replaced"], names["elsewhere"], stranger):
        path.write_text("half")
    names["folder"].mkdir()
    (names["folder"] / "part").write_text("half")
    files.remove_stale(tmp_path)
    stay = {living, names["replaced"], names["elsewhere"], stranger}
    assert set(tmp_path.iterdir()) == stay
    files.write_atomically(place, "whole")
    assert set(tmp_path.iterdir()) == {*stay, place}
    monkeypatch.setattr(files, "_numbering", lambda: "")  # a system that does not say
    files.remove_stale(tmp_path)
    assert set(tmp_path.iterdir()) == {*stay, place}


def test_what_cannot_be_written_is_called_as_it_would_be(tmp_path, monkeypatch):
    def write(path, pieces):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.disk, "write", write)
    place = tmp_path / "model"
    with pytest.raises(UserError) as said, files.new_folder(place) as beside:
        files.write_atomically(beside / "config.json", "{}")
    assert str(said.value) == f"cannot write {place / 'config.json'}: No space left on device"
    assert not list(tmp_path.iterdir())
