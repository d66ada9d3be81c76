""".tiktoken files and others that do not say how text is cut: recognised, named or refused, never guessed wrongly."""

import base64
import hashlib
import json
import random

import pytest

from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.tokenizers.formats.tiktoken_files import PUBLISHED, Published, read_tiktoken
from minigpt.tokenizers.patterns import CL100K_PATTERN, GPT2_PATTERN, O200K_PATTERN, PATTERNS
from minigpt.tokenizers.pretokens import PreTokenizer

from .texts import SAMPLE, real_file, write_tiktoken

LLAMA3 = tokenizers.train("bpe", iter([SAMPLE * 3]), 400, pattern="llama3")


@pytest.fixture
def ranks(tmp_path):
    path = tmp_path / "ranks.tiktoken"
    path.write_text(write_tiktoken(LLAMA3), encoding="utf-8")
    return path


@pytest.mark.slow("the other tests of this file, on small vocabularies")
def test_gpt2s_ranks_are_recognised(tmp_path):
    """Written from vocab.bpe they are, byte for byte, the published r50k_base.tiktoken."""
    path = tmp_path / "any.tiktoken"
    gpt2 = tokenizers.load(real_file("tokenizers", "gpt2", "vocab.bpe"))
    path.write_text(write_tiktoken(gpt2), encoding="utf-8")
    assert PUBLISHED[hashlib.sha256(path.read_bytes()).hexdigest()].name == "r50k_base"
    lines = path.read_bytes().splitlines()
    random.Random(0).shuffle(lines)
    path.write_bytes(b"\r\n".join(lines))  # other line ends and another order are no other vocabulary
    known = tokenizers.load(path)
    assert known.pattern == GPT2_PATTERN and known.special_tokens == {"<|endoftext|>": 50256}
    # Ids of tiktoken 0.14, Encoding("r50k_base") of these ranks.
    assert known.encode("I'LL pay 12345  don't") == [40, 6, 3069, 1414, 17031, 2231, 220, 836, 470]
    assert known.encode("\n\n  x\n") == [628, 220, 2124, 198]
    assert known.encode("a<|endoftext|> 007", allowed="all") == [64, 50256, 3571, 22]
    assert known.encode("a<|endoftext|> 007") == [64, 27, 91, 437, 1659, 5239, 91, 29, 3571, 22]
    path.write_bytes(b"\n".join(lines[1:]) + b"\n" + lines[0].split()[0] + b" 50256")  # one rank is another
    with pytest.raises(UserError, match="are not those of a published vocabulary"):
        tokenizers.load(path)


def test_the_published_vocabularies_have_room_for_their_special_tokens():
    for known in PUBLISHED.values():
        ids = list(known.special_tokens.values())
        assert len(set(ids)) == len(ids) and min(ids) >= known.ranks - 24  # p50k's lies among its ranks
    llama3 = next(known for known in PUBLISHED.values() if known.name == "llama3").special_tokens
    assert list(llama3.values()) == list(range(128000, 128256))
    expected = {"<|begin_of_text|>": 128000, "<|end_of_text|>": 128001, "<|start_header_id|>": 128006}
    assert llama3.items() >= (expected | {"<|end_header_id|>": 128007, "<|eot_id|>": 128009}).items()


def test_a_recognised_file_has_its_pattern_and_special_tokens(ranks, monkeypatch):
    known = Published("test", LLAMA3.vocab_size, PATTERNS["llama3"], {"<|x|>": 400})
    monkeypatch.setitem(PUBLISHED, hashlib.sha256(ranks.read_bytes()).hexdigest(), known)
    tokenizer = tokenizers.load(ranks)
    assert tokenizer.pattern == PATTERNS["llama3"] and tokenizer.special_tokens == {"<|x|>": 400}
    assert tokenizer.encode(SAMPLE) == LLAMA3.encode(SAMPLE) and tokenizer.vocab_size == 401
    assert read_tiktoken(ranks, pattern="gpt2").pattern == GPT2_PATTERN  # what is named goes before what is known
    ranks.rename(ranks.with_name("tokenizer.model"))  # as Llama 3's own folder calls it
    assert tokenizers.load(ranks.parent).to_json() == tokenizer.to_json()


def test_an_unknown_file_is_refused_until_a_pattern_is_named(ranks, capsys):
    with pytest.raises(UserError, match=r"gpt2, llama3, cl100k, o200k or a regular expression.*--pattern") as caught:
        tokenizers.load(ranks)
    assert str(ranks) in str(caught.value) and "\n" not in str(caught.value)
    assert tokenizers.load(ranks, pattern="llama3").encode(SAMPLE) == LLAMA3.encode(SAMPLE)
    assert tokenizers.load(ranks, pattern=r"\w+|\W").pattern == r"\w+|\W"
    with pytest.raises(UserError, match="there is no pattern called 'llama4'"):
        tokenizers.load(ranks, pattern="llama4")
    assert main(["tokenizer", "encode", str(ranks), "12345"]) == 2
    assert "name the pattern" in capsys.readouterr().err
    assert main(["tokenizer", "encode", str(ranks), "12345", "--pattern", "llama3"]) == 0
    assert capsys.readouterr().out.split() == [str(i) for i in LLAMA3.encode("12345")]


def test_converting_writes_what_the_file_did_not_say(ranks, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["tokenizer", "convert", str(ranks), "--pattern", "llama3", "--out", "t.json"]) == 0
    assert tokenizers.load("t.json").encode(SAMPLE) == LLAMA3.encode(SAMPLE)
    assert main(["tokenizer", "convert", str(ranks), "--pattern", "llama3", "--out", "t.json"]) == 2
    assert "t.json exists already" in capsys.readouterr().err
    with pytest.raises(UserError, match="needs no pattern: it says itself"):
        tokenizers.load("t.json", pattern="gpt2")


def test_python_takes_the_names_that_the_command_line_takes():
    for name, pattern in PATTERNS.items():
        assert tokenizers.train("bpe", iter([SAMPLE]), 260, pattern=name).pattern == pattern
        assert tokenizers.ByteBPE.train(iter([SAMPLE]), 260, pattern=name).pattern == pattern
        assert tokenizers.from_spec("bpe:260", lambda: iter([SAMPLE]), pattern=name).pattern == pattern
    for name, message in {"llama4": "there is no pattern called 'llama4'", "": "the pattern is empty"}.items():
        with pytest.raises(UserError, match=message):
            tokenizers.train("bpe", iter([SAMPLE]), 260, pattern=name)


@pytest.mark.parametrize(
    "kind, size, options, message",
    [
        ("bpe", 260, {"score": "count"}, "a bpe tokenizer has no option 'score'; it has special_tokens"),
        ("wordpiece", 260, {"pattern": "gpt2"}, "a wordpiece tokenizer has no option 'pattern'"),
        ("bpe", 0, {}, "a vocabulary of 0 tokens is too small"),
        ("bpe", "4096", {}, "a whole number, not '4096'"),
        ("bpe", 300, {"special_tokens": "<|x|>"}, "should be a list of names"),
        ("gpt", 300, {"special_tokens": [""]}, "empty name"),
    ],
)
def test_python_refuses_what_the_command_line_refuses(kind, size, options, message):
    with pytest.raises(UserError, match=message):
        tokenizers.train(kind, iter([SAMPLE]), size, **options)


def test_words_of_the_newer_patterns():
    """Each list was made by `regex` from tiktoken 0.14's own spelling of the pattern."""
    text = "HelloWorld'S ÀÉb 12345!\n/\n x \n\n  "
    words = ["HelloWorld", "'S", " ÀÉb", " ", "123", "45", "!\n", "/\n", " x", " \n\n  "]
    assert PreTokenizer(CL100K_PATTERN).words(text) == words
    words = ["Hello", "World'S", " ÀÉb", " ", "123", "45", "!\n/\n", " x", " \n\n", "  "]
    assert PreTokenizer(O200K_PATTERN).words(text) == words


def write_pair(folder, tokenizer, names=("vocab.json", "merges.txt")):
    (folder / names[0]).write_text(json.dumps(tokenizer.vocab), encoding="utf-8")
    lines = "".join(f"{a} {b}\n" for a, b in tokenizer.merges)
    (folder / names[1]).write_text("#version: 0.2\n" + lines, encoding="utf-8")


def test_merges_that_gpt2s_pattern_cannot_have_made_are_refused(tmp_path):
    write_pair(tmp_path, LLAMA3)
    with pytest.raises(UserError, match=r"merges\.txt does not say how .*GPT-2's pattern cannot have made tokens such"):
        tokenizers.load(tmp_path)
    assert tokenizers.load(tmp_path, pattern="llama3").encode(SAMPLE) == LLAMA3.encode(SAMPLE)
    gpt2 = tokenizers.train("bpe", iter([SAMPLE * 3]), 400)
    write_pair(tmp_path, gpt2)
    assert tokenizers.load(tmp_path).encode(SAMPLE) == gpt2.encode(SAMPLE)


def test_a_vocabulary_of_words_that_end_is_gpts(tmp_path):
    gpt = tokenizers.train("gpt", iter([SAMPLE]), 180, words=tokenizers.GPTWords("hf"))
    write_pair(tmp_path, gpt)
    assert tokenizers.load(tmp_path).encode("The cat sat.") == gpt.encode("The cat sat.")
    del gpt.vocab["<unk>"]
    write_pair(tmp_path, gpt)
    with pytest.raises(UserError, match="lacks <unk>, so it is not GPT's"):
        tokenizers.load(tmp_path)


@pytest.mark.parametrize(
    "tokens, settings, expected, said",
    [
        (["a", "B"], None, (False, None), ""),
        (["a", "b"], None, (True, None), ""),
        (["a", "é"], None, (True, False), ""),  # lower-cased, and its accents were kept
        (["日", "本"], None, (True, None), "does not say whether the model is cased"),
        (["日", "本"], {"do_lower_case": False}, (False, None), ""),
        (["a", "B"], {}, (True, None), ""),  # BertTokenizer's own default
        (["a"], {"strip_accents": False, "tokenize_chinese_chars": False}, (True, False), ""),
    ],
)
def test_vocab_txt_is_cased_or_not_by_what_lies_beside_it(tokens, settings, expected, said, tmp_path, capsys):
    (tmp_path / "vocab.txt").write_text("\n".join(["[UNK]", *tokens]), encoding="utf-8")
    if settings is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    words = tokenizers.load(tmp_path).words
    assert (words.lower, words.strip_accents) == expected
    assert words.split_cjk is (settings or {}).get("tokenize_chinese_chars", True)
    assert said in capsys.readouterr().err if said else not capsys.readouterr().err


def test_settings_beside_vocab_txt_that_cannot_be_followed(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\na", encoding="utf-8")
    for settings, message in [
        ({"do_basic_tokenize": False}, "not cut into words first"),
        ({"do_lower_case": 1}, "do_lower_case should be true, false or null"),
    ]:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        with pytest.raises(UserError, match=message):
            tokenizers.load(tmp_path)


def test_lines_end_at_line_feeds_alone(tmp_path):
    """Tokens such as U+0085 and U+2028 are in published multilingual vocabularies."""
    (tmp_path / "vocab.txt").write_bytes("[UNK]\r\n\x85\r\n\u2028\r\na\x0cb\r\n".encode())
    assert tokenizers.load(tmp_path).vocab == {"[UNK]": 0, "\x85": 1, "\u2028": 2, "a\x0cb": 3}
    (tmp_path / "dict.txt").write_text("1\x85 5\n\u2028 4\n", encoding="utf-8")
    assert tokenizers.read_dictionary(tmp_path / "dict.txt") == ["1\x85", "\u2028"]


def test_damaged_ranks(tmp_path):
    path = tmp_path / "t.tiktoken"
    single = "".join(f"{base64.b64encode(bytes([b])).decode()} {b}\n" for b in range(256))
    for extra in ("YWI= -3\n", "YWI= 3_0\n", "YWI=  300\n", "YWI= ٣٠٠\n", "YWI=\n", f"YWI= {'9' * 400}\n"):
        path.write_text(single + extra, encoding="utf-8")
        with pytest.raises(UserError, match="line 257 should be base64 and a rank"):
            tokenizers.load(path)
