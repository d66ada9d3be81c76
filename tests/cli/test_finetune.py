"""`minigpt finetune`: it trains every family, keeps the best checkpoint, resumes to the same bits, and says what is
wrong.
"""

import json

import numpy as np
import pytest

import minigpt
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.evaluate.finetune_run import prepare
from minigpt.tasks import Classification
from minigpt.train.best import best_so_far, chosen_checkpoint
from minigpt.train.finetuning import Request
from minigpt.train.integrity import checkpoint_paths
from minigpt.train.log import read_log
from minigpt.train.run_folder import load_config
from minigpt.train.trainer import Trainer

from ..tiers import some
from ..train.runs import contents
from .conftest import json_of
from .finetuned import claims, finetune, pretrain, write_rte, write_stsb, write_swag


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """One run of each family, made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("pretrained"), {}
    patch = pytest.MonkeyPatch()
    patch.setenv("MINIGPT_CACHE", str(folder / "cache"))

    def get(family):
        if family not in made:
            made[family] = pretrain(family, folder)
        return made[family]

    yield get
    patch.undo()


@pytest.fixture
def rte(tmp_path):
    return write_rte(tmp_path / "RTE")


@pytest.mark.parametrize(
    "family", some(["gpt", "llama", "bert", "bart"], ["bert"], "the same for BERT, and GPT in the other tests")
)
def test_every_family_learns_a_pair(pretrained, rte, tmp_path, capsys, family):
    run = tmp_path / "run"
    beside = ["--set", "objective.auxiliary=0.5"] if family in ("gpt", "llama") else []
    assert finetune(pretrained(family), "rte", rte, run, "--epochs", "2", *beside) == 0
    shown = capsys.readouterr()
    assert "dev: accuracy " in shown.out and "; test: accuracy " in shown.out and "(majority: 0.500)" in shown.out
    assert "rte (Does the premise entail the hypothesis?), 40 training examples" in shown.err
    lines = read_log(run)
    measured = {"accuracy"} | ({"lm_loss"} if beside else set())
    assert measured < set(lines[1]) and lines[-1]["val_examples"] == 20
    assert [line["step"] for line in lines if "val_loss" in line] == [0, 5, 10]
    found = minigpt.load(run)
    assert set(found.predict([("Anna has a cup.", "Anna has a cup."), Classification("a", "b", None)])) <= {
        "entailment",
        "not_entailment",
    }
    values = json_of(capsys, "eval", run, "--split", "test", "--json")
    assert values["accuracy"] == json.loads((run / "result.json").read_text())["test"]["accuracy"]
    assert values["examples"] == 20 and values["accuracy_low"] <= values["accuracy"] <= values["accuracy_high"]
    by_hand = found.predict([row[:2] for row in claims(20, 2)])
    assert np.mean([p == row[2] for p, row in zip(by_hand, claims(20, 2), strict=True)]) == values["accuracy"]
    assert main(["eval", str(run)]) == 0 and "over 20 examples" in capsys.readouterr().out
    assert main(["sample", str(run)]) == 0 and " | " in capsys.readouterr().out
    assert found.generate("Anna has a cup.") in ("entailment", "not_entailment")
    assert main(["convert", str(run), str(tmp_path / "hf"), "--to", "hf"]) == 2
    assert "has a head for rte; convert writes models as they are pretrained" in capsys.readouterr().err


@pytest.mark.slow("test_it_learns_what_there_is_to_learn, and the heads in tests/models")
@pytest.mark.parametrize("family", ["gpt", "bert"])
def test_choices_and_scores(pretrained, tmp_path, capsys, family):
    swag, stsb = write_swag(tmp_path / "swag"), write_stsb(tmp_path / "STS-B")
    values = json_of(
        capsys,
        "finetune",
        pretrained(family),
        "--task",
        "swag",
        "--data",
        swag,
        "--out",
        tmp_path / "a",
        "--epochs",
        "1",
        "--json",
    )
    assert values["metric"] == "accuracy" and values["runs"][0]["dev"]["accuracy_baseline"] == 0.25
    assert values["runs"][0]["test"] is None
    loaded = minigpt.load(tmp_path / "a")
    assert loaded.predict([("Anna has a cup.", ("She sat.", "She ran.", "No.", "It is."))])[0] in range(4)
    assert finetune(pretrained(family), "stsb", stsb, tmp_path / "b", "--epochs", "1") == 0
    assert isinstance(minigpt.load(tmp_path / "b").predict([("a cup", "a hat")])[0], float)
    with pytest.raises(UserError, match="'alone' is no example of stsb: give a Similarity"):
        minigpt.load(tmp_path / "b").predict(["alone"])


def test_it_learns_what_there_is_to_learn(pretrained, tmp_path):
    """What is denied does not follow."""
    rte = write_rte(tmp_path / "RTE", train=80, dev=40)
    for part in ("train", "dev"):
        lines = (rte / f"{part}.tsv").read_text().splitlines()
        lines = [x.replace(".\t", ".\tNo: ", 1) if x.endswith("not_entailment") else x for x in lines]
        (rte / f"{part}.tsv").write_text("\n".join(lines) + "\n")
    flags = ["--epochs", "6", "--set", "schedule.peak=5e-3", "--set", "model.dropout=0"]
    assert finetune(pretrained("gpt"), "rte", rte, tmp_path / "run", *flags) == 0
    assert best_so_far(tmp_path / "run", "accuracy").value > 0.9


@pytest.mark.slow("test_it_learns_what_there_is_to_learn")
def test_the_best_checkpoint_is_kept_and_opened(pretrained, rte, tmp_path):
    run = tmp_path / "run"
    flags = ["--epochs", "6", "--set", "schedule.peak=5e-2"]  # far too high: it gets worse
    assert finetune(pretrained("gpt"), "rte", rte, run, *flags) == 0
    accuracies = {line["step"]: line["val_accuracy"] for line in read_log(run) if "val_loss" in line}
    best = min(step for step, value in accuracies.items() if value == max(accuracies.values()))
    assert best_so_far(run, "accuracy")[:2] == (best, accuracies[best])
    assert {p.name for p in checkpoint_paths(run)} == {f"step-{best}", "step-30"}
    assert chosen_checkpoint(run, "accuracy").name == f"step-{best}"
    assert json.loads((run / "result.json").read_text())["dev"]["accuracy"] == pytest.approx(accuracies[best])


def test_patience_ends_it_early(pretrained, rte, tmp_path, capsys):
    run = tmp_path / "run"
    flags = ["--epochs", "30", "--set", "train.patience=2", "--set", "schedule.peak=1e-9"]
    assert finetune(pretrained("gpt"), "rte", rte, run, *flags) == 0
    assert [line["step"] for line in read_log(run) if "val_loss" in line] == [0, 5, 10]
    assert "best after step 0 of 10." in capsys.readouterr().out
    assert main(["finetune", "--resume", str(run)]) == 0  # looks again, and is done
    assert [line["step"] for line in read_log(run) if "val_loss" in line] == [0, 5, 10]


@pytest.mark.parametrize("family", some(["gpt", "bert"], ["gpt"], "the same for GPT"))
def test_it_resumes_to_the_same_bits(pretrained, rte, tmp_path, monkeypatch, family):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    flags = ["--epochs", "4", "--set", "train.accumulation=2", "--set", "schedule.peak=1e-2"]
    assert finetune(pretrained(family), "rte", rte, whole, *flags) == 0
    right = Trainer.train
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", lambda self, **k: right(self, should_stop=lambda: self.state.step >= 5))
        assert finetune(pretrained(family), "rte", rte, parts, *flags) == 130
    assert main(["finetune", "--resume", str(parts)]) == 0
    assert contents(parts, step=10) == contents(whole, step=10)
    assert (parts / "result.json").read_bytes() == (whole / "result.json").read_bytes()
    assert sorted(p.name for p in checkpoint_paths(parts)) == sorted(p.name for p in checkpoint_paths(whole))


def test_several_seeds_and_from_scratch(pretrained, rte, tmp_path, capsys):
    command = ["finetune", pretrained("gpt"), "--task", "rte", "--data", rte, "--epochs", "1", "--json"]
    values = json_of(capsys, *command, "--seeds", "2", "--out", tmp_path / "runs", "--examples", "24")
    assert [run["run"] for run in values["runs"]] == [str(tmp_path / "runs" / f"seed-{n}") for n in (0, 1)]
    accuracies = [run["test"]["accuracy"] for run in values["runs"]]
    assert values["test"] == {"mean": np.mean(accuracies), "std": pytest.approx(np.std(accuracies, ddof=1))}
    configs = [load_config(tmp_path / "runs" / f"seed-{n}") for n in (0, 1)]
    assert [c.train.seed for c in configs] == [0, 1] and configs[0].objective.examples == 24
    assert configs[0].train.steps == 2 and configs[0].train.best == "accuracy"
    json_of(capsys, *command, "--from-scratch", "--seed", "5", "--out", tmp_path / "scratch")
    source = minigpt.load(pretrained("gpt"))
    weights = {
        name: minigpt.load(tmp_path / path / "checkpoints" / checkpoint_paths(tmp_path / path)[-1].name).params[
            "tokens"
        ]
        for name, path in (("pretrained", "runs/seed-0"), ("scratch", "scratch"))
    }
    shared = source.params["tokens"]
    assert weights["pretrained"].shape == (len(shared) + 3, shared.shape[1])
    assert np.abs(weights["pretrained"][: len(shared)] - shared).mean() < 0.01
    assert np.abs(weights["scratch"][: len(shared)] - shared).mean() > 0.01


def test_from_scratch_the_trainer_has_what_the_pretrained_model_began_with(pretrained, rte, tmp_path):
    source, request = minigpt.load(pretrained("gpt")), Request("rte", str(rte), seed=5)
    trainer, start = prepare(source, request, tmp_path / "run", "run", from_scratch=True)
    for name, drawn in source.model.init(5).items():
        assert np.array_equal(trainer.state.params[name][: len(drawn)], drawn), name
    assert np.array_equal(trainer.state.params.flat, start.params.flat) and start.new == ["everything"]


def test_a_fine_tuned_model_can_be_fine_tuned_again(pretrained, rte, tmp_path, capsys):
    assert finetune(pretrained("gpt"), "rte", rte, tmp_path / "one", "--epochs", "1") == 0
    capsys.readouterr()
    assert finetune(tmp_path / "one", "stsb", write_stsb(tmp_path / "S"), tmp_path / "two", "--epochs", "1") == 0
    said = capsys.readouterr().err
    assert "new: head.weight, head.bias\n" in said and "rows of tokens" not in said
    sizes = [load_config(tmp_path / name).model.vocab_size for name in ("one", "two")]
    assert sizes[0] == sizes[1]


@pytest.mark.slow("test_it_learns_what_there_is_to_learn")
def test_what_is_new_and_what_is_left_out_is_said(pretrained, rte, tmp_path, capsys):
    assert finetune(pretrained("gpt"), "rte", rte, tmp_path / "a", "--epochs", "1") == 0
    assert "new: head.weight, head.bias, 3 rows of tokens\n" in capsys.readouterr().err
    assert finetune(tmp_path / "a", "rte", rte, tmp_path / "same", "--epochs", "1") == 0
    assert "new: nothing\n" in capsys.readouterr().err
    assert main(["eval", str(tmp_path / "a"), "--baseline"]) == 2
    assert "there is no --baseline for the task rte" in capsys.readouterr().err
    write_rte(tmp_path / "tasks" / "rte")  # where `minigpt data tasks --out tasks` would write it
    parts = [json_of(capsys, "eval", tmp_path / "a", "--data", f, "--json") for f in (rte, tmp_path / "tasks")]
    assert parts[0] == parts[1]
    assert finetune(pretrained("bert"), "rte", rte, tmp_path / "b", "--epochs", "1") == 0
    said = capsys.readouterr().err
    assert "new: classifier.weight, classifier.bias\n" in said and "left out: masked.dense.weight, pairs.weight" in said


def test_weights_that_are_missing_need_a_word(rte, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join("Anna has a ball. The ball is red." for _ in range(60)))
    flags = ["--tokenizer", "wordpiece:60", "--steps", "1", "--set", "model.width=8", "--set", "model.pairs=false"]
    assert main(["train", "bert-tiny", "--data", str(text), "--out", str(tmp_path / "bert"), *flags]) == 0
    capsys.readouterr()
    assert finetune(tmp_path / "bert", "rte", rte, tmp_path / "a", "--epochs", "1") == 2
    assert "they lack pooler.weight, pooler.bias; name what may start anew with --fresh" in capsys.readouterr().err
    assert finetune(tmp_path / "bert", "rte", rte, tmp_path / "a", "--epochs", "1", "--fresh", "pooler") == 0


def test_wrong_arguments(pretrained, rte, tmp_path, error):
    run = pretrained("gpt")
    assert "--task is missing; choose one of cola" in error("finetune", run)
    assert "unknown task 'rtw': did you mean 'rte'?" in error("finetune", run, "--task", "rtw", "--data", rte)
    assert "there is no folder" in error("finetune", run, "--task", "rte", "--data", tmp_path / "none")
    said = error("finetune", run, "--task", "lambada", "--data", rte)
    assert "gpt cannot be fine-tuned for lambada" in said and "minigpt zeroshot" in said
    said = error("finetune", pretrained("bart"), "--task", "swag", "--data", rte)
    assert "bart cannot be fine-tuned for swag: it has no head" in said and "gpt or llama or bert" in said
    flags = ("--task", "rte", "--data", rte)
    assert "none of the 1 training examples of rte is labelled" in error("finetune", run, *flags, "--examples", "1")
    assert "objective.examples is 41, but rte has 40" in error("finetune", run, *flags, "--examples", "41")
    long = write_rte(tmp_path / "long")
    with open(long / "train.tsv", "a", encoding="utf-8") as file:
        file.write("40\t" + "A ball. " * 60 + "\tA hat.\tentailment\n")
    said = error("finetune", run, *flags[:3], long, "--set", "objective.overlong=refuse")
    assert "the model's context of 64 has room for 61; shorten it, or let it be cut" in said
    assert "did you mean 'objective.auxiliary'" in error("finetune", run, *flags, "--set", "objective.auxilary=1")
    assert "--from-scratch takes no pretrained weights" in error(
        "finetune", run, *flags, "--from-scratch", "--skip", "x"
    )
    assert "--task cannot be given with it" in error("finetune", "--resume", run, "--task", "rte")
    assert "is not a fine-tuned run" in error("finetune", "--resume", run)
    assert "--split is for fine-tuned models" in error("eval", run, "--split", "dev")
    (rte / "dev.tsv").write_text("index\tsentence1\tsentence2\tlabel\n")
    assert "holds no examples" in error("finetune", run, *flags)
    (rte / "dev.tsv").unlink()
    assert "has no dev part" in error("finetune", run, *flags)


def test_a_missing_package_is_said_before_training(pretrained, rte, tmp_path, error, monkeypatch):
    def refuse(names):
        assert tuple(names) == ("accuracy",)
        raise UserError("a package is missing")

    monkeypatch.setattr("minigpt.evaluate.finetune_run.check_packages", refuse)
    assert "is missing" in error("finetune", pretrained("gpt"), "--task", "rte", "--data", rte, "--out", tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_seeds_that_were_not_begun_are_named(pretrained, rte, tmp_path, monkeypatch, capsys):
    run, right = pretrained("gpt"), Trainer.train  # it is made by the same method
    monkeypatch.setattr(Trainer, "train", lambda self, **k: right(self, should_stop=lambda: True))
    assert finetune(run, "rte", rte, tmp_path / "runs", "--seeds", "3") == 130
    said = capsys.readouterr().err
    assert f"finetune --resume {tmp_path / 'runs' / 'seed-0'}" in said and "not begun: 2 more, from --seed 1 on" in said


def test_predict_says_what_it_takes(pretrained, rte, tmp_path):
    with pytest.raises(UserError, match="was not fine-tuned for a task"):
        minigpt.load(pretrained("gpt")).predict(["a"])
    assert finetune(pretrained("gpt"), "rte", rte, tmp_path / "run", "--epochs", "1") == 0
    loaded = minigpt.load(tmp_path / "run")
    assert loaded.predict([]) == [] and len(loaded.predict(["a", ("a", "b")])) == 2
    with pytest.raises(UserError, match="takes a list"):
        loaded.predict("a text")
    for wrong in (("a", "b", "c"), 3, None, ("a", None), b"a", {"text": "a"}):
        with pytest.raises(UserError, match="is no example of rte"):
            loaded.predict([wrong])


def test_predict_needs_options(pretrained, tmp_path):
    data = write_swag(tmp_path / "data")
    assert finetune(pretrained("gpt"), "swag", data, tmp_path / "run", "--epochs", "1") == 0
    loaded = minigpt.load(tmp_path / "run")
    assert loaded.predict([("Anna", ["a", "b"])])[0] in (0, 1)
    for few in ((), ("a",)):
        with pytest.raises(UserError, match="at least two options"):
            loaded.predict([("Anna", few)])
    for wrong in ("ab", None, (1, 2)):
        with pytest.raises(UserError, match="is no example of swag"):
            loaded.predict([("Anna", wrong)])
