"""What a loss lies between: the floor is −Σ log p over the tokens, and a run says how far it has come."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest

import minigpt
from minigpt import tokenizers
from minigpt.cli import main
from minigpt.data import storyworld
from minigpt.data.packing import pack
from minigpt.lab.plot import training_figure
from minigpt.train.objectives import causal
from minigpt.train.objectives.causal import CausalObjective
from minigpt.train.objectives.landmarks import Landmarks, Surveyor, floor_of

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture(scope="module")
def world():
    """Documents, a tokenizer, and the documents packed."""
    documents = list(itertools.islice(storyworld.stream(0), 400))
    tokenizer = tokenizers.train("bpe", [one.text for one in documents], 400, special_tokens=(END_OF_TEXT,))
    end = tokenizer.special_tokens[END_OF_TEXT]
    ids = np.array([i for one in documents for i in (*tokenizer.encode(one.text), end)])
    return documents, tokenizer, pack(ids, end, 512, 0.25)


def test_the_floor_is_minus_log_p_over_the_tokens(world):
    documents, tokenizer, (_, validation) = world
    tokens = sum(len(tokenizer.encode(one.text)) + 1 for one in documents[300:])
    expected = -math.fsum(one.log_p for one in documents[300:]) / tokens
    assert floor_of(validation, tokenizer) == pytest.approx(expected, rel=1e-12)


def test_landmarks_of_some_rows_and_of_all(world):
    _, tokenizer, (train, validation) = world
    surveyor = Surveyor(train, validation, tokenizer)
    whole = surveyor.landmarks(validation.evenly(None))
    some = surveyor.landmarks(validation.evenly(1000))
    assert whole != some and whole.floor < whole.ngram < math.log(tokenizer.vocab_size)
    assert whole == Surveyor(train, validation, tokenizer).landmarks(validation.evenly(None))


def test_other_texts_have_no_floor(world):
    documents, tokenizer, _ = world
    end = tokenizer.special_tokens[END_OF_TEXT]
    other = [*tokenizer.encode(documents[0].text), end, *tokenizer.encode("Once upon a time."), end]
    assert floor_of(pack(np.array(other), end, 512)[0], tokenizer) is None
    cut = pack(np.array([*tokenizer.encode(documents[0].text), end]), end, 20)[0]  # a document longer than a row
    assert floor_of(cut, tokenizer) is None


def test_the_share_is_0_at_the_n_grams_and_1_at_the_floor():
    marks = Landmarks(ngram=1.5, floor=0.5)
    assert [marks.share(loss) for loss in (1.5, 0.5, 0.75, 2.0)] == [0.0, 1.0, 0.75, -0.5]
    assert marks.values(0.75) == {"ngram": 1.5, "floor": 0.5, "share": 0.75}
    assert marks.sentence(0.75) == "5-grams 1.5000, floor 0.5000: 75.0% of the way"
    assert marks.sentence(7.2) == "5-grams 1.5000, floor 0.5000: not yet as good as 5-grams"  # an untrained model


SMALL = [
    *("--set", "model.width=16", "--set", "model.layers=1", "--set", "train.batch=2", "--tokenizer", "bpe:400"),
    *("--set", "train.eval_every=2", "--set", "train.eval_tokens=500", "--set", "sample.tokens=20"),
]


def test_a_run_says_how_far_it_has_come(tmp_path, capsys):
    text, run = tmp_path / "world.txt", tmp_path / "run"
    assert main(["data", "storyworld", "--documents", "200", "--out", str(text)]) == 0
    capsys.readouterr()
    whole = ["--set", "model.context=400"]  # no document is longer than a row
    assert main(["train", "--data", str(text), "--out", str(run), "--steps", "4", *SMALL, *whole, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["share"] == pytest.approx(Landmarks(values["ngram"], values["floor"]).share(values["val_loss"]))
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    evaluated = [line for line in lines if "val_loss" in line]
    assert len(evaluated) == 3 and all(line["floor"] < line["ngram"] < line["val_loss"] for line in evaluated)
    assert evaluated[-1]["floor"] == values["floor"]

    labels = [line.get_label() for line in training_figure(run).axes[0].lines]
    assert f"5-grams ({values['ngram']:.3f})" in labels and f"floor ({values['floor']:.3f})" in labels

    assert main(["eval", str(run), "--baseline", "--json"]) == 0
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation["floor"] == pytest.approx(values["floor"])
    assert evaluation["baseline_loss"] == pytest.approx(values["ngram"])
    assert evaluation["share"] == pytest.approx(values["share"], abs=1e-6)
    assert main(["eval", str(run), "--baseline"]) == 0
    assert "the floor of this text" in capsys.readouterr().out


def test_a_text_of_another_kind_is_trained_on_without_a_floor(text_file, tmp_path, capsys):
    run = tmp_path / "run"
    arguments = ["train", "--data", str(text_file), "--out", str(run), "--steps", "2", "--set", "model.context=16"]
    assert main([*arguments, *SMALL, "--json"]) == 0
    assert "floor" not in json.loads(capsys.readouterr().out)
    assert main(["eval", str(run), "--baseline", "--json"]) == 0
    assert "floor" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("objective.end_of_text=false", 'objective.sampling = "documents" needs objective.end_of_text = true'),
        ("objective.sampling=rows", 'choose "random", "epochs" or "documents"'),
        ("model.positions_init=zero", 'model.positions_init is \'zero\'; choose "normal" or "sinusoidal"'),
    ],
)
def test_settings_that_cannot_be(setting, sentence, capsys):
    off = ["--set", 'objective.separator=""'] if "end_of_text" in setting else []
    assert main(["train", "--set", setting, *off]) == 2
    assert sentence in capsys.readouterr().err


def test_each_document_that_is_written_begins_out_of_sight_of_the_last(tmp_path, monkeypatch):
    """A row of training begins with a document, so every document is written from an end-of-text token on."""
    text, run = tmp_path / "world.txt", tmp_path / "run"
    assert main(["data", "storyworld", "--documents", "200", "--out", str(text)]) == 0
    assert main(["train", "--data", str(text), "--out", str(run), "--steps", "1", *SMALL]) == 0
    loaded = minigpt.load(run)
    objective = CausalObjective(loaded.config, loaded.tokenizer)
    end, calls = loaded.tokenizer.special_tokens[END_OF_TEXT], []

    def documents_of_three(model, params, prompt, tokens, *, seed, **settings):
        calls.append((prompt, tokens, seed))
        yield from [5, 6, end, 7, 7][:tokens]

    monkeypatch.setattr(causal, "generate", documents_of_three)
    settings = dataclasses.replace(loaded.config.sample, prompt="", tokens=8)
    written = "".join(objective.sample(loaded.model, loaded.params, settings, [4, 2]))
    five_six = loaded.tokenizer.decode([5, 6])
    assert written == f"{five_six}\n\n{five_six}\n\n{five_six}"
    assert calls == [([end], 8, [4, 2]), ([end], 5, [4, 2, 1]), ([end], 2, [4, 2, 2])]
