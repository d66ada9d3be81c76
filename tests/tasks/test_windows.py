"""SQuAD's rules: windows, where the answer stands, which window judges a token, and the best span."""

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.models import BARTConfig, BertConfig
from minigpt.ops import IGNORE
from minigpt.tasks import Span
from minigpt.tasks.inputs import bart_inputs, bert_inputs
from minigpt.tasks.windows import answer_tokens, best_answer, windows

CONTEXT = "the red cat sat on the mat and the dog sat on the hat while a bird sang"


@pytest.fixture(scope="module")
def inputs():
    words = tokenizers.train("wordpiece", [CONTEXT + " who where ?"] * 9, 200)
    return bert_inputs(BertConfig(vocab_size=words.vocab_size, context=12), words, False)


def example(answer="the hat", impossible=False):
    answers = () if impossible or answer is None else ((answer, CONTEXT.index(answer)),)
    return Span("q1", "where?", CONTEXT, answers, impossible)


def test_windows_overlap_and_cover_the_context(inputs):
    made = windows(example(), inputs, question=64, stride=3)
    asked = inputs.tokenizer.encode("where?")
    for window in made:
        ids = window.told.ids.tolist()
        assert ids[0] == inputs.marks.begin and ids[1 : window.first] == [*asked, inputs.marks.between]
        assert ids[-1] == inputs.marks.end and len(ids) <= 12 and window.told.types[window.first] == 1
        text = [CONTEXT[a:b] for a, b in window.offsets]
        assert inputs.tokenizer.decode(ids[window.first : -1]).split() == text
    starts = [window.offsets[0][0] for window in made]
    assert len(made) > 2 and starts == sorted(starts)
    seen = {offset for window in made for offset in window.offsets}
    assert seen == set(inputs.tokenizer.encode_with_offsets(CONTEXT)[1])
    assert sum(int(window.best.sum()) for window in made) == len(seen)  # every token is judged in one window


def test_the_window_that_shows_most_around_a_token_judges_it(inputs):
    made = windows(example(), inputs, question=64, stride=3)
    room = len(made[0].offsets)
    shared = made[0].offsets[room - 1]  # the last of the first window stands further inside the second
    assert not made[0].best[room - 1] and made[1].best[made[1].offsets.index(shared)]
    assert made[0].best[0]


def test_answers_stand_where_they_are_or_at_the_first_token(inputs):
    made = windows(example(), inputs, question=64, stride=3)
    inside = [window for window in made if window.answer != (0, 0)]
    assert inside and len(inside) < len(made)
    for window in inside:
        a, b = (window.offsets[place - window.first] for place in window.answer)
        assert CONTEXT[a[0] : b[1]] == "the hat"
    assert {w.answer for w in windows(example(impossible=True), inputs, question=64, stride=3)} == {(0, 0)}
    assert {w.answer for w in windows(example(None), inputs, question=64, stride=3)} == {(IGNORE, IGNORE)}


def test_bytes_of_the_second_text_keep_their_places():
    letters = tokenizers.train("char", [CONTEXT + " where?"])
    bart = bart_inputs(BARTConfig(vocab_size=99, context=100, bos=90, eos=91), letters, False)
    (window,) = windows(example("cat"), bart, question=64, stride=0)
    first, last = window.answer
    assert letters.decode(window.told.ids[first : last + 1].tolist()) == "cat" and window.told.ids[0] == 90


def test_answer_tokens():
    offsets = [(0, 3), (4, 7), (7, 8), (9, 12)]
    assert answer_tokens(offsets, 4, 8) == (1, 2) and answer_tokens(offsets, 5, 6) == (1, 1)
    with pytest.raises(UserError, match="no token stands at the characters 3 to 4"):
        answer_tokens(offsets, 3, 4)


def scores_for(made, high):
    """Scores of 0 everywhere, but for {(window, row, place in the window): score}."""
    scores = [np.zeros((2, 12)) for _ in made]
    for (window, row, place), value in high.items():
        scores[window][row, made[window].first + place] = value
    return scores


def test_the_best_span_obeys_the_rules(inputs):
    made = windows(example(), inputs, question=64, stride=3)
    rules = {"longest": 3, "n_best": 20}
    found = best_answer(CONTEXT, made, scores_for(made, {(0, 0, 1): 5.0, (0, 1, 2): 4.0}), **rules)
    assert found.text == "red cat" and found.margin == pytest.approx(9.0)
    backwards = scores_for(made, {(0, 0, 2): 5.0, (0, 1, 1): 5.0})  # the end before the start: not a span
    assert best_answer(CONTEXT, made, backwards, **rules).margin == pytest.approx(5.0)
    too_long = scores_for(made, {(0, 0, 0): 5.0, (0, 1, 3): 5.0})
    assert best_answer(CONTEXT, made, too_long, **rules).margin == pytest.approx(5.0)
    assert best_answer(CONTEXT, made, too_long, longest=4, n_best=20).margin == pytest.approx(10.0)
    place = int(np.flatnonzero(~made[0].best)[0])
    elsewhere = scores_for(made, {(0, 0, place): 9.0, (0, 1, place): 9.0})  # judged in another window
    assert best_answer(CONTEXT, made, elsewhere, **rules).margin == pytest.approx(9.0)
    nothing = [np.where(np.arange(12) == 0, 3.0, s) for s in scores_for(made, {})]
    assert best_answer(CONTEXT, made, nothing, **rules).margin == pytest.approx(-6.0)


def test_no_room_for_a_context_is_refused(inputs):
    with pytest.raises(UserError, match="leaves no room for its context"):
        windows(example()._replace(question="where? " * 9), inputs, question=64, stride=0)
