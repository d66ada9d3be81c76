"""The checks of exercises accept right answers, refuse wrong ones and say why, and let unanswered ones pass."""

from importlib import import_module

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.lab.exercises import WrongAnswer, check_exercise, checks, exercise_names, find_exercise
from minigpt.lab.testing import check_exercise as shown_to_readers

from ..tiers import some

NAMES = exercise_names()


def answer(name):
    notebook, number = name.split("/")
    module = import_module(f".answers.n{notebook.replace('-', '_')}", __package__)
    return module.ANSWERS[int(number) - 1]


@pytest.mark.parametrize("name", NAMES)
def test_the_right_answer_is_accepted(name, capsys):
    check_exercise(name, answer(name).right)
    assert capsys.readouterr().out == f"{name} is right.\n"


@pytest.mark.parametrize(
    "name", some(NAMES, set(NAMES) - {"09-cuda/4"}, "test_the_right_answer_is_accepted of 09-cuda/4")
)
def test_wrong_answers_are_refused(name):
    assert len(answer(name).wrong) >= 2
    for wrong in answer(name).wrong:
        with pytest.raises(WrongAnswer, match=f"{name} is not right yet: .* Hint: "):
            check_exercise(name, wrong)


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_has_answered_yet_is_no_error(name, capsys):
    nothing = [None, ...]
    if callable(answer(name).right):
        nothing += [lambda *arguments: ..., lambda *arguments: None]
    for unanswered in nothing:
        check_exercise(name, unanswered)
        said = " ".join(capsys.readouterr().out.split("\n"))
        assert said == f"{name} is not answered yet. Hint: {find_exercise(name).hint} "


def test_readers_find_it_in_testing():
    assert shown_to_readers is check_exercise


@pytest.mark.parametrize("name", ["", "03-objective", "03-objective/0", "03-objective/99", "03-objective/x", "99-no/1"])
def test_exercises_that_do_not_exist(name):
    with pytest.raises(UserError, match="there is no exercise"):
        check_exercise(name, 1)


def doubled(x, total):
    """Return 2 x, and add it into `total`."""
    total += 2 * x
    return 2 * x


def inputs(rng):
    yield rng.standard_normal(3), np.zeros(3)
    yield rng.standard_normal((2, 3)).astype("float32"), np.zeros((2, 3), "float32")


def squared(x, total):
    total += 2 * x
    return x * x


FUNCTION = checks.Function(doubled, inputs, mistakes=[checks.Mistake(squared, "That is the square.")])


def said(check, answer):
    with pytest.raises(WrongAnswer) as error:
        check(answer)
    return str(error.value)


def test_what_is_said_about_a_function():
    def with_result(result):
        def wrong(x, total):
            total += 2 * x
            return result(x)

        return said(FUNCTION, wrong)

    FUNCTION(doubled)
    about = "with x of shape (3,) (float64), total of shape (3,) (float64), "
    assert said(FUNCTION, 3) == "the answer must be a function, not an int."
    assert with_result(lambda x: x[:2]) == f"{about}the result has shape (2,), but it must have shape (3,)."
    assert with_result(lambda x: 2 * x + [0, 0, 1]).startswith(f"{about}entry [2] of the result is ")
    assert "(1 of 3 entries are wrong)" in with_result(lambda x: 2 * x + [0, 0, 1])
    assert "is nan, but it must be" in with_result(lambda x: x * np.nan)
    assert with_result(lambda x: "text") == f"{about}the result is a str, but it must be an array of numbers."
    assert with_result(lambda x: x * x).endswith("(3 of 3 entries are wrong). That is the square.")
    assert "the result is float64, but it must be float32" in with_result(lambda x: 2 * x.astype("float64"))


def test_what_is_said_about_arguments():
    def forgets(x, total):
        return 2 * x

    def overwrites(x, total):
        total += 2 * x
        x *= 2
        return x

    assert "entry [0] of total afterwards is 0, but it must be" in said(FUNCTION, forgets)
    assert "x was changed, but inputs must stay as they are" in said(FUNCTION, overwrites)


def test_a_function_that_only_adds_into_its_argument():
    def add(total, x):
        total += x

    check = checks.Function(add, lambda rng: [(np.zeros(2), rng.standard_normal(2))])
    check(add)
    with pytest.raises(checks.NotAnswered):
        check(lambda total, x: None)
    with pytest.raises(checks.NotAnswered):
        check(lambda total, x: ...)
    assert "total afterwards" in said(check, lambda total, x: np.copyto(total, 2 * x))


def test_a_function_that_raises_is_shown_with_what_it_was_given():
    def broken(x, total):
        return x @ np.ones(99)

    with pytest.raises(ValueError) as error:
        FUNCTION(broken)
    assert error.value.__notes__ == [
        "Raised by your function, which was called with x of shape (3,) (float64), total of shape (3,) (float64)."
    ]
    with pytest.raises(checks.NotAnswered):

        def not_yet(x, total):
            raise NotImplementedError

        FUNCTION(not_yet)


def test_what_is_said_about_a_value_does_not_give_it_away():
    check = checks.Value(lambda: 2.5, mistakes=[checks.Mistake(5.0, "Half of it.")])
    check(2.5)
    check(np.float32(2.5))
    assert said(check, 5.0) == "the answer is 5, which is too large. Half of it."
    assert said(check, 1) == "the answer is 1, which is too small."
    assert said(check, float("nan")) == "the answer is nan, which is not a number."
    assert said(check, "2.5") == "the answer is a str, but it must be a number."
    assert said(check, [2.5]) == "the answer has shape (1,), but it must have shape ()."
    text = checks.Value(lambda: "heads")
    text("heads")
    assert said(text, "tails") == "the answer is 'tails', which is not right."
    several = checks.Value(lambda: [[1, 2], "a"])
    several(([1, 2], "a"))
    assert said(several, [[1, 3], "a"]) == ("item 2 of item 1 of the answer is 3, which is too large.")
    assert said(several, [[1, 2]]) == "the answer has 1 items, but not so many."
    assert said(several, 7) == "the answer is an int, but it must be a list of 2."


def test_in_a_notebook_only_the_message_is_shown():
    with pytest.raises(WrongAnswer) as error:
        checks.Value(lambda: 1)(2)
    assert error.value._render_traceback_() == ["WrongAnswer: the answer is 2, which is too large."]
    (lines,) = WrongAnswer(30 * "word ")._render_traceback_()
    assert max(map(len, lines.split("\n"))) <= 96
