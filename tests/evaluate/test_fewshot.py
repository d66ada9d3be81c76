"""Examples in the context: which, in what order, how they are laid out, and that learning from them is measured."""

import pytest

from minigpt.core.errors import UserError
from minigpt.evaluate.fewshot import DoesNotFit, few_shot
from minigpt.evaluate.task_data import TaskData
from minigpt.tasks import TASKS, Classification, LastWord, Similarity, Span, Summary, Translation
from minigpt.tasks.world.labels import LABELS, Labelled

from .scripted import SURE, continued, scripted


def copier(text: str) -> dict[str, float]:
    """A model that learns from its context: after "x -> " what stood behind the last line that began with the same."""
    *before, line = text.split("\n")
    asked, arrow, written = line.partition(" ->")
    for shown in reversed(before):
        known, _, label = shown.partition(" ->")
        if arrow and known[0] == asked[0] and label.startswith(written) and len(label) > len(written):
            return {label[len(written)]: SURE}
    return {}


def lists(count=12):
    lines = ("apple -> dax", "banana -> wug", "avocado -> dax", "berry -> wug")
    return [Labelled(lines, ("almond ->", "bread ->")[n % 2], ("wug", "dax"), 1 - n % 2) for n in range(count)]


def test_examples_in_the_context_are_learned_from():
    data, loaded = TaskData(LABELS, lists(), []), scripted(copier)
    by_shots = [few_shot(loaded, data, shots).score.value for shots in (0, 1, 2, 4)]
    assert by_shots[0] == 0.5 and by_shots[-1] == 1.0  # "wug" and "dax" are as likely while nothing was shown
    assert by_shots == sorted(by_shots) and by_shots[1] < 1.0
    assert few_shot(loaded, data, 4).score.baseline == 0.5  # chance, with two labels


def test_the_lines_come_from_the_list_itself_drawn_for_each_question():
    seen = []

    def rule(text):
        seen.append(text)
        return ""

    few_shot(scripted(rule), TaskData(LABELS, lists(6), []), 3)
    contexts = {text for text in seen if text.endswith(" ->")}
    for text in contexts:
        *shown, asked = text.split("\n")
        assert len(set(shown)) == 3 and set(shown) <= set(lists()[0].lines) and asked in ("almond ->", "bread ->")
    assert len({text.rpartition("\n")[0] for text in contexts}) > 2  # not the same ones each time


def test_more_examples_begin_like_fewer():
    def shown(shots, seed=0):
        seen = []
        few_shot(scripted(lambda text: seen.append(text) or ""), TaskData(LABELS, lists(1), []), shots, seed=seed)
        return next(text for text in seen if text.endswith(" ->")).split("\n")[:-1]

    assert shown(4)[:2] == shown(2) and shown(3, seed=1) != shown(3, seed=2)


def test_pairs_stand_apart_by_blank_lines():
    examples = [Classification(f"It rains {w}.", "It rains.", label) for w, label in [("here", 0), ("there", 1)]]
    seen = []
    few_shot(scripted(lambda text: seen.append(text) or ""), TaskData(TASKS["rte"], examples[:1], examples[1:]), 1)
    told = "It rains there.\nquestion: It rains. True or False?\nanswer: False"
    assert f"{told}\n\nIt rains here.\nquestion: It rains. True or False?\nanswer:" in seen


def test_free_answers():
    pairs = [Translation("the dog.", "god ta da ra la."), Translation("the cat.", "tac ta da ra la.")]
    data = TaskData(TASKS["translation"], pairs[:1], pairs[1:])
    loaded = scripted(continued({"the cat. = tac ta da ra la.\nthe dog. =": " god ta da ra la.\n"}))
    assert few_shot(loaded, data, 1).score.value == pytest.approx(100.0)
    assert few_shot(loaded, data, 0).score.value == 0.0
    loaded = scripted(continued({"the cat. =\ntac ta da ra la.\n\nthe dog. =\n": "god ta da ra la.\n"}))
    assert few_shot(loaded, data, 1, gpt3=True).score.value == pytest.approx(100.0)

    words = [LastWord("Mia ate the", "cake"), LastWord("Tom saw a", "ship")]
    data = TaskData(TASKS["lambada"], words[:1], words[1:])
    context = "Fill in blank:\n\nTom saw a ____. -> ship\nMia ate the ____. ->"
    assert few_shot(scripted(continued({context: " cake\n"})), data, 1, gpt3=True).score.value == 1.0
    assert few_shot(scripted(continued({"Tom saw a ship\nMia ate the": " cake."})), data, 1).score.value == 1.0

    spans = [Span("1", "Who?", "Mia ran.", (), True), Span("2", "Who?", "Tom ran.", (("Tom", 0),), False)]
    loaded = scripted(continued({"A: Tom\n\nMia ran.\nQ: Who?\nA:": " none\n"}))
    assert few_shot(loaded, TaskData(TASKS["squad"], spans[:1], spans[1:]), 1).score.value == 1.0


def test_what_does_not_fit_is_refused():
    data = TaskData(LABELS, lists(4), [])
    with pytest.raises(
        DoesNotFit, match=r"with 4 examples before it a question of labels comes to 67 tokens, .* context is 40; take"
    ):
        few_shot(scripted(copier, context=40), data, 4)
    assert few_shot(scripted(copier, context=67), data, 4).score.value == 1.0
    with pytest.raises(DoesNotFit):
        few_shot(scripted(copier, context=66), data, 4)
    with pytest.raises(UserError, match="labels has 4 examples to show, not 5"):
        few_shot(scripted(copier), data, 5)
    assert few_shot(scripted(copier, context=12), data, 0).score.value == 0.5  # alone, it would be cut


def test_tasks_without_a_prompt_are_refused():
    for name, e in [("stsb", Similarity("A.", "B.", 1.0)), ("cnn-dm", Summary("A. B.", "A."))]:
        with pytest.raises(UserError, match=f"the task {name} has no few-shot prompt"):
            few_shot(scripted(copier), TaskData(TASKS[name], [e], [e]), 1)
