"""Ids, merges and offsets equal to those of tiktoken, Hugging Face's tokenizers 0.23 and sentencepiece."""

import io
import json
import random
import unicodedata

import pytest
import sentencepiece as spm
import tiktoken
import tokenizers as hf
from tiktoken_ext import openai_public

from minigpt import tokenizers as ours
from minigpt.tokenizers import BertWords, ByteBPE, GPTWords, WordPiece
from minigpt.tokenizers.byte_alphabet import BYTE_TO_CHAR
from minigpt.tokenizers.formats.readers import read_gpt1, read_vocab_bpe
from minigpt.tokenizers.formats.tiktoken_files import PUBLISHED, read_tiktoken, write_ranks
from minigpt.tokenizers.patterns import LLAMA3_PATTERN

from .texts import (
    CORPORA,
    PIECES,
    SAMPLE,
    corpus,
    differing,
    many_texts,
    random_joins,
    real_file,
    write_tokenizer_bin,
)

pytestmark = pytest.mark.parity

RECLASSIFIED = "\u1885\u1886\u1734\u166d"  # of another category since Unicode 3.2, where editions disagree
CODE_POINTS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


@pytest.fixture(scope="module")
def gpt2():
    """GPT-2's tokenizer, ours and tiktoken's, both from vocab.bpe."""
    tokenizer = read_vocab_bpe(real_file("tokenizers", "gpt2", "vocab.bpe"))
    return tokenizer, _tiktoken(tokenizer)


def _tiktoken(tokenizer: ByteBPE) -> tiktoken.Encoding:
    """tiktoken with the same pattern, tokens and special tokens."""
    special = tokenizer.special_tokens
    ranks = {data: i for i, data in tokenizer.bytes_of_tokens().items() if i not in special.values()}
    return tiktoken.Encoding("ours", pat_str=tokenizer.pattern, mergeable_ranks=ranks, special_tokens=special)


def test_letters_and_numbers_are_tiktokens():
    """Whether each code point joins a letter or a digit before it. Ids of bytes alone would hardly show it, so here the
    letter merges with whatever byte follows in the same word. Differences: only what this Python's Unicode (14 or
    later) has not assigned yet, where two editions of Unicode may disagree.
    """
    different: list[str] = []
    for before in "x1":
        merges = [(before, BYTE_TO_CHAR[b]) for b in range(128, 256)]
        vocab = {c: b for b, c in BYTE_TO_CHAR.items()} | {a + b: 256 + i for i, (a, b) in enumerate(merges)}
        tokenizer = ByteBPE(vocab, merges)
        pair = tokenizer, _tiktoken(tokenizer)
        different += differing([before + c for c in CODE_POINTS[128:]], lambda text, pair=pair: _same(pair, text), "\n")
    assert [text for text in different if unicodedata.category(text[1]) != "Cn"] == []


@pytest.mark.parametrize("name", CORPORA)
def test_gpt2_on_corpora(gpt2, name):
    text = corpus(name)
    ids = gpt2[0].encode(text)
    assert ids == gpt2[1].encode_ordinary(text) == gpt2[0].encode(text)  # cold and warm
    assert gpt2[0].decode(ids) == text


def test_gpt2_on_every_code_point(gpt2):
    """Alone and between letters, digits, marks and spaces: the character classes agree for all of Unicode."""
    texts = [f"a{c}b {c} 1{c}2  {c}!{c}\n{c}" for c in CODE_POINTS]
    assert [text for text in texts[:0x3100] if not _same(gpt2, text)] == []  # with all white space: at a text's end too
    assert differing(texts, lambda text: gpt2[0].encode(text) == gpt2[1].encode_ordinary(text), between=" | ") == []


def test_gpt2_on_every_block(gpt2):
    """Runs of 64 neighbouring code points, as the writing of a script would be."""
    runs = ["".join(CODE_POINTS[i : i + 64]) for i in range(0, len(CODE_POINTS), 64)]
    assert [run for run in runs if not _same(gpt2, run)] == []


def _same(pair, text: str) -> bool:
    """Equal ids, whether words are looked up in chunks of the text or one by one."""
    ids = pair[1].encode_ordinary(text)
    return pair[0].encode(text) == ids == pair[0].encode_bytes(text.encode())


def test_gpt2_on_20000_texts(gpt2):
    texts = many_texts()
    assert len(set(texts)) >= 20_000
    for text in texts:
        assert _same(gpt2, text) and gpt2[0].decode(gpt2[0].encode(text)) == text


def test_special_tokens_as_in_tiktoken(gpt2):
    text = "a<|endoftext|> b"
    assert gpt2[0].encode(text, allowed="all") == gpt2[1].encode(text, allowed_special="all")
    assert gpt2[0].encode(text) == gpt2[1].encode_ordinary(text)


def test_llama3_pattern_as_in_tiktoken():
    tokenizer = ours.train("bpe", iter([SAMPLE]), 380, pattern=LLAMA3_PATTERN)
    pair = tokenizer, _tiktoken(tokenizer)
    assert [text for text in many_texts() if not _same(pair, text)] == []


@pytest.mark.parametrize("name", ["r50k_base", "p50k_base", "cl100k_base", "o200k_base"])
def test_published_vocabularies_are_tiktokens(name, tmp_path, monkeypatch):
    """The checksum, special tokens and pattern of each, all as tiktoken has them; the ranks here are learned."""
    known = next(p for p in PUBLISHED.values() if p.name == name)
    learned = ours.train("bpe", [real_file("corpora", "botchan.txt")], 2000, pattern=known.pattern)
    asked = []
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda url, expected_hash: asked.append(expected_hash))
    described = getattr(openai_public, name)()
    assert PUBLISHED[asked[0]] is known and described["special_tokens"] == known.special_tokens
    assert known.ranks + 1 == described.get("explicit_n_vocab", known.ranks + 1)
    path = tmp_path / "t.tiktoken"
    path.write_text(write_ranks(_ranks(learned)), encoding="utf-8")
    tokenizer = read_tiktoken(path, known.pattern, known.special_tokens)
    special = known.special_tokens
    theirs = tiktoken.Encoding(
        name, pat_str=described["pat_str"], mergeable_ranks=_ranks(learned), special_tokens=special
    )

    for text in many_texts()[:2000] + random_joins([*PIECES, *special, "12345", "'RE", "aB", "/\n"], 2000):
        assert tokenizer.encode(text) == theirs.encode_ordinary(text)
        ids = theirs.encode(text, allowed_special="all")
        assert tokenizer.encode(text, allowed="all") == ids and tokenizer.decode(ids) == theirs.decode(ids)
    text = corpus("wikitext2_valid")[:300_000]
    assert tokenizer.encode(text) == theirs.encode_ordinary(text)


def _ranks(tokenizer) -> dict[bytes, int]:
    return {data: i for i, data in tokenizer.bytes_of_tokens().items()}


def hf_bpe(files, size: int, special=(), pattern: str | None = None, **options):
    tokenizer = hf.Tokenizer(hf.models.BPE())
    byte_level = hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None, trim_offsets=False)
    tokenizer.pre_tokenizer = byte_level
    if pattern:
        cut = hf.pre_tokenizers.Split(hf.Regex(pattern), "isolated")
        tokenizer.pre_tokenizer = hf.pre_tokenizers.Sequence([cut, byte_level])
    trainer = hf.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=hf.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        **options,
    )
    tokenizer.train([str(f) for f in files], trainer)
    return tokenizer


def assert_same_training(tokenizer, theirs) -> None:
    model = json.loads(theirs.to_str())["model"]
    assert [list(m) for m in tokenizer.merges] == model["merges"]
    assert tokenizer.vocab == model["vocab"]


@pytest.mark.parametrize("name", ["tinyshakespeare", "tinystories", "botchan"])
def test_merges_learned_from_corpora(name):
    path = real_file("corpora", f"{name}.txt")
    assert_same_training(ours.train("bpe", [path], 256 + 8000), hf_bpe([path], 256 + 8000))


def test_merges_learned_with_other_settings():
    files = [real_file("corpora", f"{name}.txt") for name in ("botchan", "names")]
    special = ["<|endoftext|>", "e", "the"]
    tokenizer = ours.train("bpe", files, 3000, special_tokens=special, min_frequency=7, pattern=LLAMA3_PATTERN)
    theirs = hf_bpe(files, 3000, special, LLAMA3_PATTERN, min_frequency=7)
    assert_same_training(tokenizer, theirs)


def test_merges_that_spell_special_tokens(tmp_path):
    """Small random texts trained to exhaustion: a merge whose string is a special token takes that token's id."""
    rng, reused = random.Random(1), 0
    path, special = tmp_path / "t.txt", ["ab", "ba", "aab", "bb", "abba"]
    for _ in range(100):
        words = ("".join(rng.choices("ab", k=rng.randrange(2, 12))) for _ in range(rng.randrange(2, 30)))
        path.write_text(" ".join(words), encoding="utf-8")
        tokenizer = ours.train("bpe", [path], 900, special_tokens=special)
        assert_same_training(tokenizer, hf_bpe([path], 900, special))
        reused += any(a + b in special for a, b in tokenizer.merges)
    assert reused > 50


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One tokenizer of each kind, ours, and what Hugging Face opens of it."""
    text = [real_file("corpora", "botchan.txt")]
    model = io.BytesIO()
    train_spm(model, byte_fallback=True, remove_extra_whitespaces=False)
    folder = tmp_path_factory.mktemp("made")
    (folder / "m.model").write_bytes(model.getvalue())
    kinds = {
        "bpe": ours.train("bpe", text, 2000, special_tokens=["<|end|>"]),
        "bpe llama3": ours.train("bpe", text, 2000, pattern=LLAMA3_PATTERN),
        "bpe words": ours.train("bpe", text, 2000, pattern=r"\w+"),
        "wordpiece": ours.train("wordpiece", text, 2000),
        "wordpiece cased": ours.train("wordpiece", text, 2000, lower=False),
        "gpt": ours.train("gpt", text, 2000),
        "gpt hf": ours.train("gpt", text, 2000, words=GPTWords("hf")),
        "sentencepiece": ours.load(folder / "m.model"),
    }
    paths = {kind: ours.save(t, folder / f"{kind}.json") for kind, t in kinds.items()}
    return {kind: (t, hf.Tokenizer.from_file(str(paths[kind]))) for kind, t in kinds.items()}


KINDS = ["bpe", "bpe llama3", "bpe words", "wordpiece", "wordpiece cased", "gpt", "gpt hf", "sentencepiece"]


@pytest.mark.parametrize("kind", KINDS)
def test_hugging_face_opens_our_files(made, kind):
    tokenizer, theirs = made[kind]
    assert theirs.get_vocab_size() == tokenizer.vocab_size
    for name in ("tinystories", "wikitext2_valid", "botchan", "bert_sample_text"):
        text = corpus(name).replace("<unk>", "unk")  # which would be a special token there
        assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_white_space_is_the_same_there(made):
    """U+001C to U+001F, which Python counts as white space and Rust does not."""
    for kind in ("gpt", "gpt hf", "bpe", "wordpiece"):
        tokenizer, theirs = made[kind]
        for c in map(chr, [*range(1, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x2010), 0x2028, 0x2029, 0x3000]):
            text = f"a{c}b {c} the{c}\n{c}cat {c}{c}"
            assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False).ids, (kind, c)


@pytest.mark.parametrize("rule", [{"clean": False}, {"clean": False, "split_cjk": False}, {"strip_accents": True}])
def test_words_of_uncleaned_texts(rule):
    """Which characters end words is what Rust calls white space and punctuation."""
    words = BertWords(lower=False, **rule)
    theirs = hf.normalizers.BertNormalizer(
        clean_text=words.clean, handle_chinese_chars=words.split_cjk, strip_accents=words.strip_accents, lowercase=False
    )
    cut = hf.pre_tokenizers.BertPreTokenizer()

    def same(text: str) -> bool:
        return words.words(text) == [word for word, _ in cut.pre_tokenize_str(theirs.normalize_str(text))]

    different = [text[1] for text in differing([f"a{c}b" for c in CODE_POINTS], same)]
    assert all(unicodedata.ucd_3_2_0.category(c) == "Cn" or c in RECLASSIFIED for c in different)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "wordpiece cased", "gpt hf"])
def test_offsets_are_hugging_faces(made, kind):
    tokenizer, theirs = made[kind]
    for text in (corpus("wikitext2_valid")[:200_000], SAMPLE, "Ünï é e\u0301 日本  🙂 a\u200bb İx\n\n \t."):
        ids, offsets = tokenizer.encode_with_offsets(text)
        encoding = theirs.encode(text, add_special_tokens=False)
        assert ids == encoding.ids and offsets == encoding.offsets


def test_we_open_hugging_faces_files(tmp_path):
    for pattern in (None, LLAMA3_PATTERN, r"\d|[^\d]+"):
        theirs = hf_bpe([real_file("corpora", "botchan.txt")], 1000, ["<s>"], pattern)
        theirs.save(str(tmp_path / "tokenizer.json"))
        text = corpus("tinystories")
        assert ours.load(tmp_path).encode(text) == theirs.encode(text).ids


def bert(lower: bool):
    path = real_file("tokenizers", "bert", "bert_base_uncased_vocab.txt")
    loaded = ours.load(path)
    return WordPiece(loaded.vocab, words=BertWords(lower=lower)), hf.BertWordPieceTokenizer(str(path), lowercase=lower)


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.parametrize("lower", [True, False])
def test_wordpiece_on_corpora(name, lower):
    tokenizer, theirs = bert(lower)
    text = corpus(name)
    encoding = theirs.encode(text, add_special_tokens=False)
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert tokenizer.encode(text) == ids == encoding.ids and offsets == encoding.offsets


@pytest.mark.parametrize("lower", [True, False])
def test_wordpiece_on_every_code_point_alone(lower):
    """All differences come from the versions of Unicode: tokenizers 0.23 knows categories as of an older one."""
    tokenizer, theirs = bert(lower)

    def same(text: str) -> bool:
        return tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False).ids

    different = differing(CODE_POINTS, same)
    print(f"\nlower={lower}: {len(different)} code points differ: {_ranges(different)}")
    assert len(different) <= 600
    # Each is a mark or format character that is newer than Unicode 3.2, or (two) that was a letter until Unicode 9
    # and (one) whose kind of mark changed in Unicode 14.
    assert {unicodedata.category(c) for c in different} <= {"Mn", "Cf", "Mc"}
    known_then = {c for c in different if unicodedata.ucd_3_2_0.category(c) != "Cn"}
    assert known_then <= {"\u1885", "\u1886", "\u1734"}


def _ranges(characters: list[str]) -> str:
    ranges: list[list[int]] = []
    for code in map(ord, characters):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return " ".join(f"{a:04X}" if a == b else f"{a:04X}-{b:04X}" for a, b in ranges)


@pytest.mark.parametrize("lower", [True, False])
def test_wordpiece_on_random_texts(lower):
    tokenizer, theirs = bert(lower)
    known = unicodedata.ucd_3_2_0.category
    for text in many_texts()[:6000]:
        text = "".join(c for c in text if known(c) != "Cn" and c not in RECLASSIFIED)
        encoding = theirs.encode(text, add_special_tokens=False)
        assert tokenizer.encode_with_offsets(text) == (encoding.ids, encoding.offsets)


def test_wordpiece_decodes_as_hugging_face():
    tokenizer, theirs = bert(True)
    theirs.decoder = hf.decoders.WordPiece(cleanup=False)
    ids = tokenizer.encode(corpus("bert_sample_text"))
    assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


def test_gpt_as_hugging_face_has_it():
    names = ("encoder_bpe_40000.json", "vocab_40000.bpe")
    vocab, merges = (real_file("tokenizers", "gpt1", name) for name in names)
    tokenizer = read_gpt1(vocab, merges, rule="hf")
    model = hf.models.BPE(tokenizer.vocab, tokenizer.merges, end_of_word_suffix="</w>", unk_token="<unk>")
    theirs = hf.Tokenizer(model)
    theirs.normalizer = hf.normalizers.BertNormalizer(lowercase=True)
    theirs.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    for name in CORPORA:
        text = corpus(name)
        assert tokenizer.encode(text) == theirs.encode(text).ids


def train_spm(writer, **options) -> None:
    spm.SentencePieceTrainer.train(
        input=[str(real_file("corpora", f"{name}.txt")) for name in ("botchan", "tinystories")],
        model_writer=writer,
        model_type="bpe",
        vocab_size=2000,
        normalization_rule_name="identity",
        character_coverage=0.999,
        minloglevel=2,
        **options,
    )


SPM = {
    "llama": {"byte_fallback": True, "remove_extra_whitespaces": False, "split_digits": True},
    "defaults": {},
    "no prefix, symbols": {"byte_fallback": True, "add_dummy_prefix": False, "user_defined_symbols": ["<foo>", "<f"]},
    "across words": {"byte_fallback": True, "remove_extra_whitespaces": False, "split_by_whitespace": False},
}


@pytest.mark.parametrize("name", SPM)
def test_sentencepiece(name, tmp_path):
    model = io.BytesIO()
    train_spm(model, **SPM[name])
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model.getvalue())
    tokenizer, theirs = ours.load(path), spm.SentencePieceProcessor(model_proto=model.getvalue())
    for text in map(corpus, CORPORA if name == "llama" else ("botchan", "bert_sample_text")):
        ids = tokenizer.encode(text)
        assert ids == theirs.encode(text) == tokenizer.encode_with_offsets(text)[0]
        assert tokenizer.decode(ids) == theirs.decode(ids)
        if name in ("llama", "across words"):
            assert tokenizer.decode(ids) == text
    if name == "llama":
        (tmp_path / "tokenizer.bin").write_bytes(write_tokenizer_bin(tokenizer.vocabulary))
        text = corpus("wikitext2_valid")
        assert ours.load(tmp_path / "tokenizer.bin").encode(text) == tokenizer.encode(text)

    for text in many_texts()[:2000] + random_joins([*PIECES, "<foo>", "<f"], 1000):
        ids = tokenizer.encode(text)
        assert ids == theirs.encode(text) and tokenizer.decode(ids) == theirs.decode(ids)
    rng = random.Random(0)
    for _ in range(1000):
        ids = [rng.randrange(rng.choice([301, tokenizer.vocab_size])) for _ in range(rng.randrange(20))]
        assert tokenizer.decode(ids) == theirs.decode(ids)
