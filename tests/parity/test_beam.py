"""Greedy and beam search against `generate()` of transformers: the same ids from the same random BART."""

import numpy as np
import pytest
import torch
import transformers

from minigpt.data.seq2seq import Seq2SeqBatch
from minigpt.generate.beam import Search, generate
from minigpt.generate.processors import processors
from minigpt.generate.settings import generation
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import BART, BARTConfig

from .test_bart import BOS, EOS, PAD, VOCAB, hf_model

pytestmark = pytest.mark.parity

PROMPTS = 20
SETTINGS = [
    {"num_beams": 1},
    {"num_beams": 1, "min_length": 6, "no_repeat_ngram_size": 2},
    {"num_beams": 1, "forced_bos_token_id": BOS, "forced_eos_token_id": EOS},
    {"num_beams": 2},
    {"num_beams": 3, "length_penalty": 2.0},
    {"num_beams": 4, "length_penalty": 0.0},
    {"num_beams": 4, "length_penalty": -1.0, "early_stopping": "never"},
    {"num_beams": 5, "length_penalty": 0.6, "early_stopping": True},
    {"num_beams": 5, "length_penalty": 1.5, "early_stopping": "never"},
    {"num_beams": 3, "no_repeat_ngram_size": 1},
    {"num_beams": 3, "no_repeat_ngram_size": 3, "min_length": 8, "early_stopping": True},
    {"num_beams": 4, "forced_bos_token_id": BOS, "forced_eos_token_id": EOS, "min_length": 5},
    {"num_beams": 4, "forced_bos_token_id": BOS, "forced_eos_token_id": EOS, "length_penalty": 2.0,
     "no_repeat_ngram_size": 3, "early_stopping": True},
    {"num_beams": 2, "max_length": 3},
]  # fmt: skip


MODELS = [(1, 0.3), (3, 0.3), (3, 0.15)]  # a seed, and how far apart the scores are


@pytest.fixture(scope="module", params=MODELS)
def model_and_prompts(request):
    """A model, transformers' with the same weights, and 20 sources of lengths 3 … 12 that end with </s>."""
    seed, spread = request.param
    model = BART(BARTConfig(VOCAB, 14, 2, 1, 2, 16))
    params = random_parameters(model, seed=seed + 5, std=0.5)
    params["tokens"][...] *= spread / 0.5
    params["final_logits_bias"][...] *= 0.2
    params["final_logits_bias"][EOS] = 1.2  # so that texts end, here and there
    rng = np.random.default_rng(1)
    sources = [np.append(rng.integers(3, VOCAB, size=2 + i % 10), EOS) for i in range(PROMPTS)]
    longest = max(map(len, sources))
    source = np.array([np.append(s, np.full(longest - len(s), PAD)) for s in sources])
    return model, params, hf_model(model, params, torch.float64, transformers.BartForConditionalGeneration), source


def theirs(hf, source, settings):
    ids = hf.generate(
        torch.tensor(source),
        attention_mask=torch.tensor((source != PAD).astype(int)),
        do_sample=False,
        decoder_start_token_id=EOS,
        **({"max_length": 12} | settings),
    )
    return [until_end(row) for row in ids.tolist()]


def until_end(ids):
    """Without the padding behind the end of the text (the first </s> is the decoder's start)."""
    return ids[: ids.index(EOS, 1) + 1] if EOS in ids[1:] else ids


def ours(model, params, source, settings):
    g = generation({"max_length": 12, "eos_token_id": EOS}, settings)
    search = Search(g.num_beams, g.length_penalty, max_length=g.max_length, early_stopping=g.early_stopping)
    steps = processors(g, prompt=1, longest=g.max_length, source=source, real=None, vocab_size=VOCAB)
    batch = Seq2SeqBatch(source, source, source_padding=source != PAD)
    state = model.start(params, batch, search.max_length)
    found = generate(model, params, state, np.full((len(source), 1), EOS), search, eos=EOS, steps=steps)
    return [f.ids for f in found], [f.score for f in found]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
def test_the_same_ids(model_and_prompts, settings):
    model, params, hf, source = model_and_prompts
    ids, _ = ours(model, params, source, settings)
    assert ids == theirs(hf, source, settings)
    alone = [ours(model, params, source[i : i + 1, : (source[i] != PAD).sum()], settings)[0][0] for i in range(4)]
    assert alone == ids[:4]  # without padding, and without the others


def test_prompts_and_settings_matter(model_and_prompts):
    """The comparison above would say little if all texts were alike."""
    model, params, _, source = model_and_prompts
    found = [ours(model, params, source, settings)[0] for settings in SETTINGS]
    assert len({tuple(text) for texts in found for text in texts}) > 40
    assert len({len(text) for texts in found for text in texts}) > 6
    assert sum(len({len(text) for text in texts}) > 1 for texts in found) >= 8


def test_the_same_scores(model_and_prompts):
    model, params, hf, source = model_and_prompts
    settings = {"num_beams": 4, "length_penalty": 1.3}
    _, scores = ours(model, params, source, settings)
    out = hf.generate(
        torch.tensor(source),
        attention_mask=torch.tensor((source != PAD).astype(int)),
        decoder_start_token_id=EOS,
        max_length=12,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    np.testing.assert_allclose(scores, out.sequences_scores.numpy(), rtol=1e-5)  # theirs are float32
