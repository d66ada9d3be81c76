"""The counted baseline: probabilities that sum to one, an independent count, and its place beside a model."""

import json
import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from minigpt.cli import main
from minigpt.data.dataset import window_batches
from minigpt.errors import UserError
from minigpt.evaluate.ngram import KneserNey
from tests.train.runs import train

V = 9


def random_text(length=400, seed=0):
    """Tokens that depend on the one before, so that there is something to count; 8 never occurs."""
    rng, text = np.random.default_rng(seed), [0]
    for _ in range(length - 1):
        text.append(int((text[-1] * 3 + rng.integers(0, 3)) % (V - 1)))
    return np.array(text)


def by_hand(texts):
    """Kneser–Ney with dictionaries of tuples, one n-gram at a time."""
    trigrams = Counter(tuple(t[i : i + 3].tolist()) for t in texts for i in range(len(t) - 2))
    bigrams = Counter(g[1:] for g in trigrams)
    unigrams = Counter(g[1:] for g in bigrams)

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

    p1 = smoothed(unigrams, lambda context, w: 1 / V)
    p2 = smoothed(bigrams, lambda context, w: p1((), w))
    return smoothed(trigrams, p2), p2


def test_equals_counting_by_hand():
    texts = [random_text(), random_text(50, seed=1)]
    p3, p2 = by_hand(texts)
    model = KneserNey(texts, V)
    inputs, targets = np.random.default_rng(2).integers(0, V, (2, 30, 6))
    got = model.probabilities(inputs, targets)
    for row in range(30):
        assert got[row, 0] == pytest.approx(p2((inputs[row, 0],), targets[row, 0]), rel=1e-12)
        for t in range(1, 6):
            context = tuple(inputs[row, t - 1 : t + 1].tolist())
            assert got[row, t] == pytest.approx(p3(context, int(targets[row, t])), rel=1e-12)


def test_probabilities_sum_to_one_whatever_was_seen():
    model = KneserNey([random_text()], V)
    contexts = np.array([[a, b] for a in range(V) for b in range(V)])
    total = sum(model.probabilities(contexts, np.full_like(contexts, w)) for w in range(V))
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)
    assert model.probabilities(contexts, np.full_like(contexts, 8)).min() > 0  # what never occurred is still possible


def test_two_texts_are_not_one():
    joined, apart = (
        KneserNey([np.array([1, 2, 3, 4, 5, 6])], V),
        KneserNey([np.array([1, 2, 3]), np.array([4, 5, 6])], V),
    )
    across = np.array([[2, 3]]), np.array([[3, 4]])
    assert joined.probabilities(*across)[0, 1] > apart.probabilities(*across)[0, 1]


def test_a_text_without_trigrams_is_refused():
    with pytest.raises(UserError, match="too short to count: it has fewer than 3 tokens"):
        KneserNey([np.array([1, 2]), np.array([3])], V)
    KneserNey([np.array([1, 2]), np.array([3, 4, 5])], V)


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
    assert "bits per byte" in shown and "trigram" in shown and "Kneser–Ney" in shown
    assert main(["eval", str(run), "--json"]) == 0
    assert "baseline_loss" not in json.loads(capsys.readouterr().out)


def test_a_baseline_can_be_drawn_into_the_curves(text_file, tmp_path, capsys):
    from minigpt.plot import training_figure

    run = tmp_path / "run"
    assert train(text_file, run, 5) == 0
    labels = [line.get_label() for line in training_figure(run, baseline=1.25).axes[0].lines]
    assert "baseline (1.250)" in labels and len(labels) == 1 + len(training_figure(run).axes[0].lines)
    assert main(["plot", str(run), "--baseline", "1.25"]) == 0
    assert main(["plot", str(run), "--baseline", "nan"]) == 2
    assert "--baseline nan is not a finite number" in capsys.readouterr().err
