"""Greedy and beam search give the ids of transformers' generate(): 20 prompts of several lengths, alone and padded."""

import numpy as np
import pytest
import torch

import minigpt
from minigpt.cli import main

from .hf_models import CAUSAL, SEQ2SEQ, VOCAB, random_model

pytestmark = pytest.mark.parity
NEW = 20


def prompts(seed=0):
    """20 prompts of 1 to 12 tokens, padded on the left, and their mask."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 13, 20)
    mask = (np.arange(12) >= 12 - lengths[:, None]).astype(np.int64)
    return rng.integers(1, VOCAB, mask.shape) * mask, mask


def generate(model, ids, mask, **settings):
    tensors = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
    return model.generate(**tensors, max_new_tokens=NEW, do_sample=False, pad_token_id=0, **settings).numpy()


@pytest.fixture(scope="module", params=CAUSAL)
def pair(request, tmp_path_factory):
    """A model of theirs and the same model here."""
    model = random_model(request.param)
    folder = tmp_path_factory.mktemp("hf")
    model.save_pretrained(folder)
    return model, minigpt.load(folder)


def test_batched_and_left_padded(pair):
    model, loaded = pair
    ids, mask = prompts()
    theirs = generate(model, ids, mask)
    ours = loaded.generate_ids(ids, mask, max_new_tokens=NEW)
    assert theirs.shape == (20, 12 + NEW) and np.array_equal(ours, theirs)
    assert len({tuple(row) for row in ours[:, 12:].tolist()}) > 10  # they do not all say the same


def test_one_by_one(pair):
    model, loaded = pair
    ids, mask = prompts(seed=1)
    for row, real in zip(ids, mask.astype(bool), strict=True):
        prompt = row[None, real]
        theirs = generate(model, prompt, np.ones_like(prompt))
        assert np.array_equal(loaded.generate_ids(prompt, max_new_tokens=NEW), theirs)


def test_rows_end_where_theirs_end(pair):
    model, loaded = pair
    ids, mask = prompts(seed=2)
    free = generate(model, ids, mask)
    ends = [int(free[0, 15]), int(free[1, 18])]
    theirs = generate(model, ids, mask, eos_token_id=ends)
    ours = loaded.generate_ids(ids, mask, max_new_tokens=NEW, eos_token_id=ends, pad_token_id=0)
    assert np.array_equal(ours, theirs) and not np.array_equal(ours, free[:, : ours.shape[1]])
    alone = generate(model, ids[:1], mask[:1], eos_token_id=ends)
    ours = loaded.generate_ids(ids[:1], mask[:1], max_new_tokens=NEW, eos_token_id=ends, pad_token_id=0)
    assert np.array_equal(ours, alone) and ours.shape[1] < 12 + NEW


SEARCHES = [
    {"num_beams": 2},
    {"num_beams": 4, "length_penalty": 2.0},
    {"num_beams": 3, "length_penalty": 0.0, "early_stopping": True},
    {"num_beams": 5, "length_penalty": -1.0, "early_stopping": "never"},
    {"num_beams": 3, "no_repeat_ngram_size": 2, "min_length": 18},
]


@pytest.mark.parametrize("settings", SEARCHES, ids=lambda s: "-".join(map(str, s.values())))
def test_beams_batched_and_left_padded(pair, settings):
    model, loaded = pair
    ids, mask = prompts(seed=3)
    free = generate(model, ids, mask)
    end = int(np.bincount(free[:, 12:].ravel(), minlength=VOCAB)[1:].argmax()) + 1  # so that some texts end early
    theirs = generate(model, ids, mask, eos_token_id=end, **settings)
    ours = loaded.generate_ids(ids, mask, max_new_tokens=NEW, eos_token_id=end, pad_token_id=0, **settings)
    # behind the end of a text, transformers' beam search takes a pad id of 0 for none at all and puts the end's id
    assert [until_end(row, end) for row in ours.tolist()] == [until_end(row, end) for row in theirs.tolist()]
    assert not np.array_equal(theirs[:, 12:], free[:, 12 : theirs.shape[1]])


def until_end(ids, end):
    return ids[: ids.index(end, 12) + 1] if end in ids[12:] else ids


@pytest.mark.parametrize("name", CAUSAL)
def test_ends_are_where_the_folder_says(name, tmp_path):
    """generation_config.json names the ids that end a row and what follows; a run that the folder became knows too."""
    model = random_model(name)
    ids, mask = prompts(seed=3)
    free = generate(model, ids, mask)
    model.generation_config.eos_token_id = [int(free[0, 15]), int(free[1, 18])]
    model.generation_config.pad_token_id = 5
    model.save_pretrained(tmp_path / "hf")
    theirs = model.generate(torch.tensor(ids), attention_mask=torch.tensor(mask), max_new_tokens=NEW, do_sample=False)
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "run")]) == 0
    for folder in ("hf", "run"):
        loaded = minigpt.load(tmp_path / folder)
        assert np.array_equal(loaded.generate_ids(ids, mask, max_new_tokens=NEW), theirs.numpy())
        assert np.array_equal(loaded.generate_ids(ids, mask, max_new_tokens=NEW, eos_token_id=()), free)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", SEQ2SEQ)
def test_encoder_decoders_write_the_same(name, beams, tmp_path):
    """20 sources of several lengths, padded on the right, and one by one: greedy and beam search."""
    model = random_model(name)
    model.save_pretrained(tmp_path / "hf")
    loaded = minigpt.load(tmp_path / "hf")
    ids, mask = (x[:, ::-1].copy() for x in prompts(seed=4))
    ids[mask == 0] = model.config.pad_token_id
    rows = [(ids, mask), *((ids[i : i + 1, : mask[i].sum()], mask[i : i + 1, : mask[i].sum()]) for i in range(5))]
    for source, real in rows:
        given = {"input_ids": torch.tensor(source), "attention_mask": torch.tensor(real)}
        theirs = model.generate(**given, max_new_tokens=NEW, do_sample=False, num_beams=beams).numpy()
        ours = loaded.generate_ids(source, real, max_new_tokens=NEW, num_beams=beams)
        assert np.array_equal(ours, theirs)
