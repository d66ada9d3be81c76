"""Byte-level BPE: every text and every bytes survive, ids follow the documented rule, special tokens are explicit."""

import random
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.tokenizers import byte_bpe
from minigpt.tokenizers.byte_alphabet import BYTE_TO_CHAR, GPT2_ORDER, SORTED_ORDER
from minigpt.tokenizers.byte_bpe import made_by_training
from minigpt.tokenizers.formats.readers import read_vocab_bpe
from minigpt.tokenizers.merge import merge_word
from minigpt.tokenizers.pretokens import LLAMA3_PATTERN

from ..tiers import examples
from .texts import SAMPLE, TEXTS, corpus, real_file

TOKENIZER = tokenizers.train("bpe", iter([SAMPLE]), 380, special_tokens=["<|end|>", "<|pad|>"])
OTHERS = {
    "llama3": tokenizers.train("bpe", iter([SAMPLE]), 350, pattern=LLAMA3_PATTERN),
    "words only": tokenizers.train("bpe", iter([SAMPLE]), 350, pattern=r"\w+"),
    "groups": tokenizers.train("bpe", iter([SAMPLE]), 350, pattern=r"(a|b)(c)?|x*"),
}


@given(TEXTS)
def test_texts_round_trip(text):
    for tokenizer in (TOKENIZER, *OTHERS.values()):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.binary())
def test_bytes_round_trip(data):
    assert TOKENIZER.decode_bytes(TOKENIZER.encode_bytes(data)) == data


@given(st.lists(st.integers(0, TOKENIZER.vocab_size - 1)))
def test_any_ids_decode(ids):
    assert TOKENIZER.decode(ids) == TOKENIZER.decode_bytes(ids).decode("utf-8", errors="replace")


@given(TEXTS)
def test_offsets_cover_the_text_with_the_tokens_own_bytes(text):
    ids, offsets = TOKENIZER.encode_with_offsets(text)
    assert ids == TOKENIZER.encode(text)
    position = 0
    for i, (start, end) in zip(ids, offsets, strict=True):
        covered = text[start:end].encode("utf-8")
        assert TOKENIZER.decode_bytes([i]) in covered and start < end
        assert start <= position <= end  # neighbours meet, or share a character
        position = end
    assert position == len(text)


def test_offsets_of_split_characters():
    ids, offsets = TOKENIZER.encode_with_offsets("a日b")
    assert offsets == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)] and len(ids) == 5


def test_the_classic_example():
    """The example of the encyclopedia: aaabdaaabac becomes three tokens of XdXac after the merges aa, aaa…, ab."""
    tokenizer = tokenizers.train("bpe", iter(["aaabdaaabac"]), 256 + 3)
    assert tokenizer.merges == [("a", "a"), ("a", "b"), ("aa", "ab")]
    assert [tokenizer.token(i) for i in tokenizer.encode("aaabdaaabac")] == ["aaab", "d", "aaab", "a", "c"]


def test_ids_are_special_tokens_then_bytes_then_merges():
    assert TOKENIZER.special_tokens == {"<|end|>": 0, "<|pad|>": 1}
    assert [TOKENIZER.token(i) for i in range(2, 258)] == list(SORTED_ORDER) == sorted(BYTE_TO_CHAR.values())
    assert [TOKENIZER.token(i) for i in range(258, 380)] == [a + b for a, b in TOKENIZER.merges]


def test_ties_go_to_the_smallest_left_id_then_right_id():
    tokenizer = tokenizers.train("bpe", iter(["dc db ab "]), 256 + 2, pattern=r"\w+")
    assert tokenizer.merges == [("a", "b"), ("d", "b")]


def test_a_special_token_that_is_a_letter_keeps_its_id():
    tokenizer = tokenizers.train("bpe", iter(["baba"]), 257, special_tokens=["b"])
    assert tokenizer.special_tokens == {"b": 0} and tokenizer.merges == [("b", "a")]
    assert tokenizer.encode("ba") == [256]


def test_min_frequency_stops_training():
    assert tokenizers.train("bpe", iter(["ab ab ac"]), 400, min_frequency=2).merges == [("a", "b")]
    assert len(tokenizers.train("bpe", iter(["ab ab ac"]), 400).merges) == 4


@given(st.lists(st.integers(1, 30), max_size=20))
@settings(max_examples=examples(20), deadline=None)
def test_where_the_pieces_are_cut_does_not_matter(lengths):
    pieces, rest = [], SAMPLE[:500]
    for n in lengths:
        pieces.append(rest[:n])
        rest = rest[n:]
    assert tokenizers.train("bpe", iter([*pieces, rest]), 320).merges == CUT.merges


CUT = tokenizers.train("bpe", iter([SAMPLE[:500]]), 320)


def test_lines_do_not_span_two_files(tmp_path):
    for name, text in (("a", "xy"), ("b", "xy")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = [tmp_path / "a", tmp_path / "b"]
    assert tokenizers.train("bpe", files, 400).merges == [("x", "y")]
    assert tokenizers.train("bpe", [str(f) for f in files], 400).merges == [("x", "y")]
    assert len(tokenizers.train("bpe", iter(["xy", "xy"]), 400).merges) == 2


def test_memory_grows_with_the_words_and_not_with_the_text():
    def peak(repeats: int) -> int:
        tracemalloc.start()
        tokenizers.train("bpe", (SAMPLE for _ in range(repeats)), 300)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(1)
    once = peak(10)
    assert peak(200) < 1.2 * once + 100_000  # twenty times the text: it alone has 400,000 characters


def test_special_tokens_are_allowed_forbidden_or_ignored():
    text = "a<|end|>b"
    plain = TOKENIZER.encode(text)
    assert 0 not in plain and TOKENIZER.decode(plain) == text
    allowed = TOKENIZER.encode(text, allowed="all")
    assert allowed == [*TOKENIZER.encode("a"), 0, *TOKENIZER.encode("b")] and TOKENIZER.decode(allowed) == text
    assert TOKENIZER.encode_with_offsets(text, allowed=["<|end|>"]) == (allowed, [(0, 1), (1, 8), (8, 9)])
    with pytest.raises(UserError, match=r"special token <\|end\|> at position 1"):
        TOKENIZER.encode(text, forbidden="all")
    assert TOKENIZER.encode(text, allowed={"<|end|>"}, forbidden="all") == allowed
    assert TOKENIZER.encode(text, allowed={"<|pad|>"}, forbidden={"<|pad|>"}) == plain
    with pytest.raises(UserError, match="'<x>' is not a special token of this tokenizer"):
        TOKENIZER.encode(text, allowed=["<x>"])


def test_tokens_may_absorb_the_space_before_them():
    mask = tokenizers.ByteBPE(TOKENIZER.vocab, TOKENIZER.merges, special_tokens={"<mask>": 400}, absorb_left=["<mask>"])
    ids, offsets = mask.encode_with_offsets("a <mask>.", allowed="all")
    assert ids == [*mask.encode("a"), 400, *mask.encode(".")] and offsets == [(0, 1), (1, 8), (8, 9)]


@pytest.mark.parametrize("size", [0, 257])
def test_too_small_a_vocabulary_is_refused(size):
    with pytest.raises(UserError, match="need at least 258"):
        tokenizers.train("bpe", iter(["text"]), size, special_tokens=["<a>", "<b>"])


def test_what_cannot_be_trained_or_encoded_is_one_sentence():
    with pytest.raises(UserError, match="no text to train"):
        tokenizers.train("bpe", iter([""]), 300)
    with pytest.raises(UserError, match=r"the pre-tokenization pattern '\(' is not valid"):
        tokenizers.train("bpe", iter(["a"]), 300, pattern="(")
    with pytest.raises(UserError, match=r"U\+D800 at position 1 is half of a surrogate pair"):
        TOKENIZER.encode("a\ud800")
    with pytest.raises(ValueError, match="token id 380 is outside the vocabulary of 380"):
        TOKENIZER.decode([380])


def test_a_byte_that_the_vocabulary_lacks_has_no_token():
    assert tokenizers.ByteBPE({"a": 0, "c": 1}, []).encode("abc") == [0, 1]  # as tokenizers 0.23.3 does


def test_caches_start_afresh_when_full(monkeypatch):
    monkeypatch.setattr("minigpt.tokenizers.cache.SIZE", 3)
    monkeypatch.setattr("minigpt.tokenizers.word_numbers.FULL", 5_000)
    tokenizer = tokenizers.train("bpe", iter([SAMPLE]), 300)
    for n in range(9):
        text = " ".join(f"{n}x{i}" for i in range(byte_bpe.MANY // 5))
        assert tokenizer.encode(text) == tokenizer.encode(text) == tokenizer._encode_words(text)
        assert len(tokenizer._words) <= 3 and tokenizer._chunks.bytes <= 5_000 + len(text)


def test_whole_words_change_no_ids_after_training():
    """The theorem in `made_by_training`, on every token of what we train."""
    for tokenizer in (TOKENIZER, *OTHERS.values()):
        assert tokenizer.whole_words
        for i, data in tokenizer.bytes_of_tokens().items():
            if i not in tokenizer.special_tokens.values():
                assert merge_word([tokenizer._byte_ids[b] for b in data], tokenizer._merges) == [i]


def test_merges_that_training_would_not_make_are_noticed():
    assert made_by_training("abc", [("a", "b"), ("ab", "c")])
    assert not made_by_training("abc", [("ab", "c"), ("a", "b")])
    assert not made_by_training("abc", [("a", "b"), ("ab", "c"), ("b", "c"), ("a", "bc")])


def test_gpt2_vectors():
    gpt2 = read_vocab_bpe(real_file("tokenizers", "gpt2", "vocab.bpe"))
    assert gpt2.vocab_size == 50257 and gpt2.special_tokens == {"<|endoftext|>": 50256}
    assert gpt2.encode("Hello world") == [15496, 995] and gpt2.encode(" Hello world") == [18435, 995]
    pieces = [gpt2.token(i) for i in gpt2.encode("Hello  world's 123abc\n\n x")]
    assert pieces == ["Hello", "Ġ", "Ġworld", "'s", "Ġ123", "abc", "ĊĊ", "Ġx"]
    assert [gpt2.token(i) for i in range(256)] == list(GPT2_ORDER)
    assert len(gpt2.encode("<|endoftext|>")) > 1 and gpt2.encode("<|endoftext|>", allowed="all") == [50256]
    assert (
        tokenizers.load(real_file("tokenizers", "gpt2")).to_json()["model"]["merges"]
        == gpt2.to_json()["model"]["merges"]
    )


@pytest.mark.slow("test_gpt2_vectors")
def test_every_token_of_gpt2_encodes_to_itself():
    gpt2 = read_vocab_bpe(real_file("tokenizers", "gpt2", "vocab.bpe"))
    bad = [
        i
        for i, data in gpt2.bytes_of_tokens().items()
        if i < 50256 and merge_word([gpt2._byte_ids[b] for b in data], gpt2._merges) != [i]
    ]
    assert gpt2.whole_words and bad == []


@pytest.mark.slow("test_gpt2_vectors, and texts of hypothesis")
@pytest.mark.parametrize("name", ["botchan", "wikitext2_valid"])
def test_corpora_round_trip(name):
    gpt2, text = read_vocab_bpe(real_file("tokenizers", "gpt2", "vocab.bpe")), corpus(name)
    ids = gpt2.encode(text)
    assert gpt2.decode(ids) == text and gpt2.encode(text) == ids == gpt2._encode_words(text)


@pytest.mark.parametrize("name", ["", "é", "Ġ", "Ġthe", "café"])
def test_special_tokens_that_look_like_bytes_are_refused(name):
    with pytest.raises(UserError, match=r"empty name|written like bytes"):
        tokenizers.train("bpe", iter(["some text, and some more\n"]), 300, special_tokens=[name])


def test_special_tokens_outside_the_vocabulary_are_saved_with_it():
    trained = tokenizers.train("bpe", iter(["some text, and some more\n"]), 280)
    tokenizer = tokenizers.ByteBPE(trained.vocab, trained.merges, special_tokens={"<s>": 400, "<mask>": 500})
    assert tokenizer.to_json()["model"]["vocab"].items() >= {"<s>": 400, "<mask>": 500}.items()


def test_what_a_mask_swallows():
    """White space of Unicode, none of what another special token covers; as in tokenizers 0.23 with lstrip."""
    bpe = tokenizers.train("bpe", iter([SAMPLE]), 300)
    special = {"<mask>": 300, "</s>": 301}
    masked = tokenizers.ByteBPE(bpe.vocab, bpe.merges, special_tokens=special, absorb_left=["<mask>"])
    ids, offsets = masked.encode_with_offsets("a \u3000<mask> </s>\n<mask>\x1c<mask>", allowed="all")
    space, separator = masked.encode(" "), masked.encode("\x1c")
    assert ids == [*masked.encode("a"), 300, *space, 301, 300, *separator, 300]
    assert offsets == [(0, 1), (1, 9), (9, 10), (10, 14), (14, 21), (21, 22), (22, 28)]


def test_words_learned_together_have_the_ids_of_each_alone(monkeypatch):
    """A text whose words are all new, or half of them, at once and word by word."""
    rng, before = random.Random(0), ["", " ", "\n", " é", ",", "\n\n", "  ", "\t", " \n", "日本", "'s ", "\x1c "]
    text = "".join(f"{rng.choice(before)}{rng.getrandbits(30):x}" for _ in range(3000)) + f" {'ab' * 99} {'日' * 70}"
    for tokenizer in (TOKENIZER, OTHERS["llama3"]):
        tokenizer.forget()
        together = tokenizer.encode(text)
        assert tokenizer._table is not None
        tokenizer.forget()
        tokenizer.encode(text[len(text) // 2 :])
        assert tokenizer.encode(text) == together
        tokenizer.forget()
        with monkeypatch.context() as patch:
            patch.setattr(byte_bpe, "MANY", 1 << 30)
            assert tokenizer.encode(text) == together and tokenizer.decode(together) == text


def test_threads_may_share_a_tokenizer():
    texts = [" ".join(f"{n}x{i}" for i in range(byte_bpe.MANY // 4)) for n in range(12)]
    expected = [TOKENIZER._encode_words(text) for text in texts]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(3):
            TOKENIZER.forget()
            with ThreadPoolExecutor(4) as threads:
                assert list(threads.map(TOKENIZER.encode, texts)) == expected
    finally:
        sys.setswitchinterval(before)
