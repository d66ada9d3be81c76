"""What nobody foresaw is one sentence too, and a run outlives its terminal and its picture."""

import os
import re
import signal
import stat
from pathlib import Path

import pytest

from minigpt.__main__ import start
from minigpt.cli import info as info_command
from minigpt.cli import main, signals
from minigpt.cli import train as train_command
from minigpt.core.interrupts import held_back, noticed
from minigpt.lab import plot
from minigpt.train.log import read_log

from ..train.runs import arguments


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Make `minigpt info` fail in a way of one's own; reports of faults go into tmp_path."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("MINIGPT_TRACEBACK", raising=False)

    def fail(error):
        def run(args):
            raise error

        monkeypatch.setattr(info_command, "run", run)
        return main(["info"])

    return fail


def test_a_fault_is_one_sentence_and_a_report(failing, capsys, tmp_path):
    assert failing(ZeroDivisionError("by zero\nin two lines")) == 70
    said = capsys.readouterr()
    found = re.fullmatch(
        r"minigpt: error: this is a fault of minigpt, not yours \(ZeroDivisionError: by zero in two lines\); "
        r"please report it with the file (.*)\n",
        said.err,
    )
    report = Path(found[1])
    assert report.parent == tmp_path and said.out == ""
    text = report.read_text()
    assert "raise error\nZeroDivisionError: by zero" in text and "Python 3." in text and os.getcwd() in text
    if os.name != "nt":
        assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_a_fault_where_nothing_can_be_written(failing, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert failing(FileNotFoundError(2, "No such file or directory")) == 2  # as `os.getcwd` has it
    assert "minigpt: error: the current folder: No such file" in capsys.readouterr().err
    assert failing(ValueError()) == 70
    assert capsys.readouterr().err.endswith("(ValueError:); there is no place for a report of it\n")


def test_those_who_mend_it_see_the_traceback(failing, monkeypatch):
    monkeypatch.setenv("MINIGPT_TRACEBACK", "1")
    with pytest.raises(KeyError):
        failing(KeyError("x"))


def test_ctrl_c_while_a_library_is_imported(failing, capsys):
    """NumPy makes an ImportError of it."""
    error = ImportError("Error importing numpy")
    error.__cause__ = KeyboardInterrupt()
    assert failing(error) == 130 and capsys.readouterr().err == "minigpt: interrupted\n"


def test_ctrl_c_before_the_command_has_begun(monkeypatch, capsys):
    def main():
        raise KeyboardInterrupt

    monkeypatch.setattr("minigpt.cli.main", main)
    assert start() == 130 and capsys.readouterr().err == "minigpt: interrupted\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process at once")
def test_a_polite_kill_puts_away_what_is_held(monkeypatch, capsys):
    held, before = [], signal.getsignal(signal.SIGTERM)

    def run(args):
        held.append(1)
        try:
            with held_back():
                signal.raise_signal(signal.SIGTERM)
                held.append(2)
            held.append(3)
        finally:
            held.remove(1)

    monkeypatch.setattr(info_command, "run", run)
    monkeypatch.setattr("sys.argv", ["minigpt", "info"])
    assert main() == 143 and capsys.readouterr().err == "minigpt: terminated\n"
    assert held == [2] and signal.getsignal(signal.SIGTERM) is before


def test_a_signal_is_noticed_before_it_raises():
    """So threads that are waited for end, too."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), noticed() as came:
        signal.raise_signal(signal.SIGINT)
    assert came == [signal.SIGINT] and signal.getsignal(signal.SIGINT) is before


def test_a_library_that_cannot_be_loaded(failing, capsys, tmp_path):
    assert failing(ImportError("libx.so: cannot allocate memory")) == 2
    assert "a library cannot be loaded (libx.so: cannot allocate memory); is it" in capsys.readouterr().err
    assert not list(tmp_path.glob("minigpt-report*"))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signal")
def test_a_closed_terminal_ends_training_after_the_step(monkeypatch, capsys):
    """Twice, and with a kill besides, as some systems do; nothing is written to it any more."""
    let_go = []
    monkeypatch.setattr(signals, "_let_go_of_terminal", lambda: let_go.append(1))
    usual = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may themselves run under nohup
    try:
        with signals.stop_on_signals() as should_stop:
            assert not should_stop()
            for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
                os.kill(os.getpid(), number)
            assert should_stop() and len(let_go) == 2
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with signals.stop_on_signals() as should_stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not should_stop()
    finally:
        signal.signal(signal.SIGHUP, usual)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such devices")
def test_letting_go_of_the_terminal(tmp_path):
    """Of descriptors 0 to 2, those that are devices; a file that the output goes into stays."""
    pid = os.fork()
    if pid == 0:
        try:
            zero, file = os.open("/dev/zero", os.O_RDWR), os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
            os.dup2(zero, 0), os.dup2(file, 1), os.dup2(zero, 2)
            signals._let_go_of_terminal()
            os.write(1, b"kept")
            os._exit(0 if os.read(0, 1) == os.read(2, 1) == b"" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 and (tmp_path / "out").read_bytes() == b"kept"


def test_curves_that_cannot_be_drawn_cost_nothing(trained, tmp_path, monkeypatch, capsys):
    """matplotlib needs a folder for its fonts, and may find none."""

    def draw(run):
        raise OSError("Matplotlib requires access to a writable cache directory")

    monkeypatch.setattr(train_command, "_draw_curves", draw)
    assert main(arguments(trained[0], tmp_path / "run", 1)) == 0
    assert "minigpt: no curves were drawn: Matplotlib requires access" in capsys.readouterr().err


def test_a_picture_of_a_long_log_has_all_evaluations_and_some_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "_FEW", 10)
    lines = [f'{{"step": {n}, "loss": {n}.5}}\n' for n in range(1, 96)]
    lines[40:40] = ['{"step": 41, "val_loss": 2.0}\n']
    (tmp_path / "log.jsonl").write_text("".join(lines))
    found = plot.thinned_log(tmp_path)
    assert [x["step"] for x in found if "val_loss" in x] == [41]
    assert [x["step"] for x in found if "loss" in x] == [1, 11, 21, 31, 50, 60, 70, 80, 90]
    assert len(read_log(tmp_path)) == 96
