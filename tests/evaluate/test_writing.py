"""Texts continued in batches: what each prompt would get alone, until it says that it is complete."""

import itertools

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.evaluate import writing
from minigpt.evaluate.writing import write
from minigpt.generate.sampling import generate
from minigpt.interop.loaded import Loaded
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig
from minigpt.train.config import build_config

TEXT = "the cat sat on the mat. the dog sat on the cat. a cat ate the bat.\n"
PROMPTS = ["the cat", "a", "the dog sat on the mat. the cat", "", "bat.", "a cat sat on "]


def random_model(family="gpt", end_of_text=False, context=40):
    tokenizer = tokenizers.train("bpe", [TEXT * 20], 290, special_tokens=["<|endoftext|>"] if end_of_text else [])
    shape = {"vocab_size": tokenizer.vocab_size, "context": context, "layers": 2, "heads": 2, "width": 16}
    model = GPT(GPTConfig(init_std=0.4, **shape)) if family == "gpt" else Llama(LlamaConfig(init_std=0.4, **shape))
    config = build_config({"family": family, "objective": {"end_of_text": end_of_text}})
    return Loaded(model, model.init(seed=1, dtype="float64"), tokenizer, config)


@pytest.mark.parametrize("family", ["gpt", "llama"])
def test_greedy_is_what_generate_writes_one_by_one(family):
    loaded = random_model(family)
    texts = write(loaded, PROMPTS, 12)
    for prompt, text in zip(PROMPTS, texts, strict=True):
        ids = loaded.tokenizer.encode(prompt.rstrip(" ")) or [0]
        alone = generate(loaded.model, loaded.params, ids, 12, temperature=0)
        assert text == loaded.tokenizer.decode(alone)
    assert len(set(texts)) > 3


def test_each_prompt_draws_for_itself(monkeypatch):
    loaded = random_model()
    together = write(loaded, PROMPTS, 12, top_k=2, seed=5)
    monkeypatch.setattr(writing, "_ROWS", 2)
    assert write(loaded, PROMPTS, 12, top_k=2, seed=5) == together
    assert write(loaded, PROMPTS, 12, top_k=2, seed=6) != together
    assert write(loaded, PROMPTS, 12) != together


def test_a_complete_text_leaves_the_batch(monkeypatch):
    loaded, read = random_model(), []
    free = write(loaded, PROMPTS, 12)
    step = GPT.step

    def counted(self, params, ids, state):
        read.append(len(ids))
        return step(self, params, ids, state)

    monkeypatch.setattr(GPT, "step", counted)
    texts = write(loaded, PROMPTS, 12, lambda text: len(text) >= 2 + ord(text[0]) % 9)
    for text, whole in zip(texts, free, strict=True):
        assert whole.startswith(text) and (text == whole or len(text) >= 2 + ord(text[0]) % 9)
    assert read == sorted(read, reverse=True) and read[0] == len(PROMPTS) > read[-1]


def test_an_end_of_text_token_ends_a_text():
    loaded = random_model(end_of_text=True)
    end = loaded.tokenizer.special_tokens["<|endoftext|>"]
    loaded.params["tokens"][end] *= 1.6  # now and then the most probable one
    texts = write(loaded, PROMPTS, 20)
    assert not any("<|endoftext|>" in text for text in texts)
    lengths = {len(loaded.tokenizer.encode(text)) for text in texts}
    assert len(lengths) > 1
    for prompt, text in zip(PROMPTS, texts, strict=True):
        ids = [end, *loaded.tokenizer.encode(prompt.rstrip(" "))]
        alone = generate(loaded.model, loaded.params, ids, 20, temperature=0)
        assert text == loaded.tokenizer.decode(itertools.takewhile(lambda i: i != end, alone))


def test_a_long_prompt_is_cut_on_the_left():
    loaded = random_model(context=24)
    prompt = " the cat sat on the mat. the dog sat on the cat" * 4
    ids = loaded.tokenizer.encode(prompt)
    assert len(ids) > 24
    alone = generate(loaded.model, loaded.params, ids[-14:], 10, temperature=0)
    (text,) = write(loaded, [prompt], 10)
    assert text == loaded.tokenizer.decode(alone)
    (half,) = write(loaded, [prompt], 100)
    assert half == loaded.tokenizer.decode(generate(loaded.model, loaded.params, ids[-12:], 12, temperature=0))


def test_rows_are_counted():
    done = []
    write(random_model(), PROMPTS, 2, on_row=done.append)
    assert np.sum(done) == len(PROMPTS)
