"""`minigpt tokenizer` and `minigpt bench tokenizer`, as their users meet them."""

import io
import json
import sys

import pytest

from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.lab.benchmark import conditions

from .texts import SAMPLE


@pytest.fixture
def minigpt(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder and return its status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_bytes(SAMPLE.encode("utf-8"))

    def run(*arguments, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def bpe(minigpt):
    assert minigpt("tokenizer", "train", "text.txt", "--vocab-size", 300, "--special", "<|end|>")[0] == 0
    return "tokenizer.json"


def test_train_writes_what_the_library_trains(minigpt, tmp_path):
    status, out, _ = minigpt("tokenizer", "train", "text.txt", "--vocab-size", 300, "--out", "b.json", "--json")
    assert status == 0 and json.loads(out) == {"tokenizer": "b.json", "kind": "bpe", "vocab_size": 300}
    expected = tokenizers.train("bpe", [tmp_path / "text.txt"], 300)
    assert tokenizers.load("b.json").to_json() == expected.to_json()


def test_train_options(minigpt):
    train = ("tokenizer", "train", "text.txt")
    assert (
        minigpt(*train, "--kind", "wordpiece", "--vocab-size", 150, "--cased", "--special", "[X]", "--out", "w.json")[0]
        == 0
    )
    words = tokenizers.load("w.json")
    assert not words.words.lower and words.special_tokens["[X]"] == 5
    assert minigpt(*train, "--pattern", "llama3", "--out", "p.json")[0] == 0
    assert tokenizers.load("p.json").pattern == tokenizers.patterns.LLAMA3_PATTERN
    assert minigpt(*train, "--kind", "char", "--out", "c.json")[0] == 0
    assert tokenizers.load("c.json").characters == "".join(sorted(set(SAMPLE)))
    assert minigpt(*train, "--kind", "gpt", "--vocab-size", 170, "--min-frequency", 3, "--out", "g.json")[0] == 0
    assert tokenizers.load("g.json").kind == "gpt"


def test_nothing_is_overwritten_unasked(minigpt, bpe, tmp_path):
    before = (tmp_path / bpe).read_bytes()
    status, out, err = minigpt("tokenizer", "train", "text.txt", "--vocab-size", 280)
    assert (status, out) == (2, "") and "tokenizer.json exists already" in err
    assert (tmp_path / bpe).read_bytes() == before
    assert minigpt("tokenizer", "train", "text.txt", "--vocab-size", 280, "--force")[0] == 0
    assert tokenizers.load(bpe).vocab_size == 280


def test_encode_and_decode(minigpt, bpe):
    text = "the cat — café\n"
    ids = tokenizers.load(bpe).encode(text)
    assert minigpt("tokenizer", "encode", bpe, text)[1].split() == [str(i) for i in ids]
    assert minigpt("tokenizer", "encode", bpe, stdin=text.encode())[1].split() == [str(i) for i in ids]
    assert minigpt("tokenizer", "encode", bpe, "--file", "text.txt")[0] == 0
    shown = json.loads(minigpt("tokenizer", "encode", bpe, text, "--json")[1])
    assert shown["ids"] == ids and len(shown["tokens"]) == len(shown["offsets"]) == len(ids)
    assert minigpt("tokenizer", "decode", bpe, *ids)[1] == text + "\n"
    assert minigpt("tokenizer", "decode", bpe, stdin=" ".join(map(str, ids)).encode())[1] == text + "\n"
    assert json.loads(minigpt("tokenizer", "decode", bpe, *ids, "--json")[1]) == {"text": text}


def test_special_tokens_are_what_the_user_says(minigpt, bpe):
    assert minigpt("tokenizer", "encode", bpe, "<|end|>", "--special", "allowed")[1] == "0\n"
    assert "0" not in minigpt("tokenizer", "encode", bpe, "<|end|>")[1].split()
    status, _, err = minigpt("tokenizer", "encode", bpe, "a<|end|>", "--special", "forbidden")
    assert status == 2 and "special token <|end|> at position 1" in err


def test_show_tells_tokens_apart(minigpt, bpe):
    plain = minigpt("tokenizer", "show", bpe, "the cat\nx日")[1]
    assert plain.startswith("t|he| ca|t|⏎\n|x|") and plain.count("日") == 1
    count = len(tokenizers.load(bpe).encode("the cat\nx日"))
    assert plain.endswith(f"日|\n{count} tokens, 10 characters\n")
    coloured = minigpt("tokenizer", "show", bpe, "the cat", "--color", "always")[1]
    assert coloured.startswith("\x1b[30;44mt\x1b[0m\x1b[30;42mhe\x1b[0m\x1b[30;45m ca\x1b[0m")
    shown = json.loads(minigpt("tokenizer", "show", bpe, "the cat", "--json")[1])
    assert [(t["start"], t["end"]) for t in shown["tokens"]] == [(0, 1), (1, 3), (3, 6), (6, 7)] and shown[
        "characters"
    ] == 7


def test_show_keeps_what_no_token_covers(minigpt):
    minigpt("tokenizer", "train", "text.txt", "--kind", "wordpiece", "--vocab-size", 150)
    assert minigpt("tokenizer", "show", "tokenizer.json", "The  cat ")[1].startswith("The|  cat| \n2 tokens")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nope.txt"), "there is no file nope.txt"),
        (("train", "."), ". is not a regular file"),
        (("train", "empty.txt"), "empty.txt is empty"),
        (("train", "latin.txt"), "latin.txt is not a UTF-8 text: byte 3 cannot be decoded"),
        (("train", "cut.txt"), "cut.txt is not a UTF-8 text: byte 1 cannot be decoded"),
        (("train", "text.txt", "--vocab-size", "9"), "a vocabulary of 9 tokens is too small"),
        (("train", "text.txt", "--vocab-size", "9", "--kind", "wordpiece"), "too small for WordPiece"),
        (("train", "text.txt", "--pattern", "("), "the pre-tokenization pattern '(' is not valid"),
        (("train", "text.txt", "--kind", "char", "--vocab-size", "9"), "--vocab-size means nothing for a char"),
        (("train", "text.txt", "--kind", "gpt", "--pattern", "x"), "--pattern means nothing for a gpt"),
        (("train", "text.txt", "--min-frequency", "2", "--kind", "byte"), "--min-frequency means nothing for a byte"),
        (("train", "text.txt", "--out", "no/where.json"), "the folder no does not exist"),
        (("encode", "nope.json", "x"), "there is no tokenizer file nope.json"),
        (("encode", "text.txt", "x"), "text.txt is not a vocabulary of BERT"),
        (("encode", "b.json", "x", "--file", "text.txt"), "give TEXT or --file, not both"),
        (("encode", "b.json", "--file", "nope"), "there is no file nope"),
        (("encode", "b.json", "\udcff"), "TEXT is not valid UTF-8"),
        (("decode", "b.json", "x"), "token ids are whole numbers"),
        (("decode", "b.json", "256"), "token id 256 is outside the vocabulary of 256 tokens"),
        (("show", "nope.json", "x"), "there is no tokenizer file nope.json"),
    ],
)
def test_mistakes_get_one_sentence(minigpt, tmp_path, arguments, message):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait")
    (tmp_path / "cut.txt").write_bytes(b"a\xe2\x82")
    tokenizers.save(tokenizers.ByteTokenizer(), tmp_path / "b.json")
    before = sorted(tmp_path.iterdir())
    status, out, err = minigpt("tokenizer", *arguments)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_stdin_must_be_text(minigpt, bpe):
    status, _, err = minigpt("tokenizer", "encode", bpe, stdin=b"ab\xff")
    assert status == 2 and "stdin is not a UTF-8 text: byte 2 cannot be decoded" in err


@pytest.mark.parametrize("arguments", [(), ("train",), ("encode",), ("decode",), ("show",)])
def test_help_shows_an_example(minigpt, arguments, capsys):
    with pytest.raises(SystemExit):
        minigpt("tokenizer", *arguments, "--help")
    assert "Example:\n  minigpt tokenizer" in capsys.readouterr().out


def test_bench_alone(minigpt, monkeypatch):
    monkeypatch.setattr(conditions, "BYTES", 1 << 20)
    status, out, _ = minigpt("bench", "tokenizer", "text.txt", "--merges", 20, "--repeats", 1, "--json")
    result = json.loads(out)
    assert status == 0 and result["merges"] == 20 and result["bytes"] == len(SAMPLE.encode())
    assert set(result["tasks"]) == {"train", "encode cold", "encode warm"}
    assert minigpt("bench", "tokenizer", "text.txt", "--merges", 20, "--repeats", 1)[1].count("MB/s") == 3


def test_bench_mistakes(minigpt, monkeypatch):
    assert "cannot compare with 'x'" in minigpt("bench", "tokenizer", "text.txt", "--against", "x")[2]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert (
        "tiktoken is not installed: pip install"
        in minigpt("bench", "tokenizer", "text.txt", "--against", "tiktoken")[2]
    )


def test_specs(tmp_path):
    def texts():
        return iter([SAMPLE])

    assert tokenizers.from_spec("byte", texts).kind == "byte"
    assert tokenizers.from_spec("char", texts).vocab_size == len(set(SAMPLE))
    assert tokenizers.from_spec("bpe:300", texts).merges == tokenizers.train("bpe", texts(), 300).merges
    assert tokenizers.from_spec("wordpiece:150", texts, lower=False).words.lower is False
    path = tokenizers.save(tokenizers.ByteTokenizer(), tmp_path / "bpe:300")
    assert tokenizers.from_spec(str(path), texts).kind == "byte"
    for spec, message in {
        "bpe": "a bpe tokenizer needs a vocabulary size: write bpe:4096",
        "bpe:x": "'x' in 'bpe:x' is not a vocabulary size",
        "bpe:9": "a vocabulary of 9 tokens is too small",
        "char:9": "a char tokenizer has no vocabulary size",
        "spm:9": "there is no tokenizer 'spm:9'",
        "missing.json": "there is no tokenizer 'missing.json'",
    }.items():
        with pytest.raises(UserError, match=message):
            tokenizers.from_spec(spec, texts)


@pytest.mark.parametrize("out", ["", "folder/"])
def test_out_must_name_a_file_or_a_folder(minigpt, out):
    status, _, err = minigpt("tokenizer", "train", "text.txt", "--out", out)
    assert status == 2 and "names neither a file nor a folder that exists" in err
