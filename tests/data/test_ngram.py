"""The counted baseline: probabilities that sum to one, an independent count, and its place beside a model."""

import json
import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.data.batch import Batch, pad_rows
from minigpt.data.dataset import window_batches
from minigpt.data.ngram import KneserNey
from minigpt.ops import IGNORE
from tests.train.runs import train

V = 9


def random_text(length=400, seed=0):
    """Tokens that depend on the one before, so that there is something to count; 8 never occurs."""
    rng, text = np.random.default_rng(seed), [0]
    for _ in range(length - 1):
        text.append(int((text[-1] * 3 + rng.integers(0, 3)) % (V - 1)))
    return np.array(text)


def by_hand(texts, order):
    """Kneser–Ney with dictionaries of tuples, one n-gram at a time: a function of context and token for each length."""
    tables = [Counter(tuple(t[i : i + order].tolist()) for t in texts for i in range(len(t) - order + 1))]
    while len(tables) < order:
        tables.insert(0, Counter(g[1:] for g in tables[0]))

    def smoothed(table, below):
        n1, n2 = sum(c == 1 for c in table.values()), sum(c == 2 for c in table.values())
        d = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5
        followers = defaultdict(dict)
        for gram, c in table.items():
            followers[gram[:-1]][gram[-1]] = c

        def p(context, w):
            known = followers.get(context)
            if not known:
                return below(context[1:], w)
            kept = max(known.get(w, 0) - d, 0)
            return (kept + d * len(known) * below(context[1:], w)) / sum(known.values())

        return p

    found = [lambda context, w: 1 / V]
    for table in tables:
        found.append(smoothed(table, found[-1]))
    return found[1:]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_equals_counting_by_hand(order):
    texts = [random_text(), random_text(50, seed=1)]
    p = by_hand(texts, order)
    model = KneserNey(texts, V, order)
    inputs, targets = np.random.default_rng(2).integers(0, V, (2, 30, 8))
    inputs[:10] = [random_text(8, seed=s) for s in range(10)]  # contexts that were seen
    got = model.probabilities(inputs, targets)
    for row in range(30):
        for t in range(8):
            n = min(order - 1, t + 1)
            context = tuple(inputs[row, t + 1 - n : t + 1].tolist())
            assert got[row, t] == pytest.approx(p[n](context, int(targets[row, t])), rel=1e-12)


def test_probabilities_sum_to_one_whatever_was_seen():
    model = KneserNey([random_text()], V, 3)
    contexts = np.array([[a, b] for a in range(V) for b in range(V)])
    total = sum(model.probabilities(contexts, np.full_like(contexts, w)) for w in range(V))
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)
    assert model.probabilities(contexts, np.full_like(contexts, 8)).min() > 0  # what never occurred is still possible


def test_a_text_s_last_token_may_have_come_once():
    """Nothing follows the largest number, so as a context it has no counts."""
    model = KneserNey([np.array([0, 1, 0, 1, 8])], V, 2)
    after = [model.probabilities(np.array([[8]]), np.array([[w]]))[0, 0] for w in range(V)]
    assert sum(after) == pytest.approx(1.0, rel=1e-12) and min(after) > 0


def test_two_texts_are_not_one():
    joined, apart = (
        KneserNey([np.array([1, 2, 3, 4, 5, 6])], V, 3),
        KneserNey([np.array([1, 2, 3]), np.array([4, 5, 6])], V, 3),
    )
    across = np.array([[2, 3]]), np.array([[3, 4]])
    assert joined.probabilities(*across)[0, 1] > apart.probabilities(*across)[0, 1]


def test_a_text_without_n_grams_is_refused():
    with pytest.raises(UserError, match="too short to count: it has fewer than 3 tokens"):
        KneserNey([np.array([1, 2]), np.array([3])], V, 3)
    KneserNey([np.array([1, 2]), np.array([3, 4, 5])], V, 3)


def test_a_vocabulary_may_be_large():
    """No n-gram is a single number of n digits, which would not fit 64 bits here."""
    large = 200_000
    text = np.random.default_rng(0).integers(0, large, 50)
    p = KneserNey([text, text], large).probabilities(text[None, :-1], text[None, 1:])
    assert p[0, 4:].min() > 0.5 and p.max() <= 1


def test_what_is_ignored_does_not_count():
    text, model = random_text(20), KneserNey([random_text(seed=3)], V)
    whole = Batch(text[None, :-1], text[None, 1:])
    filled = Batch(pad_rows([text[:-1]], 0, 30), pad_rows([text[1:]], IGNORE, 30))
    assert model.mean_loss([lambda: filled]) == pytest.approx(model.mean_loss([lambda: whole]), rel=1e-12)


def test_mean_loss_is_over_the_windows_of_the_model():
    text = random_text(103)
    model = KneserNey([random_text(seed=3)], V)
    whole = [-math.log(model.probabilities(text[None, s : s + 10], text[None, s + 1 : s + 11])[0, t])
             for s in range(0, 100, 10) for t in range(10)]  # fmt: skip
    whole += [-math.log(p) for p in model.probabilities(text[None, 100:102], text[None, 101:])[0]]
    for rows in (1, 3):
        assert model.mean_loss(window_batches(text, rows, 10)) == pytest.approx(np.mean(whole), rel=1e-12)


def test_eval_sets_it_beside_the_model(text_file, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(text_file, run, 5) == 0
    capsys.readouterr()
    assert main(["eval", str(run), "--baseline", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert 0 < values["baseline_loss"] < values["loss"]  # five steps do not beat counting
    ratio = values["bits_per_byte"] / values["loss"]
    assert values["baseline_bits_per_byte"] == pytest.approx(values["baseline_loss"] * ratio)
    assert main(["eval", str(run), "--data", str(text_file), "--baseline"]) == 0
    shown = capsys.readouterr().out
    assert "bits per byte" in shown and "5-gram" in shown and "Kneser–Ney" in shown
    assert main(["eval", str(run), "--json"]) == 0
    assert "baseline_loss" not in json.loads(capsys.readouterr().out)


@pytest.mark.slow("test_eval_sets_it_beside_the_model")
def test_a_baseline_can_be_drawn_into_the_curves(text_file, tmp_path, capsys):
    from minigpt.lab.plot import training_figure

    run = tmp_path / "run"
    assert train(text_file, run, 5) == 0
    labels = [line.get_label() for line in training_figure(run, baseline=1.25).axes[0].lines]
    assert "baseline (1.250)" in labels and len(labels) == 1 + len(training_figure(run).axes[0].lines)
    assert main(["plot", str(run), "--baseline", "1.25"]) == 0
    assert main(["plot", str(run), "--baseline", "nan"]) == 2
    assert "--baseline nan is not a finite number" in capsys.readouterr().err
