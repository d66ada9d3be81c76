"""Nothing is quadratic: twice the text is at most two and a half times the work, for texts that invite more.

The core test counts calls, Python's and C's, and so sees loops and heaps. What happens inside one call, such as a
regular expression that looks at a run of spaces again from each of them, only time shows: that is the slow test.
"""

import gc
import random
import sys
import time

import pytest

from minigpt import tokenizers
from minigpt.tokenizers import ByteBPE
from minigpt.tokenizers.learn_merges import learn_merges
from minigpt.tokenizers.word_numbers import Remembered

from .test_streaming import KINDS as STREAMED

BPE = STREAMED["bpe gpt2"]
MASK = {"<mask>": BPE.vocab_size, "</s>": BPE.vocab_size + 1}
KINDS = {name: tokenizer for name, tokenizer in STREAMED.items() if name != "bpe, a pattern"}  # quadratic by itself
KINDS |= {"bpe mask": ByteBPE(BPE.vocab, BPE.merges, special_tokens=MASK, absorb_left=["<mask>"])}
CORE = ["byte", "bpe o200k", "bpe mask", "wordpiece", "wordpiece cased", "gpt", "gpt hf", "llama, own pieces"]
CORE += ["llama, across words"]
TEXTS = {
    "blanks": lambda n: " " * n,
    "line breaks": lambda n: "\n" * n,
    "one letter": lambda n: "a" * n,
    "one ideograph": lambda n: "日" * n,
    "random letters": lambda n: "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=n)),
    "one mark": lambda n: "\u0301" * n,
    "unknown": lambda n: "ꀀ" * n,
}
WORK = {
    "encode": lambda tokenizer, text, ids: tokenizer.encode(text),
    "special": lambda tokenizer, text, ids: tokenizer.encode(text, allowed="all"),
    "offsets": lambda tokenizer, text, ids: tokenizer.encode_with_offsets(text),
    "decode": lambda tokenizer, text, ids: tokenizer.decode(ids),
    "count": lambda tokenizer, text, ids: tokenizer.byte_count(ids),
}


def calls(work, *arguments) -> int:
    """How many functions are called."""
    count = 0

    def on_event(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(on_event)
    try:
        work(*arguments)
    finally:
        sys.setprofile(None)
    return count


def forget(tokenizer) -> None:
    for name in ("_cache", "_cuts", "_words", "_chunks"):
        cache = getattr(tokenizer, name, None)
        if isinstance(cache, dict | Remembered):
            cache.clear()


def measured(measure, tokenizer, n: int) -> dict[tuple[str, str], float]:
    found = {}
    for name, make in TEXTS.items():
        text = make(n)
        ids = tokenizer.encode(text)
        for what, work in WORK.items():
            forget(tokenizer)
            found[name, what] = measure(work, tokenizer, text, ids)
    return found


@pytest.mark.parametrize("kind", CORE)
def test_calls_grow_like_the_text(kind):
    measured(calls, KINDS[kind], 10)  # what is looked up once, at the first call
    once, twice = (measured(calls, KINDS[kind], n) for n in (120, 240))
    assert {key: (once[key], twice[key]) for key in once if twice[key] > 2.5 * once[key] + 100} == {}


def cpu_time(work, *arguments) -> float:
    gc.collect()
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


@pytest.mark.exhaustive  # by a clock; the calls are counted above
@pytest.mark.parametrize("kind", KINDS)
def test_time_grows_like_the_text(kind):
    tries = 5
    for _ in range(tries):  # a shared machine can be slow in between, and never fast
        once, twice = (measured(cpu_time, KINDS[kind], n) for n in (40_000, 80_000))
        bad = {key: (once[key], twice[key]) for key in once if twice[key] > max(2.5 * once[key], 0.02)}
        if not bad:
            return
    raise AssertionError(bad)


def test_merges_of_a_long_run_and_a_long_word():
    """Of Hugging Face's tokenizers 0.23, BpeTrainer on these words with ids by letter."""
    run = learn_merges({"\0" * 300: 1}, ["a"], 12)
    assert [len(token) for token in run.tokens] == [1, 2, 4, 8, 16, 32, 64, 128, 12, 44, 256, 300]
    assert [(len(run.tokens[a]), len(run.tokens[b])) for a, b in run.merges[-4:]] == [
        *((8, 4), (32, 12), (128, 128), (256, 44)),
    ]
    word = "".join(chr("ab".index(c)) for c in "abaab" * 41 + "aab" * 30)
    strings = learn_merges({word: 1}, ["a", "b"], 10).tokens
    assert strings[2:] == ["ab", "aab", "abaab", "abaab" * 2, "aab" * 2, "abaab" * 4, "aab" * 4, "abaab" * 8]


@pytest.mark.exhaustive  # by a clock
@pytest.mark.parametrize("text", ["one letter", "random letters"])
def test_training_on_one_long_word_grows_like_the_word(text):
    for _ in range(5):
        once, twice = (
            cpu_time(lambda word: tokenizers.train("bpe", iter([word]), 556), TEXTS[text](n)) for n in (80_000, 160_000)
        )
        if twice <= 2.5 * once:
            return
    raise AssertionError((once, twice))
