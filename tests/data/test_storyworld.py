"""The story world: one derivation for every text, known entropy, endings that follow from the facts, splits apart."""

import itertools
import math
import re
from collections import Counter

import pytest

from minigpt.core.errors import UserError
from minigpt.data import storyworld
from minigpt.data.storyworld import engine, english, lexicon, lists, reviews
from minigpt.data.storyworld.endings import consequence, ending
from minigpt.data.storyworld.facts import Report, Story
from minigpt.data.storyworld.rendering import all_endings, opposite, pronoun
from minigpt.data.storyworld.rendering import ending as an_ending

from ..tiers import some as some_of


def some(kind, count, seed=5):
    return [storyworld.document(seed, index, kind) for index in range(count)]


def check_one_derivation(numbers):
    for index in numbers:
        drawn = storyworld.document(0, index)
        (parsed,) = storyworld.parse(drawn.text)
        assert parsed._replace(log_p=0) == drawn._replace(log_p=0)
        assert parsed.log_p == pytest.approx(drawn.log_p, rel=1e-12)


@pytest.mark.parametrize("count", some_of([300, 1500], [300], "the same for fewer texts"))
def test_every_text_has_exactly_one_derivation(count):
    check_one_derivation(range(count))


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(10))
def test_every_one_of_100_000_texts_has_exactly_one_derivation(part):
    check_one_derivation(range(part * 10_000, (part + 1) * 10_000))


@pytest.mark.parametrize("kind", storyworld.KINDS)
def test_altered_texts_are_refused(kind):
    for one in some(kind, 20):
        text = one.text
        place = len(text) // 2
        altered = [
            text + " ",
            " " + text,
            text[:-1],
            text[:place] + text[place + 1 :],
            text[:place] + "q" + text[place:],
        ]
        assert [storyworld.derivations(t) for t in altered] == [0] * 5
    with pytest.raises(UserError, match="this is no document of the story world: 'Once upon a time'"):
        storyworld.log_probability("Once upon a time")


def test_a_story_with_a_fact_changed_is_refused():
    for one in some("story", 40):
        s = one.facts
        other = next(p.name for p in lexicon.PEOPLE if p not in (s.hero, s.friend))
        names = [m.start() for m in re.finditer(rf"\b{s.hero.name}\b", one.text)]
        if len(names) > 1:  # the name comes back, but as somebody else's
            changed = one.text[: names[-1]] + other + one.text[names[-1] + len(s.hero.name) :]
            assert storyworld.derivations(changed) == 0
        wrong = " ".join([*s.sentences[:4], an_ending(opposite(s))])
        assert storyworld.derivations(wrong) == 0


@pytest.mark.slow("commands/test_data_storyworld.py: entropy beside the mean")
def test_the_closed_form_is_the_mean_of_minus_log_p():
    found = storyworld.entropy(samples=3000)
    for one in found.values():
        assert abs(one.sampled - one.nats) < 4 * one.error
    assert found["all"].sampled == pytest.approx(found["all"].nats, rel=0.01)
    shares = [found[kind].share for kind in storyworld.KINDS]
    whole = math.fsum(
        share * (found[kind].nats - math.log(share)) for kind, share in zip(storyworld.KINDS, shares, strict=True)
    )
    assert math.fsum(shares) == pytest.approx(1) and found["all"].nats == pytest.approx(whole)
    assert found["all"].nats_per_character == pytest.approx(found["all"].nats / found["all"].characters)
    assert found["story"].nats > math.log(1e12)  # so many texts as if they were equally probable


@pytest.mark.exhaustive
def test_the_mean_of_minus_log_p_over_100_000_documents_is_the_entropy_to_a_percent():
    costs = [-storyworld.document(1, index).log_p for index in range(100_000)]
    assert math.fsum(costs) / len(costs) == pytest.approx(storyworld.entropy(samples=2)["all"].nats, rel=0.01)


def sub_programs():
    for one in some("story", 30):
        yield ending, (one.facts,)
        yield consequence, (one.facts,)
    yield lists._lines, ((("food", "dax"), ("place", "fep"), ("animal", "wug"), ("thing", "blip")), lists.MOST - 2)
    sort = reviews.SORTS[0]
    yield reviews._judge, (sort, tuple(sort.aspects), True)


def test_sub_grammars_sum_to_one():
    for program, arguments in sub_programs():
        found = list(engine.outcomes(program, *arguments))
        assert math.fsum(p for _, p, _ in found) == pytest.approx(1, abs=1e-12)
        assert len({text for text, _, _ in found}) == len(found)  # and no text comes about in two ways


def test_documents_are_a_function_of_seed_and_index():
    assert storyworld.document(3, 14) == storyworld.document(3, 14)
    texts = {storyworld.document(seed, index).text for seed in range(3) for index in range(200)}
    assert len(texts) > 590
    streamed = list(itertools.islice(storyworld.stream(3, start=10), 5))
    assert streamed == [storyworld.document(3, index) for index in range(10, 15)]


def test_documents_of_one_kind_are_not_the_same_story_in_every_kind():
    assert storyworld.document(0, 7, "story").text not in storyworld.document(0, 7, "summary").text
    with pytest.raises(UserError, match=r"no documents of the kind 'poem'; its kinds are story, summary"):
        storyworld.document(0, 0, "poem")


def test_kinds_come_as_often_as_their_shares_say():
    counts, total = Counter(storyworld.document(2, index).kind for index in range(5000)), 5000
    for kind in storyworld.KINDS:
        p = storyworld.SHARES[kind] / sum(storyworld.SHARES.values())
        assert abs(counts[kind] - total * p) < 5 * math.sqrt(total * p * (1 - p))


def test_splits_share_no_text():
    """Short documents come twice now and then; then both are in the same split."""
    splits = {}
    for index in range(4000):
        text = storyworld.document(0, index).text
        assert splits.setdefault(text, storyworld.split_of(text)) == storyworld.split_of(text)
    counts = Counter(splits.values())
    for split, fraction in storyworld.SPLITS.items():
        assert counts[split] / len(splits) == pytest.approx(fraction, abs=0.02)
    for split in storyworld.SPLITS:
        assert all(storyworld.split_of(one.text) == split for one in itertools.islice(storyworld.stream(1, split), 20))
    with pytest.raises(UserError, match=r"no split 'validation'; its splits are train, dev, test"):
        next(storyworld.stream(0, "validation"))


def test_a_story_is_its_five_sentences():
    for one in some("story", 200):
        s = one.facts
        assert len(s.sentences) == 5 and " ".join(s.sentences) == one.text
        assert s.hero.name in s.sentences[0] and all(sentence.endswith(".") for sentence in s.sentences)
        assert s.friend != s.hero and s.thing in one.text


def test_good_and_bad_endings_are_equally_frequent_whatever_is_wished_for():
    counts = Counter((one.facts.plot, one.facts.success) for one in some("story", 4000))
    for plot in ("fetch", "weather", "trade", "search", "animal"):
        good, bad = counts[plot, True], counts[plot, False]
        assert abs(good - bad) < 4 * math.sqrt(good + bad)


def test_endings_follow_from_the_facts():
    for one in some("story", 100):
        s = one.facts
        right, wrong = set(all_endings(s)), set(all_endings(opposite(s)))
        assert s.sentences[4] in right and not right & wrong
        assert opposite(s).success != s.success and opposite(opposite(s)).success == s.success
        assert an_ending(s, 3) in right and an_ending(opposite(s), 3) in wrong


def test_weather_comes_back_as_what_is_put_on():
    for one in some("story", 300):
        s = one.facts
        if s.plot != "weather":
            worn = [
                weather for weather, clothes in lexicon.CLOTHES.items() if f"put on {s.hero.his} {clothes}" in one.text
            ]
            assert worn == ([s.weather] if s.weather else [])


def test_questions_are_answered_by_what_happened_last():
    for one in some("question", 300):
        q = one.facts
        assert isinstance(q.source, Report) and q.answer in " ".join(q.sentences)
        assert one.text.endswith(f"\nQ: {q.question}\nA: {q.answer}")
        said = f"{q.question} {q.answer}"
        thing = next(t for t in q.source.things if re.search(rf"\b{t}\b", said))
        last = [s for s in q.sentences if re.search(rf"\b{thing}\b", s)]
        if q.asked == "who":
            assert q.answer in last[-1]
        else:
            (place,) = re.findall(r" to the (\w+)\.", [s for s in last if " to the " in s][-1])
            assert re.search(rf"\b{place}\b", said)


def test_answers_about_stories():
    for one in some("reading", 100):
        q = one.facts
        assert isinstance(q.source, Story) and one.text.endswith(f"\nQ: {q.question}\nA: {q.answer}")
        if q.asked == "whether":
            assert q.answer == ("yes" if q.source.success else "no")
        else:
            assert q.answer.removeprefix("the ").removeprefix("her ").removeprefix("his ") in " ".join(q.sentences)


def test_claims_are_as_often_true_and_no_word_tells():
    claims = some("claim", 3000)
    for words in ("", " is ", " is not ", " has ", " does not have ", " was ", " did not "):
        of_form = [one.facts.true for one in claims if words in one.facts.claim]
        assert abs(sum(of_form) - len(of_form) / 2) < 2.5 * math.sqrt(len(of_form))
    for one in claims[:200]:
        source, claim = one.facts.source, one.facts.claim
        assert one.text.endswith(f"\nquestion: {claim} True or False?\nanswer: {one.facts.true}")
        if isinstance(source, Story):
            assert len(one.facts.sentences) == 4
            assert claim in all_endings(source if one.facts.true else opposite(source))
        elif found := re.fullmatch(r"(\w+) (has|does not have) the (\w+)\.", claim):
            name, verb, thing = found.groups()
            assert one.facts.true == ((source.owner(thing).name == name) == (verb == "has"))
        else:
            thing, verb, place = re.fullmatch(r"The (\w+) (is|is not) \w+ the (\w+)\.", claim).groups()
            assert one.facts.true == ((source.place(thing) == place) == (verb == "is"))


def test_reviews_end_with_what_their_main_clauses_say():
    for one in some("review", 300):
        r = one.facts
        assert r.subject in r.sentences[0] and len(r.sentences) == 4 and " ".join(r.sentences) == one.text
        assert ("positive" in r.verdict or "good" in r.verdict or "I liked" in r.verdict) == r.positive
        for aspect, positive in r.aspects:
            clause = re.search(rf"(Although the |the |The ){aspect} was", one.text).group(1)
            assert positive == (r.positive if clause != "Although the " else not r.positive)


def test_labels_of_a_list_are_kept_throughout():
    for one in some("list", 300):
        facts = one.facts
        assert lists.LEAST <= len(facts.examples) <= lists.MOST and len(facts.classes) == len(facts.examples)
        assert len({label for _, label in facts.labels}) == len(facts.labels)
        assert one.text == "\n".join(f"{x}{lists.ARROW}{label}" for x, label in facts.examples)
        assert [dict(facts.labels)[kind] for kind in facts.classes] == [label for _, label in facts.examples]
        assert all(word in lists.KINDS[kind] for (word, _), kind in zip(facts.examples, facts.classes, strict=True))


def test_a_word_is_of_one_kind():
    inputs = [word for words in lists.KINDS.values() for word in words]
    assert len(set(inputs)) == len(inputs)


def test_the_pronoun_in_a_reason_is_the_one_the_sense_asks_for():
    found = [(one, pronoun(one.facts)) for one in some("story", 600)]
    found = [(one, place) for one, place in found if place]
    assert len(found) > 20
    for one, place in found:
        assert one.text.startswith(place.before + place.pronoun + place.after)
        meant = place.candidates[place.label]
        helps = "wanted to help" in place.after or "always kind" in place.after
        assert meant == (one.facts.friend.name if helps else one.facts.hero.name)


def test_articles_and_plurals():
    assert [english.a(w) for w in ("kite", "old kite", "umbrella", "orange drum")] == [
        "a kite",
        "an old kite",
        "an umbrella",
        "an orange drum",
    ]
    forms = {"kite": "kites", "mouse": "mice", "child": "children", "woman": "women", "baby": "babies", "boy": "boys"}
    assert {noun: english.plural(noun) for noun in forms} == forms
    assert [english.plural(w) for w in ("bush", "box", "dress")] == ["bushes", "boxes", "dresses"]
    assert [english.past(v) for v in ("see", "take", "like", "paint", "carry")] == (
        ["saw", "took", "liked", "painted", "carried"]
    )
    assert [english.third(v) for v in ("see", "wash", "carry", "have")] == ["sees", "washes", "carries", "has"]
    for index in range(500):
        text = storyworld.document(8, index).text
        assert not re.search(r"\b[Aa] [aeiou]", text) and not re.search(r"\b[Aa]n (?!hour)[^aeiou]", text), text


def test_a_text_that_is_none_is_shown_by_its_beginning():
    with pytest.raises(UserError) as caught:
        storyworld.log_probability("Q" * 100)
    assert "Q" * 60 + "'…" in str(caught.value) and "Q" * 61 not in str(caught.value)


@pytest.mark.parametrize("length, shown", [(60, "z" * 60 + "'"), (61, "z" * 60 + "'…")])
def test_what_is_no_document_is_shown_to_its_sixtieth_character(length, shown):
    with pytest.raises(UserError) as error:
        storyworld.log_probability("z" * length)
    assert str(error.value).endswith(shown)
