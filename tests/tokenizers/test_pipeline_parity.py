"""Pipelines give the ids, offsets and texts of Hugging Face's tokenizers 0.23, step by step and together."""

import functools
import json

import pytest
import tokenizers as hf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from minigpt.tokenizers.formats.hf_read import from_hf

from .texts import SAMPLE

pytestmark = pytest.mark.parity

PHASES = [Phase.generate]
PLAIN = settings(deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck), database=None)

# What tokenizers trip over: blanks at the ends and in rows, ▁ itself, rare white space, marks, added tokens inside.
BLANKS = [
    " ",
    "  ",
    "   ",
    "▁",
    "▁▁",
    " ▁",
    "\t",
    "\n",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1f",
    "\x85",
    "\xa0",
    "\u2028",
]
BLANKS += ["\u3000", "\u200b", "\ufeff", "\0"]
LETTERS = [
    "a",
    "the",
    " the",
    "he",
    "cat",
    "The",
    "don't",
    "I'LL",
    "12",
    "3",
    "½",
    "²",
    "٣",
    "é",
    "e\u0301",
    "e\u0323\u0301",
]
LETTERS += [
    "ậ",
    "ﬁ",
    "Ⅷ",
    "㌀",
    "가",
    "각",
    "日本",
    "🙂",
    "👩\u200d👧",
    "İ",
    "Σ",
    "ß",
    "…",
    "!",
    "?!",
    "_",
    "##",
    "＝",
    "\u0301",
]
TOKENS = ["<s>", "</s>", "<sep>", "<mask>", "<low>", "<End>", "<end>", "Word", "word", "<unk>", "<0x41>"]
TEXTS = st.lists(st.sampled_from([*BLANKS, *LETTERS, *TOKENS])).map("".join)
ANY = st.one_of(TEXTS, TEXTS, st.text(st.characters(exclude_categories=["Cs", "Cn"])))
WORDS = SAMPLE + " the cat 12 ½ é ▁ don't I'LL 日本 ﬁ " * 3


def added(content: str, i: int, **flags) -> dict:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": i, "content": content, **plain, **flags}


ADDED = [
    ("<s>", {}),
    ("</s>", {"rstrip": True}),
    ("<sep>", {"special": False}),
    ("<mask>", {"lstrip": True}),
    ("<low>", {"special": False, "normalized": True}),
    ("<End>", {"normalized": True}),
    ("word", {"special": False, "single_word": True, "lstrip": True, "rstrip": True}),
]


@functools.cache
def trained(kind: str) -> str:
    """A small model's part of tokenizer.json."""
    if kind == "unigram":
        tokenizer = hf.Tokenizer(hf.models.Unigram())
        trainer = hf.trainers.UnigramTrainer(
            vocab_size=150, show_progress=False, special_tokens=["<unk>"], unk_token="<unk>"
        )
        tokenizer.pre_tokenizer = hf.pre_tokenizers.Metaspace()
    elif kind == "bytes":
        tokenizer = hf.Tokenizer(hf.models.BPE())
        alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
        trainer = hf.trainers.BpeTrainer(vocab_size=330, show_progress=False, initial_alphabet=alphabet)
        tokenizer.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    elif kind == "wordpiece":
        tokenizer = hf.Tokenizer(hf.models.WordPiece(unk_token="<unk>"))
        trainer = hf.trainers.WordPieceTrainer(vocab_size=150, show_progress=False, special_tokens=["<unk>"])
        tokenizer.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    else:
        tokenizer = hf.Tokenizer(hf.models.BPE(unk_token="<unk>"))
        trainer = hf.trainers.BpeTrainer(vocab_size=150, show_progress=False, special_tokens=["<unk>"])
        tokenizer.pre_tokenizer = hf.pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator([WORDS], trainer)
    return json.dumps(json.loads(tokenizer.to_str())["model"])


def document(kind: str, *, with_added: bool = True, **parts) -> dict:
    """A tokenizer.json around a small model; `model` changes options of it."""
    model = json.loads(trained(kind)) | parts.pop("model", {})
    if isinstance(model["vocab"], dict) and model.get("byte_fallback"):
        for b in range(256):
            model["vocab"].setdefault(f"<0x{b:02X}>", len(model["vocab"]))
    if isinstance(model["vocab"], list) and model.get("byte_fallback"):
        model["vocab"] += [[f"<0x{b:02X}>", -20.0] for b in range(256)]
    size = len(model["vocab"])
    tokens = [added(name, size + n, **flags) for n, (name, flags) in enumerate(ADDED)] if with_added else []
    data = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens}
    data |= {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model}
    return data | parts


def check(data: dict, texts=ANY, examples: int = 150) -> None:
    """Ids, offsets, and what is decoded, of texts and of any ids; the file written back gives the same."""
    theirs, tokenizer = hf.Tokenizer.from_str(json.dumps(data)), from_hf(json.loads(json.dumps(data)))
    again = from_hf(json.loads(json.dumps(tokenizer.to_json())))
    skips = tokenizer.kind == "sentencepiece"  # whose special tokens are left out of what is decoded

    @settings(PLAIN, max_examples=examples)
    @given(texts)
    def encoding(text):
        theirs.encode_special_tokens = False
        wanted = theirs.encode(text, add_special_tokens=False)
        assert tokenizer.encode_with_offsets(text, allowed="all") == (wanted.ids, wanted.offsets)
        assert tokenizer.encode(text, allowed="all") == wanted.ids == again.encode(text, allowed="all")
        assert tokenizer.decode(wanted.ids) == theirs.decode(wanted.ids, skip_special_tokens=skips)
        theirs.encode_special_tokens = True
        wanted = theirs.encode(text, add_special_tokens=False)
        assert tokenizer.encode_with_offsets(text) == (wanted.ids, wanted.offsets)
        assert tokenizer.encode(text) == wanted.ids == again.encode(text)

    @settings(PLAIN, max_examples=examples // 2)
    @given(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=12))
    def decoding(ids):
        assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=skips)

    encoding()
    decoding()


def metaspace(scheme: str = "always", split: bool = True) -> dict:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def sequence(plural: str, *parts: dict) -> dict:
    return {"type": "Sequence", plural: list(parts)}


def replace(pattern: dict, content: str) -> dict:
    return {"type": "Replace", "pattern": pattern, "content": content}


LEGACY = sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, replace({"String": " "}, "▁"))
STRIPS = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
FALLBACK = sequence("decoders", replace({"String": "▁"}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}, STRIPS)
BYTES = {"byte_fallback": True, "fuse_unk": True}


@pytest.mark.parametrize("model", ["bpe", "unigram"])
@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("scheme", ["first", "always", "never"])
def test_metaspace(scheme, split, model):
    options = {"byte_fallback": True} if model == "unigram" else BYTES
    check(document(model, pre_tokenizer=metaspace(scheme, split), decoder=metaspace(scheme, split), model=options))


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_the_legacy_prefix(model):
    options = {"byte_fallback": True} if model == "unigram" else BYTES
    check(document(model, normalizer=LEGACY, decoder=FALLBACK, model=options))


def test_metaspace_after_other_cuts():
    digits = {"type": "Digits", "individual_digits": True}
    check(
        document("bpe", pre_tokenizer=sequence("pretokenizers", digits, metaspace("first")), decoder=metaspace("first"))
    )
    check(document("bpe", normalizer=LEGACY, pre_tokenizer=metaspace("first")))


OPTIONS = [
    {"unk_token": None},
    {"fuse_unk": True},
    {"fuse_unk": False},
    {"byte_fallback": True, "ignore_merges": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_of_bpe(options):
    check(document("bpe", pre_tokenizer=metaspace(), decoder=metaspace(), model=options))
    check(document("bpe", with_added=False, model=options))


def rename(data: dict, token: str, name: str) -> None:
    vocab = data["model"]["vocab"]
    vocab[name] = vocab.pop(token)


def test_bytes_that_the_vocabulary_lacks():
    data = document("bpe", normalizer=LEGACY, decoder=FALLBACK, model=BYTES)
    for code in (0xCC, 0x0A, 0xF0):
        rename(data, f"<0x{code:02X}>", f"lost {code}")
    check(data)
    for unknown in (None, "!"):
        data = document("bytes", pre_tokenizer=BYTE_LEVEL, decoder=BYTE_LEVEL, model={"unk_token": unknown})
        lacking = set("ÌÃ") | {"Ġ"}
        data["model"]["merges"] = [m for m in data["model"]["merges"] if not lacking & set("".join(m))]
        for token in [s for s in data["model"]["vocab"] if lacking & set(s)]:
            rename(data, token, f"lost {token}")
        check(data)


def test_words_with_prefix_and_suffix():
    vocab = {
        s: i
        for i, s in enumerate(
            ["<unk>", "a", "t", "##a", "##t", "##t</w>", "a</w>", "a##a", "aa", "##tt</w>", "##a</w>"]
        )
    }
    model = {"vocab": vocab, "merges": [["a", "##a"], ["##t", "##t</w>"]]}
    model |= {"continuing_subword_prefix": "##", "end_of_word_suffix": "</w>"}
    texts = st.text("at é")
    check(document("bpe", with_added=False, model=model, pre_tokenizer={"type": "Whitespace"}), texts)
    decoder = {"type": "BPEDecoder", "suffix": "</w>"}
    check(document("bpe", with_added=False, model=model | {"fuse_unk": True}, decoder=decoder), texts)


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
NO_REGEX = BYTE_LEVEL | {"use_regex": False}
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split(pattern: dict | str, behavior: str = "Isolated", invert: bool = False) -> dict:
    pattern = {"Regex": pattern} if isinstance(pattern, str) else pattern
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


BYTE_CUTS = {
    "SmolLM2": (None, sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, BYTE_LEVEL)),
    "Qwen": ({"type": "NFC"}, sequence("pretokenizers", split(QWEN), NO_REGEX)),
    "digits together": (None, sequence("pretokenizers", {"type": "Digits", "individual_digits": False}, BYTE_LEVEL)),
    "prefix": (None, BYTE_LEVEL | {"add_prefix_space": True}),
    "prefix of each": (
        None,
        sequence("pretokenizers", {"type": "Punctuation"}, NO_REGEX | {"add_prefix_space": True}),
    ),
    "prefix, one word": (None, NO_REGEX | {"add_prefix_space": True}),
    "brackets in brackets": (None, sequence("pretokenizers", split(r" ?[^(\s|[.,!?…])]+"), NO_REGEX)),
    "lines": (None, sequence("pretokenizers", split(r"^\s*|$", "MergedWithNext"), NO_REGEX)),
    "bytes first": (None, sequence("pretokenizers", NO_REGEX, split("Ġ", "MergedWithPrevious"))),
    "lower": ({"type": "Lowercase"}, BYTE_LEVEL),
}


@pytest.mark.parametrize("name", BYTE_CUTS)
@pytest.mark.parametrize("ignore", [False, True])
def test_byte_level(name, ignore):
    normalizer, cut = BYTE_CUTS[name]
    parts = {"normalizer": normalizer, "pre_tokenizer": cut, "decoder": BYTE_LEVEL, "model": {"ignore_merges": ignore}}
    check(document("bytes", **parts))


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("kind", ["ByteLevel", "RobertaProcessing"])
def test_trimmed_offsets(kind, prefix):
    trims = {"type": kind, "add_prefix_space": prefix, "trim_offsets": True}
    trims |= {"use_regex": True} if kind == "ByteLevel" else {"sep": ["</s>", 331], "cls": ["<s>", 330]}
    for add in (False, True):
        cut = BYTE_LEVEL | {"add_prefix_space": add}
        check(document("bytes", pre_tokenizer=cut, decoder=BYTE_LEVEL, post_processor=trims))


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("behavior", ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"])
def test_splits(behavior, invert):
    for pattern in (r"\s+", r"\d", {"String": " "}, {"String": "▁"}, r"x*", r"(?=t)", {"String": ""}):
        check(document("bpe", pre_tokenizer=split(pattern, behavior, invert)), TEXTS, 60)


CUTS = [{"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}]
CUTS += [{"type": "Punctuation", "behavior": "MergedWithPrevious"}, {"type": "CharDelimiterSplit", "delimiter": "e"}]
CUTS += [{"type": "BertPreTokenizer"}, {"type": "Digits", "individual_digits": False}]
CUTS += [{"type": "FixedLength", "length": 3}]
CUTS += [sequence("pretokenizers", sequence("pretokenizers", {"type": "WhitespaceSplit"}), {"type": "Punctuation"})]


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_other_cuts(cut):
    check(document("bpe", pre_tokenizer=cut), TEXTS)
    check(
        document("wordpiece", pre_tokenizer=cut, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True}), TEXTS
    )


NORMALIZERS = [
    {"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")
]
NORMALIZERS += [
    {"type": "Strip", "strip_left": a, "strip_right": b} for a, b in ((True, True), (True, False), (False, True))
]
NORMALIZERS += [replace({"String": "e"}, "xyz"), replace({"Regex": r"\s+"}, " "), replace({"Regex": "^a|b*"}, "é")]
NORMALIZERS += [replace({"String": ""}, "-"), replace({"String": "the"}, ""), {"type": "Prepend", "prepend": "ab"}]
NORMALIZERS += [
    sequence("normalizers", {"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}, {"type": "NFC"})
]
NORMALIZERS += [
    sequence(
        "normalizers",
        {"type": "NFKC"},
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Strip", "strip_left": True, "strip_right": True},
    )
]
BERT = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
NORMALIZERS += [BERT, BERT | {"strip_accents": True, "lowercase": False}]


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=str)
def test_normalizers(normalizer):
    check(document("bpe", normalizer=normalizer, pre_tokenizer=metaspace(), decoder=FALLBACK, model=BYTES), TEXTS)
    check(document("unigram", normalizer=normalizer, with_added=False, model={"byte_fallback": True}), TEXTS)


DECODERS = [
    None,
    {"type": "Fuse"},
    {"type": "ByteFallback"},
    {"type": "Strip", "content": "▁", "start": 2, "stop": 0},
    {"type": "Strip", "content": "e", "start": 0, "stop": 1},
    {"type": "BPEDecoder", "suffix": "e"},
    {"type": "WordPiece", "prefix": "▁", "cleanup": True},
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    replace({"Regex": "[a-e]+"}, "<>"),
    metaspace("never"),
    sequence("decoders", metaspace("first"), {"type": "ByteFallback"}),
]


@pytest.mark.parametrize("decoder", DECODERS, ids=str)
def test_decoders(decoder):
    check(document("bpe", pre_tokenizer=metaspace(), decoder=decoder, model={"byte_fallback": True}), TEXTS, 60)


def test_unigram_without_an_unknown_token_or_with_bytes_missing():
    data = document("unigram", pre_tokenizer=metaspace(), decoder=metaspace(), model={"byte_fallback": True})
    data["model"]["vocab"] = [entry for entry in data["model"]["vocab"] if entry[0] not in ("<0xCC>", "<0x0A>")]
    data["added_tokens"] = []
    check(data)


def test_word_level():
    model = {"type": "WordLevel", "vocab": {"<unk>": 0, "the": 1, "cat": 2, "é": 3}, "unk_token": "<unk>"}
    data = document("bpe", pre_tokenizer={"type": "Whitespace"}, with_added=False)
    data["model"] = model
    check(data, TEXTS)
