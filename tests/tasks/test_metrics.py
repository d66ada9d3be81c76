"""Metrics on cases that can be counted by hand, their intervals and their baselines."""

import math
from functools import partial

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.tasks import (
    TASKS,
    Classification,
    LastWord,
    MultipleChoice,
    Pronoun,
    Similarity,
    Span,
    Summary,
    Translation,
    metrics,
)
from minigpt.tasks.answers import exact_match, normalised, token_f1
from minigpt.tasks.metrics import METRICS, evaluate, evaluate_task


def value(name, predictions, references):
    return evaluate(name, predictions, references).value


def test_accuracy_with_the_majority_or_chance_beside_it():
    score = evaluate("accuracy", [0, 1, 1, 0], [0, 1, 0, 0])
    assert (score.value, score.baseline, score.baseline_name, score.count) == (0.75, 0.75, "majority", 4)
    score = evaluate("accuracy", [0, 1], [0, 0], options=[2, 4])
    assert (score.value, score.baseline, score.baseline_name) == (0.5, 0.375, "chance")
    assert value("accuracy", ["dog", "cat"], ["dog", "hen"]) == 0.5


def test_f1_and_matthews_by_their_four_counts():
    # 3 true positives, 1 false positive, 2 false negatives, 4 true negatives.
    predictions, references = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]
    f1, matthews = evaluate("f1", predictions, references), evaluate("matthews", predictions, references)
    assert f1.value == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert f1.baseline == pytest.approx(2 * 5 / (2 * 5 + 5)) and f1.baseline_name == "all positive"
    assert matthews.value == pytest.approx((3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6))
    assert matthews.baseline == 0.0


def test_constant_predictions_have_no_correlation():
    assert value("matthews", [1, 1, 1], [0, 1, 1]) == 0.0
    assert value("pearson", [2.0, 2.0, 2.0], [0.0, 1.0, 5.0]) == 0.0
    assert value("f1", [0, 0], [0, 0]) == 0.0


def test_pearson_sees_distances_and_spearman_ranks_with_ties_in_the_middle():
    predictions, references = [1.0, 2.0, 2.0, 10.0], [0.0, 1.0, 2.0, 3.0]
    a, b = np.array(predictions) - 3.75, np.array(references) - 1.5
    assert value("pearson", predictions, references) == pytest.approx(a @ b / math.sqrt((a @ a) * (b @ b)))
    ranks = np.array([1, 2.5, 2.5, 4]) - 2.5
    assert value("spearman", predictions, references) == pytest.approx(ranks @ b / math.sqrt((ranks @ ranks) * (b @ b)))


def test_squads_normalisation_removes_punctuation_before_articles():
    assert normalised("  The  Cat, an (old) A-team. ") == "cat old ateam"
    assert normalised("a.b the-n Theory") == "ab then theory"


def test_exact_match_and_token_f1_take_the_best_reference():
    references = ("the red kite", "a kite")
    assert exact_match("Kite!", references) == 1.0 and exact_match("red", references) == 0.0
    assert token_f1("a red ball", references) == pytest.approx(2 * 1 / (2 + 2))
    assert token_f1("kite kite", ("kite ball",)) == pytest.approx(
        2 * 1 / (2 + 2)
    )  # a word counts as often as it is there


@pytest.mark.parametrize(
    ("answer", "references", "right"), [("", (), 1), ("kite", (), 0), ("", ("kite",), 0), ("the", (), 1)]
)
def test_no_answer_is_right_only_where_there_is_none(answer, references, right):
    assert exact_match(answer, references) == token_f1(answer, references) == right


def test_the_baseline_of_answers_is_the_most_frequent_one():
    score = evaluate("exact-match", ["x", "y", "z"], [("kite",), ("kite", "red kite"), ()])
    assert (score.baseline, score.baseline_name) == (pytest.approx(2 / 3), "most frequent answer")


def test_bleu_is_of_the_corpus_not_the_mean_of_its_sentences():
    sacrebleu = pytest.importorskip("sacrebleu")
    predictions = ["the dog ran home at noon", "a cat sat on the old mat today", "no"]
    references = ["the dog went home at noon", "the cat sat on the old mat", "yes"]
    assert value("bleu", predictions, references) == pytest.approx(
        sacrebleu.corpus_bleu(predictions, [references]).score
    )
    assert value("bleu", references, references) == pytest.approx(100.0)
    assert value("bleu", ["dog"], ["a cat sat"]) < 1e-6


def test_rouge_counts_words_pairs_and_common_subsequences():
    # 3 of 4 words and 1 of 3 pairs are there; the longest common subsequence is "dog ran home".
    prediction, target = ["the dog ran home"], ["dog quickly ran home"]
    assert value("rouge-1", prediction, target) == pytest.approx(0.75)
    assert value("rouge-2", prediction, target) == pytest.approx(1 / 3)
    assert value("rouge-l", prediction, target) == pytest.approx(0.75)


def test_summary_level_rouge_does_not_mind_the_order_of_sentences():
    prediction, target = ["the dog ran\na cat slept"], ["a cat slept\nthe dog ran"]
    assert value("rouge-lsum", prediction, target) == pytest.approx(1.0)
    assert value("rouge-l", prediction, target) == pytest.approx(0.5)


def test_perplexity_beside_that_of_the_words_frequencies():
    score = evaluate("perplexity", [math.log(0.5), math.log(0.125)], ["dog", "cat"])
    assert score.value == pytest.approx(4.0) and score.baseline == pytest.approx(2.0)
    assert math.isfinite(value("perplexity", [-math.inf], ["dog"]))


def test_the_interval_is_that_of_a_share_and_repeats():
    references = [1] * 400
    predictions = [1] * 300 + [0] * 100
    score = evaluate("accuracy", predictions, references, seed=1)
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)  # of the normal approximation
    assert score.low == pytest.approx(0.75 - half, abs=0.01) and score.high == pytest.approx(0.75 + half, abs=0.01)
    assert evaluate("accuracy", predictions, references, seed=1) == score
    assert evaluate("accuracy", predictions, references, seed=2) != score


EXAMPLES = {
    "rte": ([Classification("A.", "B.", 1)] * 2, [1, 0], 0.5),
    "stsb": ([Similarity("A.", "B.", 1.0), Similarity("A.", "C.", 4.0)], [0.0, 3.0], 1.0),
    "race": ([MultipleChoice("A.", "Q?", ("a", "b", "c", "d"), 2)] * 2, [2, 2], 1.0),
    "dprd": ([Pronoun("A saw B as ", "he", ".", ("A", "B"), 0)], [1], 0.0),
    "squad": ([Span("1", "Who?", "A dog.", (("A dog", 0),), False)], ["dog"], 1.0),
    "lambada": ([LastWord("the", "dog")], ["dog"], 1.0),
    "xsum": ([Summary("A dog ran.", "dog ran")], ["dog ran"], 1.0),
    "translation": ([Translation("der Hund lief nach Haus", "the dog ran home")], ["the dog ran home"], 100.0),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_task_is_scored_by_its_metrics(name):
    examples, predictions, headline = EXAMPLES[name]
    scores = evaluate_task(TASKS[name], predictions, examples)
    assert [s.metric for s in scores] == [m for m in TASKS[name].metrics if m != "perplexity"]
    assert scores[0].value == pytest.approx(headline)
    if name in ("race", "dprd"):
        assert scores[0].baseline_name == "chance"


def test_last_words_are_scored_by_perplexity_if_probabilities_are_given():
    scores = evaluate_task(TASKS["lambada"], ["dog"], [LastWord("the", "dog")], log_probabilities=[-1.0])
    assert [s.metric for s in scores] == ["accuracy", "perplexity"] and scores[1].value == pytest.approx(math.e)


def test_every_metric_of_every_task_exists():
    assert {metric for task in TASKS.values() for metric in task.metrics} <= set(METRICS)


def test_what_cannot_be_scored_is_one_sentence(monkeypatch):
    with pytest.raises(UserError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        evaluate("acuracy", [1], [1])
    with pytest.raises(UserError, match="needs a prediction for each reference: 1 and 2 given"):
        evaluate("accuracy", [1], [1, 0])
    with pytest.raises(UserError, match="0 and 0 given"):
        evaluate("accuracy", [], [])
    with pytest.raises(UserError, match="not finite"):
        evaluate("pearson", [math.nan, 1.0], [0.0, 1.0])
    with pytest.raises(UserError, match="have no label"):
        evaluate_task(TASKS["rte"], [1], [Classification("A.", "B.", None)])
    monkeypatch.setattr(metrics, "import_module", missing)
    with pytest.raises(UserError, match="needs the package sacrebleu"):
        evaluate("bleu", ["a"], ["a"])


def test_what_is_missing_is_known_before(monkeypatch):
    """Without its packages a metric either works or is refused by `check_packages`, in the same words."""
    monkeypatch.setattr(metrics, "import_module", missing)
    for name, (make, _) in metrics.METRICS.items():
        used, checked = (refusal(f) for f in (partial(make, ["a"], ["a"]), partial(metrics.check_packages, [name])))
        assert used == checked


def refusal(call):
    try:
        call()
    except UserError as error:
        return str(error)
    except (TypeError, ValueError):  # texts are no numbers, which is not asked here
        return None


def missing(name):
    raise ImportError(name)
