"""WordPiece: the two sets of rules, greedy matching, offsets through lower case and accents, and the trainer."""

from itertools import pairwise

import pytest
from hypothesis import given

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.tokenizers import BertWords, WordPiece

from .texts import SAMPLE, TEXTS, real_file

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "##a", "able", "a", "caf", "##e"]
VOCAB += [",", "!", "日", "本"]
TOKENIZER = WordPiece({s: i for i, s in enumerate(VOCAB)})


def tokens(tokenizer, text):
    return [tokenizer.token(i) for i in tokenizer.encode(text)]


def test_the_longest_piece_wins():
    assert tokens(TOKENIZER, "unaffable able!") == ["un", "##aff", "##able", "able", "!"]
    assert tokens(TOKENIZER, "unxaffable, a") == ["[UNK]", ",", "a"]


def test_uncased_words_lose_capitals_and_accents():
    assert tokens(TOKENIZER, "CAFÉ Café cafe\u0301") == ["caf", "##e"] * 3
    assert TOKENIZER.encode("cafe") == TOKENIZER.encode("ca\u200bfe")  # a format character
    cased = WordPiece(TOKENIZER.vocab, words=BertWords(lower=False))
    assert tokens(cased, "Café cafe") == ["[UNK]", "caf", "##e"]


def test_ideographs_are_words():
    assert tokens(TOKENIZER, "a日本a") == ["a", "日", "本", "a"]


def test_where_the_rules_differ():
    google, hf = BertWords(rule="google"), BertWords(rule="hf")
    assert google.words("ΣΑΣ") == ["σας"] and hf.words("ΣΑΣ") == ["σασ"]
    assert google.words("a\U0002b820b") == ["a", "\U0002b820", "b"] and hf.words("a\U0002b820b") == ["a\U0002b820b"]
    assert google.words("a\ue000b") == ["a\ue000b"] and hf.words("a\ue000b") == ["ab"]
    assert google.words("a\u2028b") == hf.words("a\u2028b") == ["a", "b"]
    words = WordPiece({"[UNK]": 0, "a": 1, "##a": 2}, words=google)
    assert words.encode("a" * 200) == [1] + [2] * 199 and words.encode("a" * 201) == [0]
    words = WordPiece({"[UNK]": 0, "a": 1, "##a": 2}, words=hf)
    assert words.encode("a" * 100) == [1] + [2] * 99 and words.encode("a" * 101) == [0]
    with pytest.raises(ValueError, match="unknown rule 'bert'"):
        BertWords(rule="bert")


def test_offsets_point_into_the_original_text():
    text = "  UNaffable,\tCafe\u0301! İi xyz"
    ids, offsets = TOKENIZER.encode_with_offsets(text)
    assert ids == TOKENIZER.encode(text)
    covered = [text[a:b] for a, b in offsets]
    assert covered == ["UN", "aff", "able", ",", "Caf", "e", "!", "İi", "xyz"]


@pytest.mark.parametrize("rule", ["hf", "google"])
@given(text=TEXTS)
def test_offsets_belong_to_the_ids_and_go_forward(rule, text):
    for lower in (True, False):
        words = BertWords(lower=lower, rule=rule)
        found = words.stretches(text)
        assert [word.text for word in found] == words.words(text)
        assert all(len(word.text) == len(word.spans) for word in found)
        tokenizer = WordPiece(TOKENIZER.vocab, words=words)
        ids, offsets = tokenizer.encode_with_offsets(text)
        assert ids == tokenizer.encode(text)
        assert all(0 <= a < b <= len(text) for a, b in offsets)


def test_decoding_joins_the_pieces():
    assert TOKENIZER.decode(TOKENIZER.encode("unaffable,  able!")) == "unaffable , able !"
    assert TOKENIZER.decode([2, 9, 3]) == "[CLS] able [SEP]"
    marks = WordPiece({"[UNK]": 0, "a": 1, "##": 2, "##b": 3})
    assert [marks.decode(ids) for ids in ([1, 2, 3, 2], [2, 3])] == ["ab", "##b"]  # as tokenizers 0.23.3


def test_training_makes_the_documented_order():
    trained = tokenizers.train("wordpiece", iter(["abab abc"]), 5 + 4 + 2)
    assert [trained.token(i) for i in range(trained.vocab_size)] == [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *("a", "##a", "##b", "##c"),
        *("ab", "##ab"),
    ]


def test_the_scores_choose_differently():
    text = "abx aby abz aqu"  # ab is frequent; q and u only ever come together
    count = tokenizers.train("wordpiece", iter([text]), 5 + 7 + 1, score="count")
    likelihood = tokenizers.train("wordpiece", iter([text]), 5 + 7 + 1, score="likelihood")
    assert count.token(12) == "ab" and likelihood.token(12) == "##qu"


def test_likelihood_scores_are_those_of_counting_again():
    """Train one step at a time and compare with the score computed from scratch."""
    words = ["abcab", "abcd", "bcbc", "aab", "bcd"]
    text = " ".join(w for n, w in enumerate(words) for _ in range(n + 1))
    trained = tokenizers.train("wordpiece", iter([text]), 30, score="likelihood")
    state = {w: [w[0], *("##" + c for c in w[1:])] for w in words}
    weight = {w: n + 1 for n, w in enumerate(words)}
    known = [trained.token(i) for i in range(5)]
    known += [*sorted({w[0] for w in words}), *sorted({"##" + c for w in words for c in w[1:]})]
    for i in range(len(known), trained.vocab_size):
        singles, pairs = {}, {}
        for w, pieces in state.items():
            for p in pieces:
                singles[p] = singles.get(p, 0) + weight[w]
            for pair in pairwise(pieces):
                pairs[pair] = pairs.get(pair, 0) + weight[w]
        best = max(n / (singles[a] * singles[b]) for (a, b), n in pairs.items())
        ties = [p for p, n in pairs.items() if n / (singles[p[0]] * singles[p[1]]) == best]
        a, b = min(ties, key=lambda p: (known.index(p[0]), known.index(p[1])))
        assert trained.token(i) == a + b.removeprefix("##")
        known.append(trained.token(i))
        for pieces in state.values():
            k = 0
            while k < len(pieces) - 1:
                if (pieces[k], pieces[k + 1]) == (a, b):
                    pieces[k : k + 2] = [known[-1]]
                k += 1


def test_trained_vocabularies_spell_what_they_saw():
    trained = tokenizers.train("wordpiece", iter([SAMPLE]), 200)
    assert trained.vocab["[UNK]"] not in trained.encode(SAMPLE)
    with pytest.raises(UserError, match=r"too small for WordPiece: .* need at least"):
        tokenizers.train("wordpiece", iter([SAMPLE]), 20)
    with pytest.raises(UserError, match="unknown score 'x'"):
        tokenizers.train("wordpiece", iter([SAMPLE]), 200, score="x")
    with pytest.raises(UserError, match=r"needs the token \[UNK\]"):
        WordPiece({"a": 0})


def test_bert_ids():
    bert = tokenizers.load(real_file("tokenizers", "bert", "bert_base_uncased_vocab.txt"))
    assert bert.vocab_size == 30522 and bert.words.lower
    assert bert.special_tokens == {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    assert tokens(bert, "Unaffable [MASK]") == ["una", "##ffa", "##ble", "[", "mask", "]"]
    assert bert.encode("a [MASK]", allowed="all")[-1] == 103


def test_white_space_is_rusts_or_pythons():
    """BertPreTokenizer of tokenizers 0.23 and BERT's own whitespace_tokenize, on text that is not cleaned."""
    uncleaned = {rule: BertWords(lower=False, rule=rule, clean=False) for rule in ("hf", "google")}
    for c in "\x1c\x1d\x1e\x1f":
        assert uncleaned["hf"].words(f"a{c}b") == [f"a{c}b"] and uncleaned["google"].words(f"a{c}b") == ["a", "b"]
        assert uncleaned["hf"].words(f"é{c}b") == [word.text for word in uncleaned["hf"].stretches(f"é{c}b")]
        assert BertWords().words(f"a{c}b") == ["ab"]  # cleaning drops control characters
    for c in "\x0b\x0c\x85\u2028\u2029\u3000":
        assert uncleaned["hf"].words(f"a{c}b") == uncleaned["google"].words(f"a{c}b") == ["a", "b"]
