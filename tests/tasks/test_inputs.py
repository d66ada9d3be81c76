"""Input transformations, token by token."""

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.models import BARTConfig, BertConfig, GPTConfig
from minigpt.tasks import Classification, MultipleChoice, Similarity
from minigpt.tasks.inputs import bart_inputs, bert_inputs, causal_inputs, told

TEXT = "a red cat sat on the mat. the dog and a hat. " * 20


@pytest.fixture(scope="module")
def words():
    return tokenizers.train("wordpiece", [TEXT], 60)


@pytest.fixture(scope="module")
def letters():
    return tokenizers.train("char", [TEXT])


def causal(letters, context=40, refuse=False):
    return causal_inputs(GPTConfig(vocab_size=letters.vocab_size + 3, context=context), letters, refuse)


def ids(sequence):
    return sequence.ids.tolist()


def test_an_example_is_told_in_texts():
    assert told(Classification("a", None, 1)) == [("a", None)]
    assert told(Classification("a", "b", 1)) == told(Similarity("a", "b", 2.5)) == [("a", "b")]
    assert told(Similarity("a", "b", 2.5), both_orders=True) == [("a", "b"), ("b", "a")]
    assert told(Classification("a", None, 1), both_orders=True) == [("a", None)]
    assert told(MultipleChoice("z", "q?", ("x", "y"), 0)) == [("z q?", "x"), ("z q?", "y")]  # [z; q; $; a]
    assert told(MultipleChoice("z", "", ("x", "y", "w"), 0))[2] == ("z", "w")


def test_gpt_reads_start_text_delimiter_second_extract(letters):
    inputs = causal(letters)
    v = letters.vocab_size
    assert inputs.marks == (v, v + 1, v + 2, v + 2)
    assert ids(inputs.sequence("a cat")) == [v, *letters.encode("a cat"), v + 2]
    pair = inputs.sequence("a cat", "sat")
    assert ids(pair) == [v, *letters.encode("a cat"), v + 1, *letters.encode(" sat"), v + 2]
    assert pair.types is None and not pair.cut


def test_bert_reads_cls_text_sep_second_sep(words):
    inputs = bert_inputs(BertConfig(vocab_size=60, context=20), words, False)
    cls, sep = words.special_tokens["[CLS]"], words.special_tokens["[SEP]"]
    one, two = inputs.sequence("a cat"), inputs.sequence("a cat", "the dog")
    a, b = words.encode("a cat"), words.encode("the dog")
    assert ids(one) == [cls, *a, sep] and set(one.types) == {0}
    assert ids(two) == [cls, *a, sep, *b, sep]
    assert two.types.tolist() == [0] * (len(a) + 2) + [1] * (len(b) + 1)


def test_roberta_reads_two_separators_and_no_types(words):
    names = ("<pad>", "<s>", "</s>", "<mask>")
    tokenizer = tokenizers.ByteBPE({"a": 4, "b": 5, "Ġ": 6}, [], special_tokens={n: i for i, n in enumerate(names)})
    config = BertConfig(vocab_size=60, context=8, pairs=False, token_types=1, pad=0)
    inputs = bert_inputs(config, tokenizer, False)
    one, two = inputs.sequence("ab"), inputs.sequence("ab", "b")
    assert ids(one) == [1, 4, 5, 2] and ids(two) == [1, 4, 5, 2, 2, 6, 5, 2] and one.types is two.types is None
    assert inputs.room(1) == 6 and inputs.room(2) == 4 and len(ids(inputs.sequence("abba", "abba"))) == 8


def test_bart_reads_one_separator(letters):
    inputs = bart_inputs(BARTConfig(vocab_size=60, context=20, bos=50, eos=51), letters, False)
    assert ids(inputs.sequence("cat")) == [50, *letters.encode("cat"), 51]
    assert ids(inputs.sequence("cat", "mat")) == [50, *letters.encode("cat"), 51, *letters.encode(" mat"), 51]


def test_what_is_too_long_is_cut_as_each_family_does(letters, words):
    inputs = causal(letters, context=16)
    a, b = letters.encode("a red cat sat on"), letters.encode(" the mat. the dog")
    pair = inputs.sequence("a red cat sat on", "the mat. the dog")
    assert pair.cut and ids(pair)[1:7] == a[:6] and ids(pair)[8:14] == b[:6]  # context/2 − 2 of each
    assert len(pair.ids) <= 16 and ids(pair)[-1] == inputs.marks.end
    alone = inputs.sequence("a red cat sat on the mat")
    assert alone.cut and len(alone.ids) == 16 and ids(alone)[-1] == inputs.marks.end
    exact = inputs.sequence("a red cat", "sa")  # 3 specials + 9 + 3 = 15
    assert not exact.cut
    bert = bert_inputs(BertConfig(vocab_size=60, context=10), words, False)
    long, short = words.encode("a cat sat on the mat and the dog"), words.encode("a hat")
    cut = bert.sequence("a cat sat on the mat and the dog", "a hat")
    assert cut.cut and len(cut.ids) == 10
    assert ids(cut)[1:] == [
        *long[: 7 - len(short)],
        bert.marks.between,
        *short,
        bert.marks.between,
    ]  # off the longer one


def test_what_is_too_long_is_refused_where_that_is_asked_for(letters):
    inputs = causal(letters, context=16, refuse=True)
    with pytest.raises(UserError, match=r"has 17 tokens, but the model's context of 16 has room for 14"):
        inputs.sequence("a red cat sat on ")
    assert len(inputs.sequence("a red cat sat").ids) == 15
    with pytest.raises(UserError, match="has room for 0"):
        causal(letters, context=3).sequence("a cat", "sat")


def test_the_extract_token_is_last_whatever_the_text(letters):
    inputs = causal(letters, context=12)
    for length in range(1, 30):
        sequence = inputs.sequence(TEXT[:length])
        assert np.flatnonzero(sequence.ids == inputs.marks.end).tolist() == [len(sequence.ids) - 1]
