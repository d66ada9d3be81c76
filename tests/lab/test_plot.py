"""The curves of a run: what is told apart, and what must not flatten the picture."""

import json
import warnings

import numpy as np

from minigpt.lab.plot import comparison_figure, training_figure


def logged(folder, losses, validation, grad_norm=1.0):
    folder.mkdir()
    lines = [{"step": s, "loss": x, "lr": 1e-3, "grad_norm": grad_norm} for s, x in enumerate(losses, 1)]
    lines += [{"step": s, "val_loss": x} for s, x in validation.items()]
    (folder / "log.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda x: x["step"]))
    )
    return folder


def test_the_untrained_model_does_not_flatten_the_curves(tmp_path):
    losses = 1.0 + 6.0 * np.exp(-np.arange(400) / 5)
    run = logged(tmp_path / "run", losses.tolist(), {0: 7.2, 200: 1.1, 400: 1.05})
    for figure in (training_figure(run), comparison_figure([run, run])):
        low, high = figure.axes[0].get_ylim()
        assert 0.8 < low < 1.0 and 1.1 < high < 1.5
    low, high = training_figure(run, baseline=2.0).axes[0].get_ylim()
    assert high > 2.0  # what is compared with is seen


def test_a_run_that_goes_wrong_later_is_seen_whole(tmp_path):
    run = logged(tmp_path / "run", [3.0] * 50 + [9.0] * 50, {0: 3.0, 100: 9.0})
    low, high = training_figure(run).axes[0].get_ylim()
    assert low < 3.0 and high > 9.0


def test_a_text_of_one_letter_draws_without_a_warning(tmp_path):
    run = logged(tmp_path / "run", [0.0] * 20, {0: 0.0, 20: 0.0}, grad_norm=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = training_figure(run)
        figure.canvas.draw()
    assert figure.axes[2].get_yscale() == "linear"
