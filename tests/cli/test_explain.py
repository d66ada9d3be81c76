"""`minigpt explain`: the page is written, its film is the run's own, and what cannot be shown is said."""

import json
import re

import numpy as np
import pytest

import minigpt
from minigpt.cli import main
from minigpt.lab.explain.arrays import unpacked
from minigpt.lab.explain.batches import make_row
from minigpt.lab.inspect import attention_maps
from minigpt.train.log import read_log

from ..notebooks.sources import FOLDER
from ..train.runs import train
from .conftest import json_of

BERT = FOLDER.parent / "data" / "checkpoints" / "bert-tiny"


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """Drawing the still picture is most of a small page's time; test_page draws one."""
    monkeypatch.setattr("minigpt.lab.explain.still", lambda data: b"")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that keeps its checkpoints of steps 3, 6, 9 and 10."""
    folder = tmp_path_factory.mktemp("explain")
    text = folder / "text.txt"
    text.write_text("".join(f"{i} plus {i} is {i + i}.\n" for i in range(200)))
    patch = pytest.MonkeyPatch()
    patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
    assert train(text, folder / "run", 10, train__checkpoint_every=3, train__keep_checkpoints=4) == 0
    patch.undo()
    return folder / "run"


def data_of(page):
    """What a page holds, each array's numbers at their place again."""
    text = page.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))
    numbers = "".join(re.findall(r'class="numbers">(.*?)</script>', text, re.S))
    return {**data, "arrays": [{**entry, "data": numbers[slice(*entry["data"])]} for entry in data["arrays"]]}


@pytest.mark.slow("test_page: what a page holds, but for the film")
def test_the_page_and_its_film(run, tmp_path, capsys):
    out = tmp_path / "page.html"
    said = json_of(capsys, "explain", run, "--prompt", "1 plus", "--out", out, "--replay", "--json")
    data = data_of(out)
    assert said == {"page": str(out), "steps": len(data["steps"]), "loss": data["loss"], "bytes": out.stat().st_size}
    film = data["replay"]
    assert [c["step"] for c in film["checkpoints"]] == [3, 6, 9, 10]
    for checkpoint in film["checkpoints"]:
        m = minigpt.load(run / "checkpoints" / f"step-{checkpoint['step']}")
        ids = m.tokenizer.encode("1 plus")
        assert checkpoint["loss"] == pytest.approx(m.loss_and_grads([ids])[0], rel=1e-5)
        first = next(iter(attention_maps(m.model, m.params, ids).values()))[0]
        entry = data["arrays"][checkpoint["attention"][0]]
        assert np.allclose(unpacked(entry, data["holes"]), first, atol=1e-6)
    assert data["loss"] == pytest.approx(film["checkpoints"][-1]["loss"], rel=1e-6)
    logged = [line["val_loss"] for line in read_log(run) if "val_loss" in line]
    assert [loss for _, loss in film["curve"]["validation"]] == logged


def test_mistakes_are_one_sentence(tmp_path, error):
    ask = ("explain", BERT, "--prompt", "The [MASK] ran.")
    (tmp_path / "there.html").write_text("mine")
    assert "does not end in .html, and HTML is what is written" in error(*ask, "--out", "page.png")
    assert "replace it with --force" in error(*ask, "--out", "there.html")
    assert "there is no layer 9" in error(*ask, "--out", "page.html", "--layers", "9")
    assert "there is no head 7" in error(*ask, "--out", "page.html", "--heads", "7")
    assert "shorten it" in error("explain", BERT, "--prompt", "cat " * 99, "--out", "page.html")
    assert "--replay needs several" in error(*ask, "--out", "page.html", "--replay")
    assert "--target has 2 tokens" in error(*ask, "--target", "dog cat", "--out", "page.html")
    assert "needs --prompt TEXT, or --kernels" in error("explain", BERT, "--out", "page.html")
    assert "has no use for RUN, --prompt" in error(*ask, "--kernels", "--out", "page.html")
    assert not (tmp_path / "page.html").exists() and (tmp_path / "there.html").read_text() == "mine"


@pytest.mark.slow("test_mistakes_are_one_sentence and test_page: the command, and what it calls")
def test_a_page_takes_the_place_of_another_by_force(tmp_path):
    out = tmp_path / "there.html"
    out.write_text("mine")
    ask = ["explain", str(BERT), "--prompt", "The [MASK] ran.", "--layers", "1", "--heads", "2", "--out", str(out)]
    assert main([*ask, "--force"]) == 0
    assert data_of(out)["heads"][0]["place"].startswith("blocks.0") and data_of(out)["headsShown"] == [1]


def test_kernels_need_a_compiler(tmp_path, error, monkeypatch):
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    said = error("explain", "--kernels", "--out", "page.html")
    assert "the emulator compiles kernels with a C++ compiler" in said and not (tmp_path / "page.html").exists()


@pytest.mark.slow("test_kernel_page: what is on it")
def test_the_page_of_the_kernels(tmp_path, capsys):
    out = tmp_path / "kernels.html"
    said = json_of(capsys, "explain", "--kernels", "--out", out, "--json")
    assert said == {"page": str(out), "steps": 43, "bytes": out.stat().st_size} and said["bytes"] < 5_000_000


def test_bert_says_what_was_hidden():
    m = minigpt.load(BERT)
    given = make_row(m, "The dog saw [MASK] in the garden.", "cat")
    assert given.targets == m.tokenizer.encode("cat") and given.lists["places"] == ["[MASK] at 4"]
    guessed = make_row(m, "The dog saw [MASK] in the garden.")
    scores = m.logits([guessed.ids["tokens"]]).prediction_logits[0]
    assert guessed.targets == [int(scores[4].argmax())]
    hidden = make_row(m, "The dog saw the cat in the garden.")
    mask = m.tokenizer.special_tokens["[MASK]"]
    places = [n for n, i in enumerate(hidden.ids["tokens"]) if i == mask]
    whole = [2, *m.tokenizer.encode("The dog saw the cat in the garden."), 3]
    assert places and hidden.targets == [whole[n] for n in places]
