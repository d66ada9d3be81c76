"""Programs that make choices: drawn, parsed, listed and summed over, all four agree; and ambiguity is seen."""

import math
from collections import Counter

import pytest

from minigpt.data.storyworld import engine
from minigpt.data.storyworld.measure import Entropy, _all


def small(c):
    """Every kind of choice, and one whose words begin like another's."""
    thing = c.any(("kite", "kitten"), show=str)
    c.say((" is", " is not"), (3, 1))
    far = c.pick((True, False), (0.2, 0.8))
    if far:
        c.emit(" far")
        c.maybe(" away", 0.25)
    c.mark()
    ends = c.call(rest, 2 if far else 1)
    c.note(thing)
    return far, ends


def rest(c, count):
    """A part that comes to an end by itself, and says so."""
    if count < 4 and c.pick((True, False), (1, 2)):
        c.emit(".")
        return c.call(rest, count + 1)
    return count


def ambiguous(c):
    c.say(("a", "aa"))
    c.say(("a", ""))


def test_all_texts_of_a_program_have_probabilities_that_sum_to_one():
    assert math.fsum(p for _, p, _ in engine.outcomes(small)) == pytest.approx(1, abs=1e-12)


def test_each_text_is_parsed_to_its_own_derivation():
    for text, p, value in engine.outcomes(small):
        (found,) = engine.parse(small, text)
        assert (found.text, found.value) == (text, value) and found.log_p == pytest.approx(math.log(p))
        assert found.notes == ("kitten" if "kitten" in text else "kite",)


def test_what_a_program_cannot_write_has_no_derivation():
    for text in ("", "kit", "kite", "kite is near", "kite is far away.....", "Kite is", " kite is"):
        assert engine.parse(small, text) == []


def test_ambiguity_is_seen():
    assert sorted(math.exp(d.log_p) for d in engine.parse(ambiguous, "aa")) == [0.25, 0.25]
    assert len(engine.parse(ambiguous, "a")) == len(engine.parse(ambiguous, "aaa")) == 1


def test_the_entropy_is_that_of_all_derivations():
    listed = [p for _, p, _ in engine.outcomes(small)]
    assert engine.entropy(small) == pytest.approx(-math.fsum(p * math.log(p) for p in listed), rel=1e-12)


def test_texts_are_drawn_as_often_as_they_are_probable():
    count = 20_000
    drawn = Counter(engine.draw(small, engine.mix(i)).text for i in range(count))
    chances = {text: p for text, p, _ in engine.outcomes(small)}
    assert drawn.keys() <= chances.keys()
    for text, p in chances.items():
        assert abs(drawn[text] - count * p) < 5 * math.sqrt(count * p) + 1


def test_a_draw_is_a_function_of_its_key_and_knows_its_probability():
    one = engine.draw(small, 17)
    assert one == engine.draw(small, 17)
    (parsed,) = engine.parse(small, one.text)
    assert one.log_p == pytest.approx(parsed.log_p) and one.sentences == parsed.sentences


def test_splitmix_is_the_published_generator():
    """The first outputs for seed 1234567, from the reference implementation."""
    c = engine.Drawing(1234567)
    numbers = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [c.uniform() for _ in numbers] == [(n >> 11) * 2.0**-53 for n in numbers]


def test_the_mean_over_all_kinds_weighs_them_by_their_shares():
    one, two = Entropy(0.25, 10.0, 11.0, 1.0, 40.0), Entropy(0.75, 20.0, 18.0, 2.0, 80.0)
    whole = _all({"one": one, "two": two})
    choice = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert whole == pytest.approx((1.0, choice + 17.5, choice + 16.25, math.hypot(0.25, 1.5), 70.0), rel=1e-12)


def test_a_choice_that_is_none_has_no_entropy():
    assert engine.choice_entropy([0.0, 1.0]) == 0.0
    assert engine.choice_entropy([0.5, 0.5]) == pytest.approx(math.log(2), rel=1e-15)
