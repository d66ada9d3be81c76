"""Tasks without a gradient step, asked of models that say what the test wants: procedures, baselines, skill."""

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.evaluate.zeroshot import (
    Settings,
    best_threshold,
    default_rule,
    first_lines,
    first_sentences,
    needs_others,
    zero_shot,
)
from minigpt.tasks import TASKS, Classification, LastWord, MultipleChoice, Pronoun, Span, Summary, Translation
from minigpt.tasks.metrics import evaluate
from minigpt.tasks.prompts import can_ask

from .scripted import continued, scripted

REVIEWS = [Classification(f"It was a {word} film.", None, label) for word, label in [("good", 1), ("bad", 0)] * 5]


def test_sentiment_follows_the_word_very():
    asked = []

    def rule(text):
        asked.append(text)
        return continued({"good film. very": " positive", "bad film. very": " negative"})(text)

    finding = zero_shot(scripted(rule), TASKS["sst2"], REVIEWS)
    assert finding.value == 1.0 and finding.chance == 0.5 and finding.skill == 1.0
    assert any(text.endswith(" very") for text in asked)
    assert finding.scores[0].metric == "accuracy" and finding.scores[0].count == 10
    contrary = continued({"good film. very": " negative", "bad film. very": " positive"})
    wrong = zero_shot(scripted(contrary), TASKS["sst2"], REVIEWS)
    assert wrong.value == 0.0 and wrong.skill == -1.0


def test_options_are_compared_by_the_rule():
    """The long ending has the larger mean, the short one the larger sum."""
    story = [
        MultipleChoice("Mia ran.", "", ("No.", "She ran and ran and ran all the way home."), label) for label in (0, 1)
    ]
    loaded = scripted(continued({"Mia ran.": " She ran and ran and ran"}))
    assert zero_shot(loaded, TASKS["story-cloze"], story[1:]).value == 0.0  # Σ log p
    assert zero_shot(loaded, TASKS["story-cloze"], story[1:], settings=Settings("token")).value == 1.0
    assert zero_shot(loaded, TASKS["swag"], story[1:]).value == 1.0  # per token
    assert default_rule(TASKS["race"]) == default_rule(TASKS["dprd"]) == "token"
    assert default_rule(TASKS["rte"]) == "sum"


def test_chance_counts_the_options():
    """Where saying yes always has a good F1, that is no skill."""
    pairs = [Classification(f"It is {i}.", "It is.", int(i > 0)) for i in range(4)]
    finding = zero_shot(scripted(continued({"answer:": " yes"})), TASKS["mrpc"], pairs)
    assert finding.value == finding.chance == pytest.approx(6 / 7) and finding.skill == 0.0
    four = MultipleChoice("A.", "Q?", ("a", "b", "c", "d"), 1)
    two = MultipleChoice("A.", "", ("a", "b"), 1)
    finding = zero_shot(scripted(lambda text: " "), TASKS["race"], [four, two])
    assert finding.chance == pytest.approx((1 / 4 + 1 / 2) / 2)


def test_pronouns_partly_and_wholly():
    """What follows "the dog" is likely, so the dog is meant; the whole sentence prefers the cat."""
    rule = {"saw the dog": " bark", "the cat saw the dog and": " the cat was happy"}
    e = Pronoun("the cat saw the dog and ", "it", " barked.", ("the cat", "the dog"), 1)
    finding = zero_shot(scripted(continued({"and the dog": " barked.", **rule})), TASKS["dprd"], [e])
    assert finding.value == 1.0 and set(finding.beside) == {"whole sentences"}
    assert finding.beside["whole sentences"] == 1.0
    finding = zero_shot(scripted(continued({"dog and": " the cat", "and the cat": " x"})), TASKS["dprd"], [e])
    assert finding.beside["whole sentences"] == 0.0


def test_acceptability_takes_the_threshold_of_other_sentences():
    good = [Classification(f"{name} ran home.", None, 1) for name in ("Mia", "Tom", "Ben", "Eva")]
    bad = [Classification(f"{name} home ran.", None, 0) for name in ("Mia", "Tom", "Ben")]
    loaded = scripted(continued({"ia": " ran home.", "om": " ran home.", "en": " ran home.", "va": " ran home."}))
    finding = zero_shot(loaded, TASKS["cola"], good + bad, good[:2] + bad[:2])
    assert finding.value == 1.0 and finding.chance == 0.0
    assert "from 4 other sentences" in finding.how and finding.beside["threshold"] < 0
    with pytest.raises(UserError, match="all of one class"):
        zero_shot(loaded, TASKS["cola"], good + bad, good)
    with pytest.raises(UserError, match='the rule "unconditional" compares options; cola has none'):
        zero_shot(loaded, TASKS["cola"], good + bad, good + bad, Settings("unconditional"))


def test_the_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.integers(0, 2, 30)
        labels[:2] = 0, 1
        values = np.round(labels + rng.normal(0, 1.0, 30), 1)  # some of them equal
        found = best_threshold(values, labels.tolist())

        matthews = [
            np.corrcoef(values >= t, labels)[0, 1] for t in np.arange(-3, 4, 0.05) if 0 < (values >= t).sum() < 30
        ]
        assert np.corrcoef(values >= found, labels)[0, 1] == pytest.approx(max(matthews), abs=1e-12)


def test_last_words_with_and_without_stop_words():
    examples = [LastWord("Mia ate the", "cake"), LastWord("Tom ate the", "cake")]

    def rule(text):
        if text.endswith("Tom ate the "):
            return {"o": 40.0, "c": 38.0}
        return continued({"the ": "cake.", "Tom ate the o": "f.", "the": " "})(text)

    finding = zero_shot(scripted(rule), TASKS["lambada"], examples)
    assert finding.value == 0.5 and finding.beside["without stop words"] == 1.0
    assert [s.metric for s in finding.scores] == ["accuracy", "perplexity"]
    assert finding.chance == 0.0


def test_summaries_stand_beside_no_hint_the_first_and_random_sentences():
    article = "The dog ran. A cat sat. The sun shone. It was late. Nobody came."
    e = Summary(article, "The dog ran away.")
    said = {
        "TL;DR:": " The dog ran away. One two. Three four. Five six. Seven.",
        "came.": " The end is near. It is late. So long. Well.",
    }
    finding = zero_shot(scripted(continued(said)), TASKS["cnn-dm"], [e, e])
    three = "The dog ran away.\nOne two.\nThree four."  # of what was written, three sentences
    assert finding.scores[0].value == pytest.approx(evaluate("rouge-1", [three], [e.summary]).value)
    lead = "The dog ran.\nA cat sat.\nThe sun shone."
    assert finding.beside["lead-3, rouge-1"] == pytest.approx(evaluate("rouge-1", [lead], [e.summary]).value)
    assert finding.beside["without TL;DR, rouge-1"] == pytest.approx(
        evaluate("rouge-1", ["The end is near.\nIt is late.\nSo long."], [e.summary]).value
    )
    assert finding.chance == 0.0 < finding.beside["random-3, rouge-1"]
    assert finding.value > finding.beside["without TL;DR, rouge-1"]
    alone = zero_shot(scripted(continued(said)), TASKS["cnn-dm"], [e, e], settings=Settings(beside=False))
    assert alone.scores == finding.scores and alone.chance == finding.chance
    assert {name.partition(",")[0] for name in alone.beside} == {"lead-3", "random-3"}
    assert first_sentences("A b.  C d.\nE f. G h.") == ["A b.", "C d.", "E f."]


def test_translations_follow_other_pairs():
    pairs = [Translation(f"the {w}.", f"{w[::-1]} ta da ra la.") for w in ("dog", "cat", "sun", "cow")]
    seen = []

    def rule(text):
        seen.append(text)
        return continued({"the dog. =": " god ta da ra la.\nthe", "the cat. =": " tac da."})(text)

    finding = zero_shot(scripted(rule), TASKS["translation"], pairs[:2], pairs[2:])
    first = min((text for text in seen if text.endswith("the dog. =")), key=len)
    assert sorted(first.split("\n")) == ["the cow. = woc ta da ra la.", "the dog. =", "the sun. = nus ta da ra la."]
    assert finding.beside["word for word"] == 0.5 and finding.how == "after 2 pairs, greedy"
    assert finding.scores[0].metric == "bleu" and 0 < finding.skill < 1


def test_answers_are_the_first_line():
    examples = [
        Span("1", "Who ran?", "Mia ran.", (("Mia", 0),), False),
        Span("2", "Who flew?", "Tom ran.", (), True),
        Span("3", "Who sat?", "Ben sat.", (("Ben", 0),), False),
    ]
    said = {"Who ran?\nA:": " Mia\nQ: x", "Who flew?\nA:": " none\n", "Who sat?\nA:": " Tom"}
    finding = zero_shot(scripted(continued(said)), TASKS["squad"], examples)
    assert finding.value == pytest.approx(2 / 3)
    assert first_lines(scripted(continued({"A:": "\n Mia\nB"})), ["A:"], lambda n: None) == ["Mia"]


def test_what_can_be_asked():
    assert not can_ask(TASKS["stsb"])
    assert {name for name in TASKS if not can_ask(TASKS[name])} == {"stsb"}
    assert {name for name in TASKS if needs_others(TASKS[name])} == {"cola", "translation"}
