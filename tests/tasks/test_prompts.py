"""Prompts, character by character."""

import pytest

from minigpt.core.errors import UserError
from minigpt.tasks import TASKS, Classification, LastWord, MultipleChoice, Pronoun, Similarity, Span, Summary
from minigpt.tasks import Translation as T
from minigpt.tasks import prompts as ask


def pair(text, other, label=0):
    return Classification(text, other, label)


@pytest.mark.parametrize(
    "name, example, context, words",
    [
        ("sst2", pair("A fine film .", None), "A fine film . very", (" negative", " positive")),
        (
            "rte",
            pair("It rains.", "The sun shines"),
            "It rains.\nquestion: The sun shines. True or False?\nanswer:",
            (" True", " False"),
        ),
        ("wnli", pair("A.", "B."), "A.\nquestion: B. True or False?\nanswer:", (" False", " True")),
        (
            "mnli",
            pair("It rains.", "It pours!"),
            "It rains.\nquestion: It pours! True, False, or Neither?\nanswer:",
            (" True", " Neither", " False"),
        ),
        ("cola", pair("Cat the.", None), "Cat the.\nquestion: Is this good English?\nanswer:", (" no", " yes")),
        ("mrpc", pair("A b.", "B a."), "A b.\nB a.\nquestion: Do both say the same?\nanswer:", (" no", " yes")),
        (
            "qnli",
            pair("Who?", "It was me."),
            "It was me.\nquestion: Who? True if this says it, else False.\nanswer:",
            (" True", " False"),
        ),
    ],
)
def test_classes_are_words(name, example, context, words):
    assert ask.choices(TASKS[name], example) == tuple((context, word) for word in words)


def test_every_task_of_classes_has_a_prompt():
    names = {name for name, task in TASKS.items() if task.kind is Classification}
    assert names == set(ask.CLASSIFICATION)


def test_endings_go_on_with_the_story():
    e = MultipleChoice("Mia ran. She fell.", "", ("She cried.", "She flew."), 0)
    assert ask.choices(TASKS["story-cloze"], e) == (
        ("Mia ran. She fell.", " She cried."),
        ("Mia ran. She fell.", " She flew."),
    )


def test_questions_have_their_lines():
    e = MultipleChoice("Mia ran.", "Who ran?", ("Mia", "Tom"), 0)
    assert ask.choices(TASKS["race"], e)[1] == ("Mia ran.\nQ: Who ran?\nA:", " Tom")
    assert ask.choices(TASKS["race"], e, gpt3=True)[1] == ("Article:\nMia ran.\n\nQ: Who ran?\n\nA:", " Tom")


def test_a_blank_is_filled():
    e = MultipleChoice("Mia ran.", "She was _ of the dog.", ("afraid", "proud"), 0)
    assert ask.choices(TASKS["race"], e)[0] == ("Mia ran. She was", " afraid of the dog.")
    e = MultipleChoice("Mia ran.", "The XXXXX ran too .", ("dog", "cat"), 0)
    assert ask.choices(TASKS["cbt-cn"], e)[1] == ("Mia ran. The", " cat ran too .")
    e = MultipleChoice("Mia ran.", "_ ran too.", ("Tom", "Ben"), 0)
    assert ask.choices(TASKS["race"], e)[1] == ("Mia ran.", " Ben ran too.")


@pytest.mark.parametrize("question, word", [("cause", "because"), ("effect", "so")])
def test_causes_and_effects(question, word):
    e = MultipleChoice("The cup broke.", question, ("It fell.", "It flew."), 0)
    assert ask.choices(TASKS["copa"], e)[0] == (f"The cup broke {word}", " it fell.")


def test_pronouns_are_replaced():
    e = Pronoun("The cup does not fit the box because ", "it", " is too big.", ("the cup", "the box"), 0)
    stem = "The cup does not fit the box because"
    assert ask.choices(TASKS["winograd"], e) == (
        (f"{stem} the cup", " is too big."),
        (f"{stem} the box", " is too big."),
    )
    assert ask.whole_sentences(e)[1] == ("", f"{stem} the box is too big.")
    e = Pronoun("", "His", " hat fell.", ("the man", "James"), 0)
    assert ask.choices(TASKS["dprd"], e) == (("The man's", " hat fell."), ("James'", " hat fell."))


def test_what_is_to_be_written():
    span = Span("1", "Who ran?", "Mia ran.", (("Mia", 0),), False)
    for e, prompt, answer in [
        (Summary("A. B.", "A."), "A. B.\nTL;DR:", " A."),
        (span, "Mia ran.\nQ: Who ran?\nA:", " Mia"),
        (span._replace(answers=(), impossible=True), "Mia ran.\nQ: Who ran?\nA:", " none"),
        (T("The cat.", "Die Katze."), "The cat. =", " Die Katze."),
        (LastWord("Mia ate the", "cake"), "Mia ate the", " cake"),
    ]:
        assert (ask.prompt(e), ask.answer(e)) == (prompt, answer)
    assert ask.prompt(T("The cat.", "Die Katze."), gpt3=True) == "The cat. =\n"
    assert ask.answer(T("The cat.", "Die Katze."), gpt3=True) == "Die Katze."
    assert ask.prompt(LastWord("Mia ate the", "cake"), gpt3=True) == "Mia ate the ____. ->"


def test_no_context_ends_with_a_space_and_completions_begin_with_one():
    examples = {
        "sst2": pair("a film ", None),
        "story-cloze": MultipleChoice("A.", "", ("B.", "C."), 0),
        "race": MultipleChoice("A.", "_ is?", ("B", "C"), 0),
    }
    for name, e in examples.items():
        for context, completion in ask.choices(TASKS[name], e):
            assert context == context.rstrip() and completion.startswith(" ")


def test_examples_stand_before_the_question():
    lines = [ask.demonstration(TASKS["translation"], T("The cat.", "Die Katze.")) for _ in range(2)]
    assert ask.in_context(lines, "The dog. =") == "The cat. = Die Katze.\nThe cat. = Die Katze.\nThe dog. ="
    told = ask.demonstration(TASKS["rte"], pair("It rains.", "It pours.", 1))
    assert told == "It rains.\nquestion: It pours. True or False?\nanswer: False"
    assert ask.in_context([told], "A.\nquestion: B.") == f"{told}\n\nA.\nquestion: B."
    assert ask.in_context([], "A.\nquestion: B.") == "A.\nquestion: B."
    e = LastWord("Mia ate the", "cake")
    shown = ask.demonstration(TASKS["lambada"], e, gpt3=True)
    heading = ask.heading(TASKS["lambada"], gpt3=True)
    asked = ask.in_context([shown], ask.prompt(e, gpt3=True), heading)
    assert asked == "Fill in blank:\n\nMia ate the ____. -> cake\nMia ate the ____. ->"
    e = Pronoun("Tom saw Ben, and ", "he", " ran.", ("Tom", "Ben"), 1)
    assert ask.demonstration(TASKS["dprd"], e) == "Tom saw Ben, and Ben ran."


def test_what_has_no_prompt():
    with pytest.raises(UserError, match="the task stsb has no prompt whose options can be compared"):
        ask.choices(TASKS["stsb"], Similarity("A.", "B.", 1.0))
    with pytest.raises(UserError, match="there is no prompt for an example of the kind Similarity"):
        ask.prompt(Similarity("A.", "B.", 1.0))
