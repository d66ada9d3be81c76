"""`minigpt data storyworld`: documents by number or bytes, of a kind and split, and the entropy's table."""

import itertools

import pytest

from minigpt.cli import main
from minigpt.data import storyworld

from .conftest import json_of


def test_documents_are_shown_with_blank_lines_between(capsys):
    assert main(["data", "storyworld", "--documents", "3", "--split", "dev", "--seed", "4"]) == 0
    expected = [one.text for one in itertools.islice(storyworld.stream(4, "dev"), 3)]
    assert capsys.readouterr().out == "\n\n".join(expected) + "\n"


def test_json_says_kind_and_log_p(capsys):
    values = json_of(capsys, "data", "storyworld", "--kind", "review", "--documents", "2", "--json")
    for found, one in zip(values["documents"], storyworld.stream(0, kind="review"), strict=False):
        assert found == {"text": one.text, "kind": "review", "log_p": one.log_p}


def test_a_file_of_so_many_bytes(tmp_path, capsys):
    out = tmp_path / "world.txt"
    values = json_of(capsys, "data", "storyworld", "--bytes", "5000", "--out", out, "--json")
    text = out.read_text(encoding="utf-8")
    assert values["bytes"] == len(text.encode()) and 5000 <= values["bytes"] + 1 < 6000
    documents = text.rstrip("\n").split("\n\n")
    assert len(documents) == values["documents"] and all(map(storyworld.derivations, documents))


def test_entropy_in_closed_form_beside_the_mean(capsys):
    values = json_of(capsys, "data", "storyworld", "--entropy", "--samples", "200", "--json")["entropy"]
    assert [*values] == [*storyworld.KINDS, "all"]
    for one in values.values():
        assert abs(one["sampled"] - one["nats"]) < 5 * one["error"]
    assert main(["data", "storyworld", "--entropy", "--samples", "10"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(values) + 1 and f"{values['story']['nats']:.4f}" in shown[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--kind", "poem"], "invalid choice: 'poem'"),
        (["--documents", "0"], "0 is below 1"),
        (["--documents", "2", "--bytes", "100"], "not allowed with argument"),
        (["--entropy", "--kind", "story"], "--entropy is of all kinds"),
        (["--out", "there"], "there exists already"),
        (["--out", ""], "--out is empty"),
        (["--out", "nowhere/a.txt"], "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, tmp_path, error):
    (tmp_path / "there").mkdir()
    assert sentence in error("data", "storyworld", *arguments)
