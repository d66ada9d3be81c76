"""What stands in files reaches a terminal escaped, and a mistake of our own is one sentence and a report."""

import json
import sys

import pytest

from minigpt import tokenizers
from minigpt.cli import main
from minigpt.models import GPT, GPTConfig
from tests.interop.files import gpt2_folder


@pytest.fixture
def terminal(monkeypatch):
    """Whether stdout is a terminal."""

    def make(answer: bool) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: answer)

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that writes any byte."""
    model = GPT(GPTConfig(vocab_size=256, context=90, layers=1, heads=1, width=2))
    return gpt2_folder(tmp_path_factory.mktemp("model") / "hf", model, tokenizers.ByteTokenizer())


@pytest.mark.parametrize("shown", ["a\x1b[31mb", "\x9b2J", "\u202eabc", "a\rb"])
def test_decoded_text_is_escaped_on_a_terminal_alone(shown, terminal, capsysbinary, tmp_path):
    path = tokenizers.save(tokenizers.ByteTokenizer(), tmp_path / "tokenizer.json")
    ids = list(map(str, shown.encode("utf-8")))
    for answer in (False, True):
        terminal(answer)
        assert main(["tokenizer", "decode", str(path), *ids]) == 0
        written = capsysbinary.readouterr().out.decode("utf-8")
        assert (written == shown + "\n") is not answer
        assert answer is not any(c in written for c in "\x1b\x9b\u202e\r")


def test_generated_text_is_escaped_on_a_terminal_alone(folder, terminal, capsys):
    found = {}
    for answer in (False, True):
        terminal(answer)
        assert main(["sample", str(folder), "--prompt", "a", "--tokens", "80", "--temperature", "1"]) == 0
        found[answer] = capsys.readouterr().out
    controls = {chr(n) for n in (*range(9), 11, 12, *range(14, 32), 127)}
    assert controls & set(found[False]) and not controls & set(found[True])


def test_boundaries_of_tokens_are_escaped_with_and_without_colours(terminal, capsysbinary, tmp_path):
    path = tokenizers.save(tokenizers.CharTokenizer("ab\x1b"), tmp_path / "tokenizer.json")
    terminal(True)
    for colour, codes in (("never", 0), ("always", 6)):  # a colour begins and ends for each of three characters
        assert main(["tokenizer", "show", str(path), "a\x1bb", "--color", colour]) == 0
        written = capsysbinary.readouterr().out
        assert written.count(b"\x1b") == codes and rb"\x1b" in written


def test_names_in_a_file_are_escaped_in_its_error(folder, capsys, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "\x1b[2J" + "x" * 5000}))
    assert main(["sample", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error and r"\x1b[2J" in error and len(error) < 750
