"""Models by name: `huggingface_hub`'s own client against a hub on the loopback address, whatever goes wrong there."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import minigpt
from minigpt.models import GPT, GPTConfig

from ..interop.files import gpt2_folder
from .hub_server import MAIN, Hub

pytestmark = pytest.mark.parity

MODEL = GPT(GPTConfig(vocab_size=257, context=64, layers=4, heads=2, width=256))  # 13 MB
LOAD = "import minigpt, sys; m = minigpt.load(sys.argv[1], tokenizer=False); print(float(m.params.flat.sum()))"


@pytest.fixture
def hub(tmp_path):
    folder = gpt2_folder(tmp_path / "upload", MODEL)
    for harmful in ("pytorch_model.bin", "modeling_own.py", "model.onnx"):
        (folder / harmful).write_text("never fetched")
    server = Hub(someone__small=folder)
    yield server
    server.shutdown()


@pytest.fixture
def ask(hub, tmp_path):
    """Load a model by name in a process of its own: its exit status, stdout and stderr."""

    def load(name, **environment):
        settings = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        patience = "1" if hub.slow else "300"  # it hashes files, on a machine that may be slow
        settings |= {"HF_HUB_DOWNLOAD_TIMEOUT": patience, "HF_HUB_ETAG_TIMEOUT": patience}
        command = [sys.executable, "-m", "minigpt", "sample", name, "--tokens", "3", "--json"]
        if name.startswith("load:"):
            command = [sys.executable, "-c", LOAD, name.removeprefix("load:")]
        return subprocess.run(command, env=os.environ | settings | environment, capture_output=True, text=True)

    return load


def refused(done, *words):
    """The command ended with one sentence that has these words."""
    said = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert all(word in said for word in words), said
    return True


def test_a_model_by_name_has_its_weights(hub, ask, tmp_path):
    done = ask("load:someone/small")
    expected = minigpt.load(tmp_path / "upload", tokenizer=False).params.flat.sum()
    assert float(done.stdout) == pytest.approx(float(expected)), done.stderr
    files = {line.rpartition("/")[2] for line in hub.asked if "/resolve/" in line}
    assert files == {"config.json", "generation_config.json", "model.safetensors"}


def test_the_second_time_nothing_is_downloaded_and_offline_it_opens_too(hub, ask):
    first = ask("load:someone/small@main")
    hub.asked.clear()
    assert ask("load:someone/small@main").stdout == first.stdout
    assert not [line for line in hub.asked if "/resolve/" in line]
    hub.asked.clear()
    assert ask("load:someone/small@main", HF_HUB_OFFLINE="1").stdout == first.stdout
    assert hub.asked == []


def test_a_commit_opens_without_the_hub(hub, ask):
    first = ask(f"load:someone/small@{MAIN}")
    hub.shutdown()
    hub.server_close()  # or connections would be waited for, for as long as they may take
    assert ask(f"load:someone/small@{MAIN}").stdout == first.stdout


def test_offline_without_a_copy(ask):
    assert refused(ask("someone/small", HF_HUB_OFFLINE="1"), "there is no someone/small here; HF_HUB_OFFLINE is set")


def test_no_such_model_or_revision(ask):
    assert refused(ask("someone/none"), "there is no someone/none, neither a path here nor a model on the hub")
    assert refused(ask("someone/small@v9"), "someone/small has no revision v9")


def test_a_gated_model(hub, ask):
    hub.gated.add("someone/small")
    assert refused(ask("someone/small"), "someone/small is gated", "HF_TOKEN")


def test_no_network(ask):
    assert refused(ask("someone/small", HF_ENDPOINT="http://127.0.0.1:9"), "http://127.0.0.1:9 cannot be reached")


def test_a_hub_that_does_not_answer(hub, ask):
    hub.slow = True
    assert refused(ask("someone/small"), "cannot be reached")


def test_a_cut_connection_is_continued(hub, ask, tmp_path):
    hub.cuts = [11_000_000]
    expected = minigpt.load(tmp_path / "upload", tokenizer=False).params.flat.sum()
    assert float(ask("load:someone/small").stdout) == pytest.approx(float(expected))
    assert hub.ranges == [0, 10 * 1024**2]  # the client keeps pieces of 10 MB


def test_a_kill_does_not_wait_for_the_whole_download(hub, tmp_path):
    hub.holding.clear()
    settings = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "minigpt", "sample", "someone/small"]
    with subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE, text=True) as process:
        while not any(path.stat().st_size for path in tmp_path.rglob("*.incomplete")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        hub.holding.set()
        said = process.communicate()[1]
    assert process.returncode == 143 and said.endswith("minigpt: terminated\n")
    assert all(path.stat().st_size < 12_000_000 for path in tmp_path.rglob("home/**/*") if path.is_file())


def test_a_connection_that_keeps_breaking(hub, ask):
    hub.cuts = [0] * 100
    said = "someone/small@" + MAIN, "was not downloaded completely", "files that are complete are kept"
    assert refused(ask("someone/small"), *said)
    hub.cuts = []
    hub.asked.clear()
    assert ask("load:someone/small").returncode == 0
    assert [line.rpartition("/")[2] for line in hub.asked if line.startswith("GET someone")] == ["model.safetensors"]


def test_weights_that_are_not_what_their_hash_says(hub, ask, tmp_path):
    hub.lies = True
    assert refused(ask("someone/small"), "came damaged", "SHA-256")
    hub.lies = False
    assert ask("load:someone/small").returncode == 0


def test_a_model_of_pickles_only(hub, ask, tmp_path):
    (tmp_path / "upload" / "model.safetensors").unlink()
    assert refused(ask("someone/small"), "never from pickles")
    assert "bin" not in "".join(hub.asked)


def test_weights_in_several_files(hub, ask, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "upload"
    expected = float(minigpt.load(folder, tokenizer=False).params.flat.sum())
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for number, name in enumerate(sorted(tensors)):
        file = f"model-0000{number % 2 + 1}-of-00002.safetensors"
        weight_map[name] = file
    for file in set(weight_map.values()):
        save_file({n: np.ascontiguousarray(t) for n, t in tensors.items() if weight_map[n] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": ' + str(weight_map).replace("'", '"') + "}")
    assert float(ask("load:someone/small").stdout) == pytest.approx(expected)


def test_an_index_that_names_anything_else_is_refused(hub, ask, tmp_path):
    """A pattern in it would fetch pickles too."""
    (tmp_path / "upload" / "model.safetensors").unlink()
    for name in ("*", "pytorch_model.bin", "../config.json"):
        (tmp_path / "upload" / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"wte.weight": name}})
        )
        assert refused(ask("someone/small"), "model.safetensors.index.json is damaged")
    assert not [line for line in hub.asked if line.endswith((".bin", ".py", ".onnx"))]


def test_a_full_disk(hub, tmp_path):
    code = """
import errno, sys, huggingface_hub
def full(*arguments, **keywords): raise OSError(errno.ENOSPC, "No space left on device")
huggingface_hub.snapshot_download = full
from minigpt.cli import main
sys.exit(main(["sample", "someone/small"]))
"""
    settings = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | settings, capture_output=True, text=True)
    assert refused(done, "the disk is full", "someone/small")
