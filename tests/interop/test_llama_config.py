"""Llama's config.json: both spellings of the rotation, and everything that we do not compute refused by name."""

import json

import numpy as np
import pytest

import minigpt
from minigpt.core.errors import UserError
from minigpt.interop.hf.writing import write_model
from minigpt.models import Llama, LlamaConfig

MODEL = Llama(LlamaConfig(vocab_size=11, context=7, layers=1, heads=4, kv_heads=2, width=8, feed_forward=5))
SCALED = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
NEW = {"rope_type": "llama3", "rope_theta": 5e5, **SCALED}


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "hf", MODEL, MODEL.init(seed=2), None)
    return tmp_path / "hf"


def opened(folder, **changed):
    """The model after keys of its config.json were changed; those of the rotation start from none."""
    path = folder / "config.json"
    values = json.loads(path.read_text())
    for name in ("rope_parameters", "rope_theta", "rope_scaling"):
        del values[name]
    path.write_text(json.dumps(values | changed))
    try:
        return minigpt.load(folder)
    finally:
        path.write_text(json.dumps(values | dict.fromkeys(("rope_parameters", "rope_theta", "rope_scaling"))))


@pytest.mark.parametrize(
    "changed, base, factor",
    [
        ({}, 10000.0, 1.0),
        ({"rope_theta": 5e5}, 5e5, 1.0),
        ({"rope_theta": 5e5, "rope_scaling": None}, 5e5, 1.0),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, 5e5, 1.0),
        ({"rope_parameters": NEW}, 5e5, 8.0),
        ({"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **SCALED}}, 5e5, 8.0),
        ({"rope_theta": 5e5, "rope_scaling": {"type": "llama3", "rope_type": "llama3", **SCALED}}, 5e5, 8.0),
        ({"rope_parameters": NEW, "rope_theta": None}, 5e5, 8.0),
        ({"rope_parameters": NEW, "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **SCALED}}, 5e5, 8.0),
    ],
)
def test_spellings_of_the_rotation(folder, changed, base, factor):
    c = opened(folder, **changed).config.model
    assert (c.rope_base, c.rope_factor) == (base, factor)
    assert factor == 1 or (c.rope_low, c.rope_high, c.rope_context) == (1.0, 4.0, 64)


@pytest.mark.parametrize(
    "changed, context",
    [
        ({"rope_parameters": NEW | {"original_max_position_embeddings": 32}}, 32),
        ({"rope_parameters": {k: v for k, v in NEW.items() if not k.startswith("original")}}, 7),  # as it is now
        ({"rope_parameters": NEW, "original_max_position_embeddings": 16}, 16),  # what stands outside counts
        ({"original_max_position_embeddings": 16}, 8192),  # nothing is stretched
    ],
)
def test_how_long_the_context_was_before(folder, changed, context):
    """As transformers 5.23 reads it (standardize_rope_params)."""
    assert opened(folder, **changed).config.model.rope_context == context


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, 'rope_scaling: type is "linear", but minigpt has only'),
        (
            {"rope_scaling": {"rope_type": "yarn"}},
            'config.json: rope_scaling: rope_type is "yarn", but minigpt has only',
        ),
        (
            {"rope_parameters": {"rope_type": "dynamic"}},
            'rope_parameters: rope_type is "dynamic", but minigpt has only',
        ),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "rope_parameters: partial_rotary_factor is 0.5, but"),
        (
            {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}},
            "rope_parameters: the key low_freq_factor is missing",
        ),
        ({"rope_parameters": NEW, "rope_theta": 1e4}, "rope_theta is 10000.0, but rope_parameters says 500000.0"),
        ({"rope_parameters": NEW, "rope_scaling": {"type": "default"}}, "but rope_parameters says something else"),
        ({"rope_scaling": [2]}, "rope_scaling is [2], but it must be an object with keys of its own"),
        ({"rope_theta": "1e4"}, 'rope_theta is "1e4", but it must be a number'),
        ({"rope_theta": 0}, "rope_base must be above 1"),
        ({"attention_bias": True}, "it lacks model.layers.0.self_attn.q_proj.bias"),
        ({"attention_bias": 1}, "attention_bias is 1, but minigpt can only do true or false or null"),
        ({"mlp_bias": True}, "mlp_bias is true, but minigpt can only do false or null"),
        ({"hidden_act": "gelu"}, 'hidden_act is "gelu", but minigpt has only silu, swish here'),
        ({"attention_dropout": 1}, "attention_dropout is 1, but it must be a number from 0 on, below 1"),
        ({"rope_theta": None}, "rope_theta is null, but it must be a number"),
        ({"rope_parameters": {"rope_theta": None}}, "rope_parameters: rope_theta is null, but it must be a number"),
        ({"rope_theta": None, "rope_scaling": {"type": "default"}}, "rope_theta is null, but it must be a number"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5, but minigpt can only do 1 or null"),
        ({"num_key_value_heads": 3}, "model.heads 4 is not a multiple of model.kv_heads 3"),
        ({"tie_word_embeddings": True}, "lm_head.weight differs from model.embed_tokens.weight"),
        ({"tie_word_embeddings": "yes"}, 'tie_word_embeddings is "yes", but it must be true or false'),
        ({"head_dim": 4}, "q_proj.weight has shape (8, 8), but the model needs (16, 8)"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(folder, changed, sentence):
    with pytest.raises(UserError) as error:
        opened(folder, **changed)
    assert sentence in str(error.value)


def test_metas_layout_is_written_in_theirs(tmp_path):
    """Pairs that stand side by side become halves: the model that is read back computes the same."""
    model = Llama(
        LlamaConfig(vocab_size=11, context=7, layers=2, heads=2, width=8, rope_layout="interleaved", tied=True)
    )
    params = model.init(seed=4, dtype="float64")
    write_model(tmp_path / "hf", model, params, None)
    again = minigpt.load(tmp_path / "hf", dtype="float64")
    ids = np.arange(7)[None]
    assert again.config.model.rope_layout == "half"
    assert np.abs(again.logits(ids) - model.logits(params, ids)).max() < 1e-12
