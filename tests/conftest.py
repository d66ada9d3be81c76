"""Fixtures that all tests share: a cache of their own, and where the real corpora lie, if they do."""

import os
import signal
import tempfile
from pathlib import Path

# Tests are many and small: threads of the BLAS library would only wait for one another. Set before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Where Numba is installed, all processes and sessions share what it compiled; it is called by a hash of its source.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir(), f"minigpt-tests-{os.getuid()}")))

import pytest

from minigpt.cli import train as train_command
from minigpt.tasks import metrics

from .tiers import TIERS, Tiers, choose_examples

_DRAW_CURVES = train_command._draw_curves
REAL_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

TEXT = "".join(
    f"Line {i} says that {a} and {b} make {a + b}, and nobody minds.\n" for i in range(60) for a, b in [(i, i * 7 % 11)]
)


def pytest_addoption(parser):
    parser.addoption("--tier", choices=list(TIERS), default="core", help="how much to run; tests/tiers.py explains")


def pytest_configure(config):
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a background job of a shell
        signal.signal(signal.SIGINT, signal.default_int_handler)
    choose_examples(config)
    config.pluginmanager.register(Tiers(config), "tiers")


@pytest.fixture(scope="session", autouse=True)
def no_curves():
    """Drawing its curves is more than half of a tiny run's time; a test that looks at them asks for `curves`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_command, "_draw_curves", lambda run: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_resamples():
    """Intervals from fewer resamples: a thousand of them, through scikit-learn, are a second for each score."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "RESAMPLES", 100)
        yield


@pytest.fixture
def curves(no_curves, monkeypatch):
    monkeypatch.setattr(train_command, "_draw_curves", _DRAW_CURVES)


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    """A cache folder. Compiled kernels, called by a hash of all they are made of, are shared by processes side by side,
    and with whoever names a folder in MINIGPT_TEST_KERNELS.
    """
    own = tmp_path_factory.getbasetemp()
    together = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    kernels = Path(os.environ.get("MINIGPT_TEST_KERNELS", together / "kernels"))
    kernels.mkdir(parents=True, exist_ok=True)
    cache = own / "cache"
    cache.mkdir()
    (cache / "emulator").symlink_to(kernels)
    return cache


@pytest.fixture(autouse=True)
def own_cache(session_cache, monkeypatch):
    """No test reads or writes the user's cache or runs folder."""
    monkeypatch.setenv("MINIGPT_CACHE", str(session_cache))
    monkeypatch.delenv("MINIGPT_BACKEND", raising=False)


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def shakespeare():
    path = REAL_DATA / "corpora" / "tinyshakespeare.txt"
    if not path.exists():
        pytest.skip(f"the corpus {path} is not there")
    return path
