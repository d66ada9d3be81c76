"""BERT's examples: no sentence lost, true labels, lengths, rates, and the same stream from anywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.data.bert_instances import (
    IS_NEXT,
    NOT_NEXT,
    BertData,
    Pair,
    Stream,
    _random_segment,
    pair_examples,
    pass_pairs,
    single_examples,
    target_length,
    truncate_pair,
)

from .nested import from_lists


def numbered(lengths):
    """Documents of sentences of the given lengths, in which every token has a number of its own."""
    count = iter(range(10**9))
    return from_lists([[[next(count) for _ in range(n)] for n in document] for document in lengths])


def random_documents(count=40, seed=0):
    rng = np.random.default_rng(seed)
    return numbered([rng.integers(1, 20, rng.integers(1, 12)).tolist() for _ in range(count)])


corpora = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=8), min_size=1, max_size=6).map(numbered)
seeds = st.integers(0, 2**32)


def document_of(documents, token):
    return int(np.searchsorted(documents.sentences[documents.documents], token, side="right")) - 1


@given(documents=corpora, target=st.integers(2, 40), seed=seeds)
def test_every_sentence_of_a_document_is_used_once_in_order(documents, target, seed):
    draw = np.random.default_rng(seed)
    for d in range(documents.count):
        edges = documents.sentences
        place = first = documents.documents[d]
        for pair, used_from, used_to in pass_pairs(documents, d, target, draw):
            assert used_from == place < used_to
            place = used_to
            assert pair.a_start == edges[used_from] < pair.a_stop and pair.b_start < pair.b_stop
            if pair.label == IS_NEXT:  # A and B are all that was used, one behind the other
                assert pair.a_stop == pair.b_start and pair.b_stop == edges[used_to]
            else:  # only A was used: the rest is put back
                assert pair.a_stop == edges[used_to]
                source = document_of(documents, pair.b_start)
                assert {pair.b_start, pair.b_stop} <= set(edges.tolist())  # whole sentences of one document
                assert document_of(documents, pair.b_stop - 1) == source
                last = int(np.searchsorted(edges, pair.b_stop)) - 1
                wanted = target - (pair.a_stop - pair.a_start)
                assert last == np.searchsorted(edges, pair.b_start) or edges[last] - pair.b_start < wanted
        assert place == documents.documents[d + 1] > first


def test_a_random_next_segment_comes_from_another_document():
    """With 3 documents ten tries fail once in 3^10 = 59,049 cases."""
    documents = random_documents(3)
    draw = np.random.default_rng(1)
    pairs = [(d, p) for _ in range(200) for d in range(3) for p, _, _ in pass_pairs(documents, d, 30, draw)]
    sources = [(d, document_of(documents, p.b_start), p.label) for d, p in pairs]
    assert all((d == source) == (label == IS_NEXT) for d, source, label in sources)
    from_0 = [source for d, source, label in sources if d == 0 and label == NOT_NEXT]
    assert 0.4 < np.mean(np.array(from_0) == 1) < 0.6  # each other document as often


def test_another_document_is_another_one_among_many():
    """With 300 documents, whose numbers are no small integers: of 20,000 draws some hit the own one at first."""
    documents = numbered([[5]] * 300)
    draw = np.random.default_rng(2)
    found = {document_of(documents, _random_segment(documents, 299, 5, draw)[0]) for _ in range(20000)}
    assert 299 not in found and len(found) == 299


def test_a_takes_every_possible_number_of_sentences_equally_often():
    documents = numbered([[5] * 4, [5] * 4])
    draw = np.random.default_rng(2)
    firsts = [next(pass_pairs(documents, 0, 20, draw))[0].a_stop // 5 for _ in range(3000)]
    assert np.bincount(firsts, minlength=5)[1:4] / 3000 == pytest.approx(np.ones(3) / 3, abs=0.04)
    assert set(firsts) == {1, 2, 3}


@given(a=st.integers(1, 60), b=st.integers(1, 60), most=st.integers(2, 50), seed=seeds)
def test_truncation_is_that_of_taking_single_tokens(a, b, most, seed):
    cut = truncate_pair(Pair(0, a, 100, 100 + b, 1), most, np.random.default_rng(seed))
    while a + b > most:  # the released code's loop
        a, b = (a - 1, b) if a > b else (a, b - 1)
    assert (cut.a_stop - cut.a_start, cut.b_stop - cut.b_start) == (a, b) and cut.label == 1
    assert cut.a_start >= 0 and cut.b_start >= 100


def test_truncation_takes_front_and_back_equally_often():
    draw = np.random.default_rng(0)
    fronts = [truncate_pair(Pair(0, 30, 50, 60, 0), 20, draw).a_start for _ in range(2000)]
    assert np.mean(fronts) == pytest.approx(10, abs=0.2)  # of 20 taken off A
    assert np.var(fronts) == pytest.approx(5, rel=0.15)  # each by a coin of its own


@pytest.mark.parametrize("make", [pair_examples, single_examples])
@given(documents=corpora, context=st.integers(5, 30), seed=seeds, short=st.sampled_from([0.0, 0.1, 1.0]))
def test_no_example_is_too_long_or_empty(make, documents, context, seed, short):
    for a, b, c, d, _ in make(documents, context, short, np.random.default_rng(seed)):
        if make is pair_examples:
            assert a < b and c < d and (b - a) + (d - c) + 3 <= context
        else:
            ends = documents.sentences[documents.documents]
            assert a < b and c == d and (b - a) + int(((ends > a) & (ends < b)).sum()) + 2 <= context


@given(documents=corpora, context=st.integers(5, 30), seed=seeds, short=st.sampled_from([0.0, 0.5]))
def test_single_segments_hold_every_token_once(documents, context, seed, short):
    examples = single_examples(documents, context, short, np.random.default_rng(seed))
    tokens = np.concatenate([np.arange(a, b) for a, b, *_ in examples])
    assert sorted(tokens.tolist()) == list(range(documents.tokens))


def test_single_segments_hold_as_many_whole_sentences_as_fit():
    documents = numbered([[4, 4, 4], [4, 4], [30]])
    examples = single_examples(documents, 15, 0.0, np.random.default_rng(0))
    lengths = sorted(b - a for a, b, *_ in examples)
    # 13 places: three sentences, or three with the [SEP] between two documents; 30 = 13 + 13 + 4
    assert max(lengths) == 13 and lengths.count(13) == 2
    starts = set(documents.sentences.tolist()) | {int(documents.sentences[5]) + 13, int(documents.sentences[5]) + 26}
    assert {int(a) for a, *_ in examples} <= starts


def test_rates():
    """A tenth of the documents is cut short; somewhat more than half of the pairs are random."""
    documents = random_documents(800)
    draw = np.random.default_rng(5)
    targets = np.array([target_length(125, 0.1, draw) for _ in range(20000)])
    assert (targets < 125).mean() == pytest.approx(0.1 * 123 / 124, abs=0.007)
    assert targets.min() == 2 and targets[targets < 125].mean() == pytest.approx(63, abs=3)
    examples = pair_examples(documents, 64, 0.1, draw)
    assert 0.5 < (examples[:, 4] == NOT_NEXT).mean() < 0.65
    one_sentence = numbered([[7]] * 50)
    assert (pair_examples(one_sentence, 64, 0.1, draw)[:, 4] == NOT_NEXT).all()  # B cannot be what is not there


def test_short_targets_are_drawn_once_for_each_document():
    documents = numbered([[2] * 200] * 60)
    examples = pair_examples(documents, 23, 0.5, np.random.default_rng(0))
    longest = {}  # the longest example that begins in a document, up to one sentence its target
    for a, b, c, d, _ in examples:
        document = a // 400
        longest.setdefault(document, []).append((b - a) + (d - c))
    spread = [max(x) - min(sorted(x)[len(x) // 10 :]) for x in longest.values()]
    assert 0.3 < np.mean([max(x) < 20 for x in longest.values()]) < 0.7  # half of the documents
    assert max(spread) <= 4  # all examples of a document are about as long


def stream(documents, **changed):
    return Stream(documents, BertData(dupe_factor=3), **{"context": 24, "pairs": True, "seed": 7} | changed)


@pytest.mark.parametrize("pairs", [True, False])
def test_passes_differ_and_come_again(pairs):
    documents = random_documents(8)
    s = stream(documents, pairs=pairs)
    passes = [s.examples_of_pass(n) for n in range(3)]
    assert len({p.tobytes() for p in passes}) == 3
    total = sum(map(len, passes))
    taken = list(s.take(0, 2 * total))
    assert [t[2].tolist() for t in taken[:total]] == np.concatenate(passes).tolist()
    assert [t[:2] for t in taken[total:]] == [t[:2] for t in taken[:total]]
    assert stream(documents, pairs=pairs, seed=8).examples_of_pass(0).tobytes() != passes[0].tobytes()


@given(start=st.integers(0, 500), count=st.integers(1, 60))
def test_the_stream_is_the_same_from_anywhere(start, count):
    documents = random_documents(8)
    whole = [(n, i, e.tolist()) for n, i, e in stream(documents).take(0, 560)]
    assert [(n, i, e.tolist()) for n, i, e in stream(documents).take(start, count)] == whole[start : start + count]
