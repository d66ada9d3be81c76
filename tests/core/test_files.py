"""What killed processes leave behind: it goes where they are known to be dead, and stays wherever they may live."""

import subprocess
import sys

import pytest

from minigpt.core import files


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
