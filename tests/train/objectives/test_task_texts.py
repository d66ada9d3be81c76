"""Fine-tuning to write and to find answers: what is learned from, token by token, and what comes out."""

import dataclasses
import json

import numpy as np
import pytest

import minigpt
from minigpt import tokenizers
from minigpt.blocks.run import Run
from minigpt.cli import main
from minigpt.lab.testing import random_parameters
from minigpt.ops import IGNORE
from minigpt.tasks import Span, Summary, Translation
from minigpt.train.config import build_config
from minigpt.train.families import make_model, make_objective
from minigpt.train.run_folder import load_config

from ...cli.finetuned import finetune, pretrain

TEXT = "a red cat sat on the mat. the dog and a hat where "
LETTERS = tokenizers.train("char", [TEXT])


def objective(family, task, **settings):
    v = LETTERS.vocab_size
    model = {"vocab_size": v + 3, "context": 48, "width": 8, "heads": 2}
    model |= {"layers": 1} if family == "gpt" else {"bos": v, "pad": v + 1, "eos": v + 2, "start": v + 2}
    values = {"family": family, "task": task, "model": model, "objective": settings, "data": {"sources": ["x"]}}
    config = build_config(values)
    return config, make_objective(config, LETTERS)


def test_a_decoder_only_model_learns_the_target_alone():
    _, o = objective("gpt", "translation")
    data = o.encoded([Translation("a cat", "hat"), Translation("a dog sat", "mat on")])
    batch = o.collate(data.rows, data.examples, train=True)
    i, ids = o.inputs, LETTERS.encode
    assert batch.inputs[0, :11].tolist() == [i.marks.begin, *ids("a cat"), i.marks.between, *ids("hat"), i.marks.end]
    wanted = [IGNORE] * 6 + [*ids("hat"), i.marks.end]
    assert batch.targets[0, :10].tolist() == wanted and (batch.targets[0, 10:] == IGNORE).all()
    assert (batch.targets[1] != IGNORE).sum() == len("mat on") + 1


def test_barts_decoder_reads_end_start_target():
    config, o = objective("bart", "cnn-dm")
    data = o.encoded([Summary("a cat sat", "cat")])
    batch, c, ids = o.collate(data.rows, data.examples, train=True), config.model, LETTERS.encode
    assert batch.source[0].tolist() == [c.bos, *ids("a cat sat"), c.eos]
    assert batch.inputs[0].tolist() == [c.start, c.bos, *ids("cat")]
    assert batch.targets[0].tolist() == [c.bos, *ids("cat"), c.eos]


def test_what_is_too_long_is_cut_on_its_own_side():
    _, o = objective("gpt", "cnn-dm", longest=5)
    (row,) = o.encode(Summary(TEXT, "a red cat"))
    assert row.cut and len(row.content.target) == 5 and len(row.content.source) == 48 - 3 - 5
    _, o = objective("gpt", "cnn-dm", overlong="refuse")
    with pytest.raises(minigpt.core.errors.UserError, match="have 50 and 3 tokens, but there is room for 29 and 16"):
        o.encode(Summary(TEXT, "cat"))


@pytest.mark.parametrize("family", ["gpt", "bart"])
def test_a_batch_of_texts_is_written_as_each_alone(family):
    """Padding on the left (on the right, for an encoder) changes nothing."""
    config, o = objective(family, "translation", beams=2, longest=6)
    model = make_model(config)
    params = random_parameters(model)
    examples = [Translation(x, "") for x in ("a cat", "the dog sat on a hat", "red")]
    together = o.predict(model, params, examples)
    assert together == [o.predict(model, params, [e])[0] for e in examples]
    assert len(set(together)) > 1 or together[0]


def test_the_threshold_is_the_best_one_on_dev():
    values = {"family": "bert", "task": "squad", "model": {"vocab_size": 60, "context": 20, "width": 8, "layers": 1}}
    words = tokenizers.train("wordpiece", [TEXT] * 9, 60)
    config = build_config(values | {"data": {"sources": ["x"]}})
    o = make_objective(config, words)
    examples = [
        Span("1", "where", "a cat sat", (("cat", 2),), False),
        Span("2", "where", "a dog sat", (), True),
        Span("3", "where", "a hat sat", (), True),
    ]
    data = o.encoded(examples)
    answers = []
    for row, score in zip(data.rows, (4.0, 3.0, 1.0), strict=True):
        said = np.zeros((2, 20))
        said[:, row.first + 1] = score
        answers.append(said)
    tuned = o.tuned(data, answers)
    assert 6.0 <= tuned.threshold < 8.0  # margins are 8, 6, 2
    o = make_objective(dataclasses.replace(config, objective=tuned), words)
    assert o.predictions(data, answers) == ["cat", "", ""]
    answerable = o.encoded([examples[0]])
    assert make_objective(config, words).tuned(answerable, answers[:1]) == config.objective


def write_squad(folder, impossible=False):
    folder.mkdir()
    for part in ("train", "dev"):
        paragraphs = []
        for n, (name, thing) in enumerate([(a, b) for a in ("Anna", "Bert", "Carl") for b in ("ball", "hat", "key")]):
            context, qas = f"{name} has a {thing}. The {thing} is red.", []
            answer = {"text": thing, "answer_start": context.index(thing)}
            qas.append(
                {"id": f"{part}{n}", "question": f"What has {name}?", "answers": [answer], "is_impossible": False}
            )
            if impossible:
                qas.append({"id": f"{part}{n}x", "question": "Why?", "answers": [], "is_impossible": True})
            paragraphs.append({"context": context, "qas": qas})
        version = "v2.0" if impossible else "1.1"
        file = folder / f"{part}-v{'2.0' if impossible else '1.1'}.json"
        file.write_text(json.dumps({"version": version, "data": [{"title": "t", "paragraphs": paragraphs}]}))
    return folder


@pytest.mark.parametrize(("family", "impossible"), [("bert", True), ("bart", False)])
def test_answers_are_found_from_the_command_line(tmp_path, capsys, family, impossible):
    run, data = pretrain(family, tmp_path), write_squad(tmp_path / "squad", impossible)
    assert finetune(run, "squad", data, tmp_path / "run", "--epochs", "2") == 0
    assert "dev: token-f1 " in capsys.readouterr().out
    loaded = minigpt.load(tmp_path / "run")
    (said,) = loaded.predict([("What has Anna?", "Anna has a hat.")])
    assert said in "Anna has a hat."
    assert (load_config(tmp_path / "run").objective.threshold != 0) == impossible
    assert main(["eval", str(tmp_path / "run"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["token-f1"] == json.loads((tmp_path / "run" / "result.json").read_text())["dev"]["token-f1"]
    assert main(["finetune", "--resume", str(tmp_path / "run")]) == 0  # with the threshold in its configuration


@pytest.mark.slow("test_answers_are_found_from_the_command_line")
@pytest.mark.parametrize("family", ["gpt", "bart"])
def test_translations_from_the_command_line(tmp_path, capsys, family):
    run, data = pretrain(family, tmp_path), tmp_path / "pairs"
    data.mkdir()
    for part in ("train", "dev", "test"):
        (data / f"{part}.tsv").write_text("".join(f"Anna has a {x}.\tThe {x}.\n" for x in ("cup", "hat", "pen") * 4))
    flags = ["--epochs", "2", "--set", "objective.written=2", "--set", "objective.longest=6"]
    assert finetune(run, "translation", data, tmp_path / "run", *flags) == 0
    said = capsys.readouterr().out
    assert "dev: loss " in said and "bleu " in said
    values = json.loads((tmp_path / "run" / "result.json").read_text())["test"]
    assert values["written"] == 2 and values["examples"] == 12
    config = load_config(tmp_path / "run")
    assert config.train.best == "loss" and getattr(config.model, "label_smoothing", 0.1) == 0.1
    assert isinstance(minigpt.load(tmp_path / "run").predict(["Anna has a cup."])[0], str)


def test_labels_are_smoothed_in_training_only():
    config, o = objective("bart", "cnn-dm")
    smooth = dataclasses.replace(
        config, model=dataclasses.replace(config.model, label_smoothing=0.1, dropout=0.0, attention_dropout=0.0)
    )
    model, data = make_model(smooth), o.encoded([Summary("a cat sat", "cat")])
    params, batch = random_parameters(model), o.collate(data.rows, data.examples, train=True)
    assert model.forward(params, batch, Run(train=True))[0] != model.forward(params, batch)[0]
