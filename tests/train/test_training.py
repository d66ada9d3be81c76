"""Training as a whole: it learns, it logs what it should, and it stops when the numbers go wrong."""

import json
import math

import numpy as np
import pytest

from minigpt.cli import main
from minigpt.data.batch import Batch
from minigpt.data.dataset import window_batches, window_starts
from minigpt.interop.loaded import load
from minigpt.models import GPT, GPTConfig
from minigpt.train.integrity import checkpoint_paths
from minigpt.train.log import read_log
from minigpt.train.loss import mean_loss
from minigpt.train.optimizer import AdamW, OptimizerConfig
from minigpt.train.stepper import stepping
from minigpt.train.threads import ThreadPool

from ..tiers import some
from .runs import contents, train


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_one_batch_can_be_learned_by_heart(norm):
    model = GPT(GPTConfig(vocab_size=20, context=8, layers=2, heads=2, width=32, norm=norm))
    rng = np.random.default_rng(0)
    batch = Batch(rng.integers(0, 20, (4, 8)), rng.integers(0, 20, (4, 8)))
    params = model.init(seed=0)
    optimizer = AdamW(params, OptimizerConfig(weight_decay=0.0))
    with stepping(model, params) as stepper:
        for step in range(150):
            loss, grads = stepper.loss_and_grads([batch], seed=0, step=step)
            if step == 0:
                assert loss == pytest.approx(math.log(20), rel=0.05)
            optimizer.step(params, grads, 3e-3)
    assert loss < 0.05


def test_a_run_leaves_what_it_should(curves, text_file, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(text_file, run, 20, train__keep_checkpoints=3) == 0
    lines = read_log(run)
    losses = [line for line in lines if "loss" in line]
    assert [line["step"] for line in losses] == list(range(1, 21))
    assert losses[-1]["loss"] < losses[0]["loss"] and all(line["grad_norm"] > 0 for line in losses)
    assert [line["step"] for line in lines if "val_loss" in line] == [0, 7, 14, 20]
    assert (run / "samples.txt").read_text().count("--- step") == 5  # 0, 6, 12, 18 and the end
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["step-10", "step-15", "step-20"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr()
    assert "20 steps, validation loss" in shown.out and "parameters" in shown.err
    last = [line["val_loss"] for line in lines if "val_loss" in line][-1]
    assert main(["eval", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(last, rel=1e-5)


KEPT = [
    (2, False, [15, 20]),
    (2, True, [0, 1, 2, 4, 8, 15, 16, 20]),
    (1, True, [0, 1, 2, 4, 8, 16, 20]),
    (0, False, [0, 5, 10, 15, 20]),
]


@pytest.mark.parametrize("keep, powers, steps", some(KEPT, KEPT[1:2], "the same with two kept and powers"))
def test_which_checkpoints_stay(text_file, tmp_path, keep, powers, steps):
    changed = {"train__keep_checkpoints": keep, "train__checkpoint_powers": str(powers).lower()}
    assert train(text_file, tmp_path / "run", 20, **changed) == 0
    assert [int(p.name[5:]) for p in checkpoint_paths(tmp_path / "run")] == steps
    assert train(text_file, tmp_path / "plain", 20) == 0
    assert contents(tmp_path / "run", step=20) == contents(tmp_path / "plain", step=20)  # saving changes no training


def test_resumed_weights_are_the_saved_ones(text_file, tmp_path):
    run = tmp_path / "run"
    train(text_file, run, 10)
    m = load(run)
    assert m.params.flat.dtype == np.float32 and set(m.params) == {s.name for s in m.model.specs}
    ids = np.array([m.tokenizer.encode("Line 1 says")])
    loss, grads = m.loss_and_grads(ids)
    logits = m.logits(ids)[0].astype(float)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert loss == pytest.approx(-log_p[np.arange(ids.size - 1), ids[0, 1:]].mean(), rel=1e-5)
    assert np.abs(grads.flat).max() > 0
    assert isinstance(m.generate("Line ", max_new_tokens=5), str)
    older = load(run / "checkpoints" / "step-5")
    assert (older.params.flat != m.params.flat).any()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(text_file, tmp_path, capsys):
    run = tmp_path / "run"
    status = train(text_file, run, 40, schedule__peak=1e30, train__checkpoint_every=1, train__sample_every=0)
    assert status == 2
    error = capsys.readouterr().err
    assert "so training stopped; the last good checkpoint is" in error and "Traceback" not in error
    assert np.isfinite(load(run).params.flat).all()


@pytest.mark.parametrize("tokens, context, expected", [(10, 3, [0, 3, 6]), (11, 3, [0, 3, 6, 9]), (2, 8, [0])])
def test_windows_cover_every_token_once(tokens, context, expected):
    starts = window_starts(tokens, context, None)
    assert starts == expected
    covered = [t for s in starts for t in range(s + 1, min(s + context + 1, tokens))]
    assert covered == list(range(1, tokens))


def test_a_limited_evaluation_spreads_over_the_text():
    assert window_starts(1001, 10, 50) == [0, 200, 400, 600, 800]
    assert window_starts(1001, 10, 10**6) == list(range(0, 1000, 10))
    assert window_starts(25, 10, 5) == [0]


@pytest.mark.parametrize("rows, workers", [(1, 1), (3, 2), (64, 4)])
def test_mean_loss_is_the_mean_over_tokens_however_it_is_batched(rows, workers):
    model = GPT(GPTConfig(vocab_size=9, context=4, layers=1, heads=1, width=8))
    params, tokens = model.init(seed=1, dtype="float64"), np.random.default_rng(0).integers(0, 9, 31)
    total = 0.0
    for s in range(0, 30, 4):
        window = tokens[None, s : s + 5]
        total += model.forward(params, Batch(window[:, :-1], window[:, 1:]))[0] * (window.shape[1] - 1)
    with ThreadPool(workers) as threads:
        score = mean_loss(model, params, window_batches(tokens, rows, 4), threads=threads)
    assert score.tokens == 30 and score.loss == pytest.approx(total / 30, rel=1e-12)
    assert score.perplexity == pytest.approx(math.exp(score.loss))
    assert score.bits_per_byte(60) == pytest.approx(total / 60 / math.log(2), rel=1e-12)
