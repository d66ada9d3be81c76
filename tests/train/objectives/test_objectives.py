"""A family with batches, measures and an objective of its own goes through training, evaluation and sampling."""

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import tomli_w

from minigpt.blocks.run import Run
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.core.measures import add_measures, means
from minigpt.core.params import ParameterSpec, initialize
from minigpt.data.batch import AnyBatch, Batch
from minigpt.interop.loaded import load
from minigpt.lab.plan.workload import workload
from minigpt.models import GPT, GPTConfig
from minigpt.train import config as configuration
from minigpt.train.config import build_config
from minigpt.train.families import FAMILIES, Family, register
from minigpt.train.log import read_log
from minigpt.train.loss import mean_loss
from minigpt.train.objectives.causal import CausalConfig, CausalObjective
from minigpt.train.run_folder import load_config
from minigpt.train.stepper import stepping
from minigpt.train.threads import ThreadPool
from minigpt.train.trainer import Trainer

from ..runs import contents, unlisted


class CountingBatch(NamedTuple):
    """Rows of letters, and how many of each there are; some rows may be unlabelled."""

    letters: np.ndarray  # (B, T)
    share: np.ndarray  # (B, V)
    labelled: np.ndarray | None = None  # (B,)

    def counts(self):
        return {"tokens": self.letters.size, "rows": len(self.letters)}

    def rows(self, a, b):
        return CountingBatch(self.letters[a:b], self.share[a:b], None if self.labelled is None else self.labelled[a:b])

    def split(self, n):
        return AnyBatch.split(self, n)

    @property
    def row_count(self):
        return len(self.letters)

    @property
    def token_count(self):
        return self.letters.size


class Counter:
    """Predicts each letter's share of a row: two terms of loss with different denominators, and a measure."""

    family, head_width = "counter", 1

    def __init__(self, config):
        self.config = config
        self.specs = (ParameterSpec("scores", (config.vocab_size, 1), 0.1), ParameterSpec("bias", (1,)))
        self.parameter_count = config.vocab_size + 1

    def init(self, seed=0, dtype="float32", backend="numpy"):
        return initialize(self.specs, seed=seed, dtype=dtype, backend=backend)

    def forward(self, params, batch, run=None):
        run = run or Run()
        per_token = run.denominators.get("tokens", batch.letters.size)
        per_row = run.denominators.get("rows", len(batch.letters))
        off = params["scores"][:, 0] + params["bias"] - batch.share  # (B, V)
        tokens = float((off * off).sum()) / per_token
        return tokens + float(np.abs(off).sum()) / per_row, (off, per_token, per_row)

    def backward(self, params, grads, cache, run, scale=1.0):
        off, per_token, per_row = cache
        d = scale * (2 * off / per_token + np.sign(off) / per_row).sum(axis=0)
        grads.into("scores")[:, 0] += d
        grads.into("bias")[...] += d.sum()

    def measures(self, cache):
        off = cache[0]
        return {"near": (float((np.abs(off) < 0.05).sum()), off.size), "never": (0.0, 0)}


@dataclass(frozen=True)
class CounterConfig(CausalConfig):
    sharpness: int = 1

    def __post_init__(self):
        if self.sharpness < 1:
            raise UserError(f"objective.sharpness is {self.sharpness}; it must be at least 1")


class CounterObjective(CausalObjective):
    Config = CounterConfig

    def _rows(self, letters):
        share = np.stack([np.bincount(row, minlength=self.config.model.vocab_size) for row in letters])
        return CountingBatch(letters, (share / letters.shape[1]).astype("float32"))

    def batch(self, data, rows, **place):
        return self._rows(super().batch(data, rows, **place).inputs)

    def evaluation_batches(self, data, rows, limit=None):
        return [lambda make=make: self._rows(make().inputs) for make in super().evaluation_batches(data, rows, limit)]

    def report(self, score, data):
        return {"loss": score.loss}, f"off by {score.loss:.3f}"

    def sample(self, model, params, settings, seed):
        yield f"e comes before q: sharpness {self.config.objective.sharpness}"


@pytest.fixture
def counter():
    """The family is known while the test lasts."""
    register("counter", Family(GPTConfig, Counter, CounterObjective))
    yield
    del FAMILIES["counter"]


def arguments(text, out, *more):
    preset = out.parent / "counter.toml"
    preset.write_text('family = "counter"\n[model]\ncontext = 16\n[train]\nbatch = 5\nworkers = 2\neval_every = 4\n')
    return ["train", str(preset), "--data", str(text), "--out", str(out), "--steps", "10", *more]


def test_a_new_family_trains_logs_evaluates_and_samples(counter, text_file, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(arguments(text_file, run, "--set", "objective.sharpness=3")) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("e comes before q: sharpness 3") and "rows of 16" in shown.err
    lines = read_log(run)
    assert [set(line) for line in lines if "loss" in line] == [{"step", "loss", "lr", "grad_norm", "near"}] * 10
    validations = [line for line in lines if "val_loss" in line]
    assert [line["step"] for line in validations] == [0, 4, 8, 10] and 0 < validations[-1]["val_near"] <= 1
    assert f", near {validations[-1]['val_near']:.4f} over " in shown.err
    assert main(["eval", str(run), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values == {
        "loss": pytest.approx(validations[-1]["val_loss"], rel=1e-6),
        "near": validations[-1]["val_near"],
    }
    assert main(["sample", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "e comes before q: sharpness 3"
    assert "--- step 10 ---\ne comes before q: sharpness 3" in (run / "samples.txt").read_text()


@pytest.mark.slow("test_a_new_family_trains_logs_evaluates_and_samples")
def test_a_new_family_resumes_to_the_same_bits(counter, text_file, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(arguments(text_file, whole)) == 0
    right = Trainer.train
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", lambda self, **k: right(self, should_stop=lambda: self.state.step >= 5))
        assert main(arguments(text_file, parts)) == 130
    assert main(["train", "--resume", str(parts)]) == 0
    assert contents(parts, step=10) == contents(whole, step=10)


def random_rows(rows=7, seed=0):
    rng = np.random.default_rng(seed)
    return CountingBatch(rng.integers(0, 6, (rows, 4)), rng.random((rows, 6)), np.ones(rows, dtype=bool))


def test_losses_gradients_and_measures_add_up_over_shards_and_batches():
    model = Counter(GPTConfig(vocab_size=6))
    params, batches = model.init(seed=1, dtype="float64"), [random_rows(7), random_rows(3, seed=1)]
    off = params["scores"][:, 0] - np.concatenate([b.share for b in batches])
    expected = (off**2).sum() / 40 + np.abs(off).sum() / 10
    near = (np.abs(off) < 0.05).mean()
    for workers in (1, 2, 4):
        with stepping(model, params, workers=workers) as stepper, ThreadPool(workers) as threads:
            measures = {"near": (1.0, 2.0)}  # what is there is added to
            loss, grads = stepper.loss_and_grads(batches, seed=0, step=0, measures=measures)
            score = mean_loss(model, params, [lambda b=b: b for b in batches], threads=threads)
        assert loss == pytest.approx(expected, rel=1e-12) and score.loss == pytest.approx(expected, rel=1e-12)
        assert means(measures)["near"] == pytest.approx((60 * near + 1) / 62, rel=1e-12)
        assert score.measures == {"near": pytest.approx(near, rel=1e-12)}  # what was never counted is left out
        assert score.counts == {"tokens": 40, "rows": 10}
        assert grads["bias"][0] == pytest.approx(grads["scores"].sum(), rel=1e-12)


def test_sums_and_counts_not_means_of_means():
    total = {}
    add_measures(total, {"a": (1.0, 1)})
    add_measures(total, {"a": (0.0, 3), "b": (2.0, 4)})
    assert means(total) == {"a": 0.25, "b": 0.5}


def test_rows_are_shared_out_evenly():
    batch = random_rows(7)
    parts = batch.split(3)
    assert [(first, part.row_count) for first, part in parts] == [(0, 2), (2, 2), (4, 3)]
    assert [first for first, _ in random_rows(2).split(4)] == [0, 1]
    ids = np.arange(12).reshape(4, 3)
    assert Batch(ids, ids).token_count == 12 and Batch(ids, ids).row_count == 4


def test_the_objective_s_settings_are_checked(counter):
    with pytest.raises(UserError, match=r"did you mean 'objective.sharpness'"):
        build_config({"family": "counter", "objective": {"sharpnes": 2}})
    with pytest.raises(UserError, match=r"objective.sharpness is 0; it must be at least 1"):
        build_config({"family": "counter", "objective": {"sharpness": 0}})
    with pytest.raises(UserError, match=r"unknown setting 'objective.sharpness'"):
        build_config({"objective": {"sharpness": 2}})
    config = build_config({"family": "counter", "objective": {"sharpness": 2}})
    again = configuration.build_config(tomllib.loads(configuration.config_to_toml(config)))
    assert again == config and again.objective == CounterConfig(sharpness=2)


def test_runs_from_before_there_were_objectives_load(text_file, tmp_path):
    run = tmp_path / "run"
    command = ["train", "shakespeare-cpu", "--data", str(text_file), "--out", str(run), "--steps", "1"]
    command += ["--set", "model.width=16", "--set", "train.eval_tokens=200", "--set", "sample.tokens=10"]
    assert main(command) == 0
    text = (run / "config.toml").read_text()
    assert "[objective]\n" in text
    values = tomllib.loads(text)
    del values["objective"]
    (unlisted(run) / "config.toml").write_text(tomli_w.dumps(values))
    assert load_config(run) == build_config(tomllib.loads(text))
    assert main(["eval", str(run), "--json"]) == 0


def test_a_name_belongs_to_one_family(counter):
    with pytest.raises(UserError, match="there is a family 'gpt' already"):
        register("gpt", FAMILIES["counter"])
    assert FAMILIES["gpt"].model is GPT


@pytest.mark.parametrize("missing", ["inputs", "recipe"])
def test_a_family_with_tasks_says_how_it_reads_and_learns_them(missing):
    with pytest.raises(ValueError, match="needs the inputs that it reads of them, and a recipe"):
        dataclasses.replace(FAMILIES["gpt"], **{missing: None})


def test_what_does_not_know_a_family_says_so(counter, text_file, tmp_path):
    run = tmp_path / "run"
    assert main(arguments(text_file, run)) == 0
    with pytest.raises(UserError, match="family counter is not spoken to in Hugging Face's terms"):
        load(run).logits(np.zeros((1, 3), int))
    with pytest.raises(UserError, match="family counter is not spoken to in Hugging Face's terms"):
        load(run).embed(["e"])
    with pytest.raises(UserError, match="there is no plan for the family counter"):
        workload(load_config(run))
