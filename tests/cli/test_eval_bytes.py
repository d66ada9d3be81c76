"""`minigpt eval` divides by the bytes that `wc -c` counts, whatever the tokenizer makes of them."""

import math
import os

import pytest

from minigpt.cli import main

from ..tiers import some
from ..tokenizers.test_sentencepiece import model_file
from ..tokenizers.texts import SAMPLE, little_llama
from ..train.runs import arguments
from .conftest import json_of

TEXT = SAMPLE.replace("\r\n", "\n") * 3
OTHERS = [
    "\ufeff  The CAT…\r\nİ ﬁve\u2028 café\x85 é  \t x\x0c\r\n\r\nsaid:  no line break at the end ☃ ",
    "the bird\r\n\r\n\n  The Dog \n",
]
# How many bytes of the first text its first token has, by hand.
FIRST = {
    "char": 1,  # a space
    "byte": 1,
    "bpe:280": 1,  # Ġ, since the second space goes with The
    "gpt:120": 3,  # the
    "wordpiece:120": 3,  # the
    "tokenizer.model": 1,  # ▁▁, whose first space was put in front
}
DOCUMENTS = {"objective__end_of_text": "true", "objective__separator": '"\\n"', "data__tokenizer": "bpe:280"}


@pytest.fixture
def others(tmp_path):
    paths = [tmp_path / f"{n}.txt" for n in range(len(OTHERS))]
    for path, content in zip(paths, OTHERS, strict=True):
        path.write_bytes(content.encode())
    return paths


def trained(folder, text, **changed):
    """A run of one step on a text."""
    path = folder / "text.txt"
    path.write_bytes(text.encode())
    (folder / "tokenizer.model").write_bytes(model_file(little_llama()))
    assert main(arguments(path, folder / "run", 1, model__context=8, train__workers=1, **changed)) == 0
    return folder / "run"


def check(result, size):
    assert result["bytes"] == size
    assert result["bits_per_byte"] == pytest.approx(result["loss"] * result["tokens"] / math.log(2) / size, rel=1e-12)


@pytest.mark.parametrize(
    "kind", some(FIRST, ["wordpiece:120", "tokenizer.model"], "the same with two tokenizers that change the text")
)
def test_bytes_are_the_files(kind, others, tmp_path, capsys):
    text = TEXT + "".join(OTHERS).replace("\ufeff", "") * (kind == "char")
    tokenizer = kind if ":" in kind or "." not in kind else str(tmp_path / kind)
    run = trained(tmp_path, text, data__tokenizer=tokenizer)
    sizes = [os.path.getsize(path) for path in others]
    check(json_of(capsys, "eval", run, "--data", others[0], "--json"), sizes[0] - FIRST[kind])
    both = ("--data", others[0], "--data", others[1])
    check(json_of(capsys, "eval", run, *both, "--json"), sum(sizes) - FIRST[kind])
    assert main(["eval", str(run), *map(str, both)]) == 0
    assert f"tokens of {sum(sizes) - FIRST[kind]} bytes" in capsys.readouterr().out
    part = json_of(capsys, "eval", run, "--json")
    assert 0 < part["bytes"] < 0.2 * os.path.getsize(tmp_path / "text.txt")
    if kind == "byte":
        assert part["bytes"] == part["tokens"]


def test_the_validation_part_is_the_end_of_the_file(tmp_path, capsys):
    """A tenth of the characters, of which the first is not predicted."""
    text = "é☃a\r\n" * 100 + "z"
    run = trained(tmp_path, text, data__tokenizer="char")
    check(json_of(capsys, "eval", run, "--json"), len(text[int(len(text) * 0.9) + 1 :].encode()))


@pytest.mark.parametrize("sampling", some(["random", "documents"], ["documents"], "the same with rows of documents"))
def test_documents_count_without_what_separates_them(sampling, others, tmp_path, capsys):
    run = trained(tmp_path, TEXT, objective__sampling=sampling, **DOCUMENTS)
    # In rows the first token stands behind an end-of-text token, and is predicted.
    between = len("\r\n\r\n" + "\r\n\r\n\n" + "\n")  # blank lines, and line breaks at a document's end
    size = sum(map(os.path.getsize, others)) - between - (FIRST["bpe:280"] if sampling == "random" else 0)
    check(json_of(capsys, "eval", run, "--data", others[0], "--data", others[1], "--json"), size)
    others[0].write_text("a")
    result = json_of(capsys, "eval", run, "--data", others[0], "--json")
    if sampling == "random":  # an end is all that is predicted
        assert result["bytes"] == 0 and result["bits_per_byte"] == math.inf
    else:
        check(result, 1)


@pytest.mark.slow("test_bytes_are_the_files: the same for models that continue a text")
def test_continuations_are_of_the_files_bytes(others, tmp_path, capsys):
    (tmp_path / "text").write_text(TEXT)
    sets = ["train.steps=1", "train.eval_every=1", "train.workers=1", "model.width=16", "model.heads=2"]
    sets += ["model.context=8", "schedule.warmup=1", "train.batch=2", "data.tokenizer=bpe:280"]
    run, more = tmp_path / "run", [part for setting in sets for part in ("--set", setting)]
    assert main(["train", "transformer-tiny", "--data", str(tmp_path / "text"), "--out", str(run), *more]) == 0
    size = sum(map(os.path.getsize, others)) - FIRST["bpe:280"]
    check(json_of(capsys, "eval", run, "--data", others[0], "--data", others[1], "--json"), size)
