"""Pipelines: each kind of step, by values that tokenizers 0.23.3 gave, and files that mean harm."""

import base64
import gc
import json
import random
import time
from collections.abc import Iterator

import pytest
import regex
from hypothesis import given, settings

from minigpt import tokenizers
from minigpt.core import limits
from minigpt.core.errors import UserError
from minigpt.tokenizers import Pipeline
from minigpt.tokenizers import oniguruma as patterns
from minigpt.tokenizers.byte_alphabet import GPT2_ORDER
from minigpt.tokenizers.formats.hf_read import from_hf
from minigpt.tokenizers.formats.sentencepiece_files import read_model
from minigpt.tokenizers.pipeline.charsmap import CharsMap
from minigpt.tokenizers.pipeline.stretch import Stretch
from minigpt.tokenizers.sentencepiece_vocabulary import UNIGRAM

from ..tiers import examples
from .test_sentencepiece import model_file
from .texts import TEXTS, little_llama

PIECES = ["<unk>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "a", "b", "▁a", "▁b", "ab", "▁ab", "▁▁", "<s>"]
MERGES = [["▁", "a"], ["▁", "b"], ["a", "b"], ["▁a", "b"], ["▁", "▁"]]
BEGIN = {"id": 265, "content": "<s>", "normalized": False, "special": True}


def bpe(**parts) -> dict:
    """A tokenizer.json of a small BPE; `model` and `added` change it."""
    model = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "merges": MERGES}
    model |= {"vocab": {piece: i for i, piece in enumerate(PIECES)}} | parts.pop("model", {})
    return {"added_tokens": [BEGIN, *parts.pop("added", [])], "model": model} | parts


def metaspace(scheme: str, split: bool = True) -> dict:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def replace(pattern: dict, content: str) -> dict:
    return {"type": "Replace", "pattern": pattern, "content": content}


LEGACY_STEPS = [{"type": "Prepend", "prepend": "▁"}, replace({"String": " "}, "▁")]
DECODERS = [replace({"String": "▁"}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
DECODERS.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
PREFIXES = {
    scheme: {"pre_tokenizer": metaspace(scheme), "decoder": metaspace(scheme)}
    for scheme in ("first", "always", "never")
}
PREFIXES["legacy"] = {
    "normalizer": {"type": "Sequence", "normalizers": LEGACY_STEPS},
    "decoder": {"type": "Sequence", "decoders": DECODERS},
}
# kind, text, tokens, offsets, what is decoded
GOLDEN = [
    ("first", "ab", ["▁ab"], [(0, 2)], "ab"),
    ("first", "  ab", ["▁", "▁ab"], [(0, 1), (1, 4)], " ab"),
    ("first", "▁b<s>a b", ["▁b", "<s>", "a", "▁b"], [(0, 2), (2, 5), (5, 6), (6, 8)], "ba b"),
    ("first", "é<s> a", ["▁", "<0xC3>", "<0xA9>", "<s>", "▁a"], [(0, 1)] * 3 + [(1, 4), (4, 6)], "<0xC3><0xA9> a"),
    ("always", "  ab", ["▁", "▁ab"], [(0, 1), (1, 4)], " ab"),
    ("always", "▁b<s>a b", ["▁b", "<s>", "▁a", "▁b"], [(0, 2), (2, 5), (5, 6), (6, 8)], "b a b"),
    ("never", "ab", ["ab"], [(0, 2)], "ab"),
    ("never", "  ab", ["▁", "▁ab"], [(0, 1), (1, 4)], "  ab"),
    ("never", "▁b<s>a b", ["▁b", "<s>", "a", "▁b"], [(0, 2), (2, 5), (5, 6), (6, 8)], " ba b"),
    ("legacy", "  ab", ["▁▁", "▁ab"], [(0, 1), (1, 4)], "  ab"),
    ("legacy", "▁b<s>a b", ["▁", "▁b", "<s>", "▁a", "▁b"], [(0, 1), (0, 2), (2, 5), (5, 6), (6, 8)], " b a b"),
    ("legacy", "é<s> a", ["▁", "<0xC3>", "<0xA9>", "<s>", "▁", "▁a"], [(0, 1)] * 3 + [(1, 4), (4, 5), (4, 6)], "é  a"),
]


@pytest.mark.parametrize(("kind", "text", "tokens", "offsets", "decoded"), GOLDEN)
def test_four_ways_to_put_a_space_in_front(kind, text, tokens, offsets, decoded):
    tokenizer = from_hf(bpe(**PREFIXES[kind]))
    for t in (tokenizer, from_hf(json.loads(json.dumps(tokenizer.to_json())))):
        ids, spans = t.encode_with_offsets(text, allowed="all")
        assert isinstance(t, Pipeline) and [t.token(i) for i in ids] == tokens and spans == offsets
        assert t.encode(text, allowed="all") == ids and t.decode(ids) == decoded
    assert 265 not in tokenizer.encode(text)  # unless it is allowed, <s> is text


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split(pattern: dict, behavior: str = "Isolated", invert: bool = False) -> dict:
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def byte_bpe(cuts: list[dict], **parts) -> dict:
    """A byte-level BPE; its vocabulary lacks what `without` says."""
    lacking = parts.pop("without", "")
    vocab = [c for c in GPT2_ORDER if c not in lacking] + ["Ġa", "ab", "Ġab", "12", "Ã©"]
    model = {"type": "BPE", "vocab": {s: i for i, s in enumerate(vocab)}}
    model["merges"] = [m for m in [["Ġ", "a"], ["a", "b"], ["Ġa", "b"], ["1", "2"], ["Ã", "©"]] if lacking not in m]
    return {"model": model, "decoder": BYTE_LEVEL, "pre_tokenizer": {"type": "Sequence", "pretokenizers": cuts}} | parts


def test_byte_level_with_steps_before_it():
    smol = from_hf(byte_bpe([DIGITS, BYTE_LEVEL]))
    ids, offsets = smol.encode_with_offsets("ab 12 ab")
    assert [smol.token(i) for i in ids] == ["ab", "Ġ", "1", "2", "Ġab"] and smol.decode(ids) == "ab 12 ab"
    assert offsets == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 8)]
    qwen = from_hf(byte_bpe([split({"Regex": QWEN}), BYTE_LEVEL | {"use_regex": False}], normalizer={"type": "NFC"}))
    ids, offsets = qwen.encode_with_offsets("e\u0301ab 12")
    assert [qwen.token(i) for i in ids] == ["Ã©", "ab", "Ġ", "1", "2"] and qwen.decode(ids) == "éab 12"
    assert offsets == [(0, 1), (2, 4), (4, 5), (5, 6), (6, 7)]
    prefixed = from_hf(byte_bpe([BYTE_LEVEL | {"add_prefix_space": True}]))
    ids, offsets = prefixed.encode_with_offsets("ab  ab")
    assert [prefixed.token(i) for i in ids] == ["Ġab", "Ġ", "Ġab"] and offsets == [(0, 2), (2, 3), (3, 6)]
    assert {t.kind for t in (smol, qwen, prefixed)} == {"bpe"}


def test_a_byte_that_the_vocabulary_lacks_is_dropped():
    tokenizer = from_hf(byte_bpe([BYTE_LEVEL], without="1"))
    assert [tokenizer.token(i) for i in tokenizer.encode("12")] == ["2"]


BEHAVIORS = {
    ("Isolated", False): ["the", "-", "final", "-", "-", "countdown"],
    ("Isolated", True): ["the", "-", "final", "-", "-", "countdown"],
    ("Removed", False): ["the", "final", "countdown"],
    ("Removed", True): ["-", "-", "-"],
    ("MergedWithPrevious", False): ["the-", "final-", "-", "countdown"],
    ("MergedWithPrevious", True): ["the", "-final", "-", "-countdown"],
    ("MergedWithNext", False): ["the", "-final", "-", "-countdown"],
    ("MergedWithNext", True): ["the-", "final-", "-", "countdown"],
    ("Contiguous", False): ["the", "-", "final", "--", "countdown"],
    ("Contiguous", True): ["the", "-", "final", "--", "countdown"],
}


@pytest.mark.parametrize(("behavior", "invert"), BEHAVIORS)
@pytest.mark.parametrize("pattern", [{"String": "-"}, {"Regex": "[-]"}])
def test_what_becomes_of_a_match(pattern, behavior, invert):
    words = BEHAVIORS[behavior, invert]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(["?", *words]))}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "?"}
    tokenizer = from_hf({"model": model, "pre_tokenizer": split(pattern, behavior, invert)})
    ids, offsets = tokenizer.encode_with_offsets("the-final--countdown")
    assert [tokenizer.token(i) for i in ids] == words == ["the-final--countdown"[a:b] for a, b in offsets]


SCORES = [["<unk>", 0.0], ["a", -2.0], ["b", -2.5], ["ab", -4.0], ["abb", -8.0], ["▁a", -3.0]]


def test_unigram():
    model = {"type": "Unigram", "unk_id": 0, "vocab": SCORES, "byte_fallback": False}
    tokenizer = from_hf({"model": model, "pre_tokenizer": metaspace("always"), "decoder": metaspace("always")})
    ids, offsets = tokenizer.encode_with_offsets("ab abb")
    assert ids == [5, 2, 5, 2, 2] and offsets == [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6)]
    assert tokenizer.encode_with_offsets("xx yab") == ([0, 0, 3], [(0, 2), (2, 4), (4, 6)])
    assert tokenizer.decode(ids) == "ab abb"


def test_added_tokens_with_properties():
    added = [
        {"id": 300, "content": "ba", "special": False, "single_word": True},
        {"id": 301, "content": "<x>", "special": True, "rstrip": True, "lstrip": True},
        {"id": 302, "content": "<Y>", "special": False, "normalized": True},
    ]
    tokenizer = from_hf(bpe(added=added, normalizer={"type": "Lowercase"}))
    assert tokenizer.encode("ba aba ba_ <y>") == [300, *tokenizer.encode(" aba ba_ "), 302]
    assert 301 not in tokenizer.encode("b <x>  a")
    assert tokenizer.encode_with_offsets("b <x>  a", allowed=["<x>"]) == ([259, 301, 258], [(0, 1), (1, 7), (7, 8)])
    with pytest.raises(UserError, match="contains the special token <x> at position 2"):
        tokenizer.encode("b <x>", forbidden="all")


EVERYTHING = [
    bpe(**PREFIXES["first"]),
    bpe(**PREFIXES["legacy"], model={"byte_fallback": False, "fuse_unk": False}),
    bpe(
        pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Punctuation"}, metaspace("first", split=False)]}
    ),
    bpe(normalizer={"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Nmt"}]}),
    bpe(normalizer={"type": "Strip", "strip_left": True, "strip_right": True}, pre_tokenizer={"type": "Whitespace"}),
    byte_bpe([DIGITS, BYTE_LEVEL | {"add_prefix_space": True}], normalizer={"type": "NFC"}),
]


@pytest.mark.parametrize("data", EVERYTHING, ids=range(len(EVERYTHING)))
def test_the_fast_way_and_the_one_with_offsets_agree(data):
    tokenizer = from_hf(data)

    @settings(max_examples=examples(15))
    @given(TEXTS)
    def check(text):
        for allowed in ((), "all"):
            ids, offsets = tokenizer.encode_with_offsets(text, allowed=allowed)
            assert ids == tokenizer.encode(text, allowed=allowed)
            assert all(0 <= a <= b <= len(text) for a, b in offsets)

    check()


# A map of characters as SentencePiece stores it: "ﬁ" (EF AC 81) becomes "fi". Units are offset << 10 | ends << 8 |
# label.
def charsmap() -> bytes:
    units = [0] * 1024
    units[0] = 256 << 10  # the root's children are at 256 ^ byte
    units[256 ^ 0xEF] = (512 ^ 256 ^ 0xEF) << 10 | 0xEF
    units[512 ^ 0xAC] = (768 ^ 512 ^ 0xAC) << 10 | 0xAC
    units[768 ^ 0x81] = (1 ^ 768 ^ 0x81) << 10 | 1 << 8 | 0x81
    units[1] = 1 << 31  # the replacement begins at 0
    return (4096).to_bytes(4, "little") + b"".join(u.to_bytes(4, "little") for u in units) + b"fi\0"


def test_a_map_of_characters(tmp_path):
    found = CharsMap(charsmap())
    assert found.longest("aﬁ", 1) == ("fi", 2) and found.longest("aﬁ", 0) is None and found.shortest("ﬁa") == "fi"
    assert found.ascii_stands_first_only
    data = bpe(normalizer={"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap()).decode()})
    tokenizer = from_hf(data)
    assert tokenizer.encode("ﬁa") == tokenizer.encode("fia")
    assert tokenizer.encode_with_offsets("ﬁa")[1] == [(0, 1), (0, 1), (1, 2)]
    path = tmp_path / "t.model"
    path.write_bytes(model_file(little_llama(), model_type=1, charsmap=charsmap()))
    vocabulary = read_model(path)
    assert vocabulary.model == UNIGRAM and base64.b64decode(vocabulary.charsmap) == charsmap()
    loaded = tokenizers.load(path)
    again = from_hf(json.loads(json.dumps(loaded.to_json())))
    for text in ("the ﬁ cat", "ﬁﬁ  x", " the é"):
        assert loaded.encode(text) == loaded.encode(text.replace("ﬁ", "fi")) == again.encode(text)
        assert loaded.encode_with_offsets(text)[0] == loaded.encode(text)


def test_damaged_maps_are_one_sentence():
    whole, rng = charsmap(), random.Random(0)
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(3):
            data[rng.choice([*range(8), *range(4 + 4 * 256, 4 + 4 * 1024), *range(4100, len(data))])] ^= (
                1 << rng.randrange(8)
            )
        try:
            found = CharsMap(bytes(data))
            assert found.ascii_stands_first_only in (True, False)
            [found.longest("aﬁ\u0301\0", i) for i in range(4)]
        except (ValueError, UserError) as error:
            assert "map of characters is damaged" in str(error)


def test_a_pattern_that_takes_for_ever_is_stopped(monkeypatch):
    monkeypatch.setattr(limits, "PATTERN_SECONDS", 0.02)
    tokenizer = from_hf(bpe(pre_tokenizer=split({"Regex": "(?:a|a|aa)+$b"})))
    with pytest.raises(UserError, match="takes too long on this text"):
        tokenizer.encode("a" * 60)
    with pytest.raises(UserError, match="takes too long on this text"):
        tokenizers.train("bpe", iter(["a" * 60]), 300, pattern="(?:a|a|aa)+$b")


class Interrupted:
    """A pattern during whose first search something else computes for as long as a text may take."""

    pattern = "a"

    def __init__(self) -> None:
        self.searches = 0

    def finditer(self, text: str, timeout: float) -> Iterator[regex.Match[str]]:
        self.searches += 1
        if self.searches == 1:
            started = time.thread_time()
            while time.thread_time() - started < timeout:
                pass
            raise TimeoutError
        return regex.finditer("a", text, timeout=timeout)


def test_a_pause_is_not_the_patterns_fault(monkeypatch):
    monkeypatch.setattr(limits, "PATTERN_SECONDS", 0.01)
    pattern = Interrupted()
    assert list(patterns.matches(pattern, "ab a")) == [(0, 1), (3, 4)] and pattern.searches == 2


class Counting:
    """A pattern that makes objects enough for a garbage collection, whose time would count as the pattern's."""

    pattern = "counting"

    def finditer(self, text: str, timeout: float) -> Iterator[regex.Match[str]]:
        before, objects = gc.get_stats()[0]["collections"], [[] for _ in range(5000)]
        assert len(objects) > gc.get_threshold()[0] and gc.get_stats()[0]["collections"] == before
        return regex.finditer("a", text, timeout=timeout)


def test_a_garbage_collection_does_not_use_up_a_patterns_time():
    assert gc.isenabled() and list(patterns.matches(Counting(), "ab")) == [(0, 1)] and gc.isenabled()


# What tokenizers 0.23.3 (Oniguruma) refuses, and `regex` would read: recursion, other flags, long repetitions.
OF_REGEX_ALONE = ["(?R)?a", "(a(?1)?)", "(?&x)(?<x>a)", "(?P>x)(?<x>a)", "(?-1)(a)", "(?e)a", "(?b)a", "(?p)a"]


@pytest.mark.parametrize("pattern", [*OF_REGEX_ALONE, "a{100001}", "a{0,100001}"])
def test_what_oniguruma_refuses_is_refused(pattern):
    with pytest.raises(ValueError, match=r"minigpt does not do|more than 100000 times"):
        patterns.compile_pattern(pattern)


def test_a_brace_that_repeats_nothing_is_a_brace():
    assert [m.group() for m in patterns.compile_pattern("a{e<=1}").finditer("a ab a{e<=1}")] == ["a{e<=1}"]


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        *[("abc", 3), ("a{3}", 3), ("a{2,}", 3), ("a+", 2), ("a*b?", 2), ("a|b|c", 3), (r"\p{L}{7}", 7)],
        *[
            ("(?:ab){4}c", 13),
            ("((a{9}){9}){9}", 819),
            ("[a-z+{9}]{5}", 5),
            ("(?:" * 25 + "a" + ")+" * 25, 3 * 2**25 - 2),
        ],
    ],
)
def test_repetitions_are_counted_written_out(pattern, parts):
    """A group counts one beside what is in it."""
    assert patterns.parts(pattern) == parts


def test_a_pattern_that_repeats_too_much_is_not_compiled():
    for pattern in ("(?:(?:a{60}){60}){60}", "(?:" * 25 + "a" + ")+" * 25):
        with pytest.raises(ValueError, match="repeats too much"):
            patterns.compile_pattern(pattern)
        with pytest.raises(UserError, match="repeats too much"):
            tokenizers.train("bpe", iter(["a"]), 300, pattern=pattern)


def test_many_short_texts_use_up_the_time_together(monkeypatch):
    monkeypatch.setattr(limits, "PATTERN_SECONDS", 0.02)
    slow = patterns.compile_pattern("(?:a|a|aa)+$b|x")
    refused = 0
    for _ in range(40):
        try:
            list(patterns.matches(slow, "a" * 16))
        except UserError:
            refused += 1
    assert refused > 20


def test_steps_that_each_lengthen_a_text_do_not_fill_the_memory():
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 3000}
    for pattern in ({"String": "a"}, {"Regex": "a"}):
        steps = [{**step, "pattern": pattern}] * 5
        tokenizer = from_hf(bpe(normalizer={"type": "Sequence", "normalizers": steps}))
        for encode in (tokenizer.encode, tokenizer.encode_with_offsets):
            with pytest.raises(UserError, match=r"parts of a text by 3000 characters each|more than"):
                encode("a a")


# What the two libraries read differently, and what tokenizers 0.23.3 makes of it: pattern, text, text with | for a
# match.
ONIGURUMA = [
    ("^", "a\nb\n", "|a\n|b\n"),
    ("$", "a\nb\n", "a|\nb|\n|"),
    (r"\Z", "a\n", "a|\n|"),
    (r"\z", "a\n", "a\n|"),
    (r"\h", "ag", "|g"),
    ("1{1,2}+", "11111x", "|x"),
    ("x*", "axb", "|a|b|"),
    ("[a[bc]]", "abd", "||d"),
    ("(?m)a.b", "a\nb", "|"),
    ("", "", ""),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), ONIGURUMA)
def test_regular_expressions_mean_what_they_mean_there(pattern, text, expected):
    tokenizer = from_hf(bpe(normalizer=replace({"Regex": pattern}, "|")))
    assert tokenizer.normalizer(Stretch(text)).text == expected


def test_random_damage_never_shows_a_traceback(tmp_path):
    rng, path, refused = random.Random(1), tmp_path / "t.json", 0
    for data in (*EVERYTHING[:3], tokenizers.SentencePieceBPE(little_llama()).to_json()):
        whole = json.dumps(data)
        for _ in range(20):
            damaged = json.loads(whole)
            part = damaged
            while isinstance(part, dict | list) and part and rng.random() < 0.8:
                above, key = part, rng.choice(list(part) if isinstance(part, dict) else range(len(part)))
                part = part[key]
            above[key] = rng.choice([None, -1, 10**400, 1.5, "x", "\ud800", [], {}, True, ["a"], {"type": "X"}])
            path.write_text(json.dumps(damaged), encoding="utf-8")
            try:
                tokenizers.load(path).encode("a <s> é")
            except UserError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 20
