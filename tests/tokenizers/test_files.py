"""Files: save and load bring every option back, published formats are read, and damage is named in one sentence."""

import base64
import json
import random

import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.tokenizers import GPTBPE, BertWords, ByteBPE, GPTWords, SentencePieceBPE, WordPiece
from minigpt.tokenizers.byte_alphabet import GPT2_ORDER
from minigpt.tokenizers.formats.readers import read_vocab_txt
from minigpt.tokenizers.formats.tiktoken_files import END_OF_TEXT, read_tiktoken
from minigpt.tokenizers.sentencepiece_vocabulary import USER_DEFINED

from .texts import SAMPLE, little_llama, write_tiktoken

BPE = tokenizers.train("bpe", iter([SAMPLE]), 320, special_tokens=["<|a|>", "<|b b|>"])
PIECES = tokenizers.train("wordpiece", iter([SAMPLE]), 150)
GPT = tokenizers.train("gpt", iter([SAMPLE]), 180)


def user_defined() -> SentencePieceBPE:
    v = little_llama()
    v.pieces, v.scores, v.types = [*v.pieces, "<sep>"], [*v.scores, 0.0], [*v.types, USER_DEFINED]
    v.add_dummy_prefix, v.remove_extra_whitespaces, v.unknown_surface = False, True, "?"
    return SentencePieceBPE(v)


class Mender:
    @staticmethod
    def fix_text(text):
        return text


OPTIONS = {
    "char": lambda: tokenizers.CharTokenizer("ab \u2028\0é"),
    "byte": tokenizers.ByteTokenizer,
    "bpe": lambda: BPE,
    "bpe, pattern": lambda: tokenizers.train("bpe", iter([SAMPLE]), 300, pattern=r"\p{L}+|\s{2,}(?=x)|[^é\"\\]"),
    "bpe, mask": lambda: ByteBPE(
        BPE.vocab, BPE.merges, special_tokens={"<mask>": 320, "</s>": 3}, absorb_left=["<mask>"]
    ),
    "bpe, merges only": lambda: ByteBPE(BPE.vocab, BPE.merges, whole_words=False),
    "wordpiece": lambda: PIECES,
    "wordpiece, cased": lambda: WordPiece(PIECES.vocab, words=BertWords(lower=False, rule="google")),
    "wordpiece, accents": lambda: WordPiece(
        {**PIECES.vocab, "<u>": 150},
        words=BertWords(strip_accents=False, split_cjk=False, clean=False),
        unknown="<u>",
        special_tokens={"<u>": 150},
        longest_word=7,
    ),
    "wordpiece, prefix": lambda: WordPiece({"[UNK]": 0, "a": 1, "@a": 2}, prefix="@"),
    "gpt": lambda: GPT,
    "gpt, hf": lambda: GPTBPE(GPT.vocab, GPT.merges, words=GPTWords("hf"), special_tokens={"_start_": 180}),
    "gpt, unknown": lambda: GPTBPE({"a</w>": 0, "?": 1}, [], unknown="?"),
    "gpt, ftfy": lambda: GPTBPE(GPT.vocab, GPT.merges, words=GPTWords(use_ftfy=True)),
    "sentencepiece": lambda: SentencePieceBPE(little_llama()),
    "sentencepiece, options": user_defined,
}


@pytest.mark.parametrize("name", OPTIONS)
def test_saving_and_loading_is_the_identity(name, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ftfy", Mender)
    tokenizer = OPTIONS[name]()
    path = tokenizers.save(tokenizer, tmp_path)
    loaded = tokenizers.load(tmp_path)
    assert type(loaded) is type(tokenizer) and loaded.to_json() == tokenizer.to_json()
    assert loaded.special_tokens == tokenizer.special_tokens and loaded.vocab_size == tokenizer.vocab_size
    text = "ab a" if name == "char" else SAMPLE[:300] + " aaaaaaaa Éa日a <mask> <sep> ab </s><|b b|>"
    for special in ({}, {"allowed": "all"}):
        assert loaded.encode(text, **special) == tokenizer.encode(text, **special)
    assert loaded.decode(loaded.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    assert json.loads(path.read_bytes().decode("utf-8"))


def test_files_are_utf8_whatever_the_locale_says(tmp_path, monkeypatch):
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "cp1252")
    path = tokenizers.save(BPE, tmp_path / "t.json")
    assert "Ġ".encode() in path.read_bytes()
    assert tokenizers.load(path).to_json() == BPE.to_json()


def test_saving_is_atomic(tmp_path, monkeypatch):
    path = tokenizers.save(BPE, tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(
        "minigpt.core.disk.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(UserError, match=r"cannot write .*tokenizer\.json: No space left on device"):
        tokenizers.save(GPT, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match="cannot write"):
        tokenizers.save(GPT, tmp_path / "nowhere" / "t.json")


def gpt2_files(folder, vocab_name="encoder.json", merges_name="vocab.bpe") -> dict[str, int]:
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("Ġ", "w")]
    vocab = {s: i for i, s in enumerate([*GPT2_ORDER, *(a + b for a, b in merges), END_OF_TEXT])}
    (folder / vocab_name).write_text(json.dumps(vocab), encoding="utf-8")
    lines = "".join(f"{a} {b}\n" for a, b in merges)
    (folder / merges_name).write_text("#version: 0.2\n" + lines, encoding="utf-8")
    return vocab


@pytest.mark.parametrize("names", [("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt")])
def test_gpt2_files(tmp_path, names):
    vocab = gpt2_files(tmp_path, *names)
    for path in (tmp_path, tmp_path / names[0], tmp_path / names[1]):
        tokenizer = tokenizers.load(path)
        assert tokenizer.vocab == vocab and tokenizer.special_tokens == {END_OF_TEXT: 260}
        assert [tokenizer.token(i) for i in tokenizer.encode("hello w")] == ["hell", "o", "Ġw"]


def test_vocab_bpe_alone_and_tiktoken(tmp_path):
    gpt2_files(tmp_path)
    both = tokenizers.load(tmp_path)
    (tmp_path / "encoder.json").unlink()
    alone = tokenizers.load(tmp_path / "vocab.bpe")
    assert alone.to_json() == both.to_json()
    path = tmp_path / "ranks.tiktoken"
    path.write_text(write_tiktoken(alone), encoding="utf-8")
    ranks = read_tiktoken(path, pattern=alone.pattern, special_tokens=alone.special_tokens)
    assert ranks.to_json() == alone.to_json()
    assert tokenizers.load(path, pattern="gpt2").encode("hello w") == alone.encode("hello w")


def test_vocab_txt_knows_whether_it_is_cased(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"[PAD]\r\n[UNK]\r\na\r\n##b\r\n")
    assert tokenizers.load(path).words.lower and tokenizers.load(tmp_path).encode("AB") == [2, 3]
    path.write_text("[PAD]\n[UNK]\na\nB\n", encoding="utf-8")
    assert not tokenizers.load(path).words.lower
    assert read_vocab_txt(path, lower=True, rule="google").words.rule == "google"


def test_line_ends_and_byte_order_of_merges(tmp_path):
    gpt2_files(tmp_path)
    merges = tmp_path / "vocab.bpe"
    merges.write_bytes(merges.read_bytes().replace(b"\n", b"\r\n"))
    assert tokenizers.load(tmp_path).merges[0] == ("h", "e")


def test_hugging_face_files_of_other_makes(tmp_path):
    data = BPE.to_json()
    data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]  # as written before version 0.20
    del data["model"]["type"], data["model"]["ignore_merges"]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert tokenizers.load(path).encode(SAMPLE) == BPE.encode(SAMPLE)


def llama_json() -> dict:
    data = SentencePieceBPE(little_llama()).to_json()
    del data["model"]["minigpt"]
    return data


def test_converted_llama_files(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(llama_json()), encoding="utf-8")
    loaded, original = tokenizers.load(path), SentencePieceBPE(little_llama())
    for text in ("the cat heat", "  the é\nthe", ""):
        assert loaded.encode(text) == original.encode(text) and loaded.decode(loaded.encode(text)) == text


def changed(data: dict, *path, value=None, delete=False) -> dict:
    data = json.loads(json.dumps(data))
    part = data
    for key in path[:-1]:
        part = part[key]
    if delete:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return data


def unigram(vocab: list, **options) -> dict:
    return changed(B, "model", value={"type": "Unigram", "vocab": vocab, **options})


def split(pattern, behavior: str = "Removed") -> dict:
    return changed(
        B, "pre_tokenizer", value={"type": "Split", "pattern": pattern, "behavior": behavior, "invert": False}
    )


def metaspace(**options) -> dict:
    return changed(B, "pre_tokenizer", value={"type": "Metaspace", "replacement": "▁", **options})


def charsmap(text: str) -> dict:
    return changed(B, "normalizer", value={"type": "Precompiled", "precompiled_charsmap": text})


def nested(depth: int) -> dict:
    return {"type": "Sequence", "normalizers": [nested(depth - 1)]} if depth else {"type": "NFC"}


B = BPE.to_json()
P = PIECES.to_json()
DAMAGED = {
    "no model": (changed(B, "model", delete=True), "it has no model"),
    "no vocabulary": (changed(B, "model", "vocab", delete=True), "'vocab' is missing"),
    "empty vocabulary": (changed(B, "model", "vocab", value={}), "vocabulary should map every token to its id"),
    "ids as text": (changed(B, "model", "vocab", "a", value="1"), "vocabulary should map every token to its id"),
    "an id twice": (changed(B, "model", "vocab", "a", value=9), "two of its tokens have the same id"),
    "a merge unknown": (changed(B, "model", "merges", 0, value=["zz", "yy"]), "its merge 'zz yy' does not fit"),
    "a merge of three": (changed(B, "model", "merges", 0, value=["a", "b", "c"]), "its merge 'a b c' does not fit"),
    "no merges": (changed(B, "model", "merges", delete=True), "'merges' is missing"),
    "a list as model": (changed(B, "model", value=[]), "wrong form"),
    "no unigram": (changed(B, "model", value={"type": "Unigram", "vocab": []}), "should be a list of pieces"),
    "unigram, no score": (unigram([["a", None]]), "'a' has a score that is not a number"),
    "unigram, no piece": (unigram([[1, 0.0]]), "should be a list of pieces"),
    "unigram, unknown": (unigram([["a", 0.0]], unk_id=1), "its unk_id is larger than its vocabulary"),
    "a strange model": (changed(B, "model", "type", value="Markov"), "of the type Markov"),
    "a strange normalizer": (changed(B, "normalizer", value={"type": "X"}), "its normalizer is of the type X"),
    "a strange cut": (changed(B, "pre_tokenizer", value={"type": "UnicodeScripts"}), "of the type UnicodeScripts"),
    "a strange decoder": (changed(B, "decoder", value={"type": "CTC"}), "its decoder is of the type CTC"),
    "a behavior": (split({"Regex": "a"}, behavior="Chopped"), "its behavior is 'Chopped'"),
    "a regex": (split({"Regex": "(a"}), r"its regular expression '\(a' cannot be used"),
    "a deep regex": (split({"Regex": "(" * 9000 + ")" * 9000}), "its regular expression .* cannot be used"),
    "a long regex": (split({"Regex": "a|" * 100_000}), "has 200000 characters"),
    "a pattern of nothing": (split({"Glob": "a"}), "'String' is missing"),
    "no pattern": (split("a"), "wrong form"),
    "nested": (changed(B, "normalizer", value=nested(100)), "nested too deeply"),
    "scheme": (metaspace(prepend_scheme="second"), "its prepend_scheme is 'second'"),
    "two schemes": (metaspace(prepend_scheme="first", add_prefix_space=False), "says otherwise"),
    "replacement": (metaspace(replacement="__"), "its replacement is not one character"),
    "split": (metaspace(split="yes"), "its split is neither true nor false"),
    "no map": (charsmap("?"), "is not base64"),
    "a short map": (charsmap("AAAA"), "its map of characters is damaged"),
    "a long map": (charsmap("////fwAAAAA="), "its map of characters is damaged"),
    "an added number": (changed(B, "added_tokens", 0, "content", value=5), "a name that is not a text"),
    "a flag": (changed(B, "added_tokens", 0, "lstrip", value="no"), "a property that is neither true nor false"),
    "dropout": (changed(B, "model", "dropout", value=0.1), "uses dropout"),
    "no unknown": (changed(P, "model", "unk_token", value="[X]"), r"needs the token \[X\]"),
    "a rule": (changed(P, "model", "minigpt", value={"rule": "x"}), "unknown rule 'x'"),
    "a kind": ({"minigpt": "nothing"}, "'nothing' is missing or unknown"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_tokenizer_json(name, tmp_path):
    data, message = DAMAGED[name]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        tokenizers.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


RANKS = "".join(f"{base64.b64encode(bytes([b])).decode()} {b}\n" for b in range(256))
BAD_FILES = {
    "empty.json": (b"", "is empty"),
    "cut.json": (json.dumps(B)[:1000].encode(), "is not a tokenizer file, or damaged: it is not valid JSON"),
    "list.json": (b"[1]", "holds a JSON list"),
    "deep.json": (b"[" * 100_000, "is not a tokenizer file, or damaged: it is not valid JSON"),
    "latin.json": (b'{"minigpt": "\xe9"}', "is not a UTF-8 text: byte 13 cannot be decoded"),
    "a.bpe": (b"#version: 0.2\na b\nc\n", "line 3 should be two strings"),
    "b.bpe": (b"#version: 0.2\nab c\n", "merges 'ab' and 'c' before both of them exist"),
    "vocab.txt": (b"[UNK]\na\na\n", "a token is empty or occurs twice"),
    "other.txt": (b"some words\n", r"lacks the token \[UNK\]"),
    "a.tiktoken": (b"IQ== 0\n!! 1\n", "line 2 should be base64 and a rank"),
    "b.tiktoken": (b"IQ== 0\n", "it has 1 of the 256 single bytes"),
    "c.tiktoken": ((RANKS + "YWI= 3\n").encode(), "a rank occurs twice"),
    "a.model": (b"\xff\xff\xff\xff", "is damaged, or not a SentencePiece model"),
    "a.bin": (b"\x05\0\0\0abc", "is damaged, or not a tokenizer.bin"),
    "vocab.json": (b'{"a": 0}', "is one of two files, and the other, .*merges.txt, does not exist"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_damaged_files(name, tmp_path):
    content, message = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        tokenizers.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_do_not_belong_together(tmp_path):
    vocab = gpt2_files(tmp_path)
    del vocab["hell"]
    (tmp_path / "encoder.json").write_text(json.dumps(vocab), encoding="utf-8")
    with pytest.raises(UserError, match=r"vocab\.bpe does not fit .*encoder\.json: it needs the token 'hell'"):
        tokenizers.load(tmp_path)
    (tmp_path / "encoder.json").write_text('{"a": 0, "b": 0}', encoding="utf-8")
    with pytest.raises(UserError, match=r"encoder\.json is damaged: two tokens have the same id"):
        tokenizers.load(tmp_path)


def test_folders_without_a_tokenizer(tmp_path):
    with pytest.raises(UserError, match=f"no tokenizer file in the folder {tmp_path}"):
        tokenizers.load(tmp_path)


@pytest.mark.parametrize("tokenizer", [BPE, PIECES, GPT, SentencePieceBPE(little_llama())], ids=lambda t: t.kind)
def test_random_damage_never_shows_a_traceback(tokenizer, tmp_path):
    """Bytes changed at random: the file loads, or one sentence says why it does not."""
    whole = tokenizers.save(tokenizer, tmp_path / "t.json").read_bytes()
    rng, path, refused = random.Random(0), tmp_path / "d.json", 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = bytes(rng.choices(b'"{}[],:0 a\xff', k=rng.randrange(3)))
        path.write_bytes(data)
        try:
            tokenizers.load(path)
        except UserError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 50
