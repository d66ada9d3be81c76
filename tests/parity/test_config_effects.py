"""Every key that their configuration classes know, with values of every kind: what loads here computes the same.

A value is honoured or refused by name; it is never ignored where it has an effect.
"""

import dataclasses
import json
import warnings

import numpy as np
import pytest
import torch

import minigpt
from minigpt.core.errors import UserError, UserNotice

from .hf_models import CASES, LLAMA3, VOCAB, our_logits, random_model

FAMILIES = dict.fromkeys(("openai-gpt", "gpt2", "llama", "bert", "bart"), "")
FAMILIES |= {"gpt-neo": "gpt2", "mistral": "llama", "qwen2": "llama", "distilbert": "bert"}  # and whose keys they share
IDS = np.random.default_rng(0).integers(3, VOCAB, (2, 9))
VALUES = [None, True, False, 0, 2, 0.25, "relu", "relative_key", {"1": 0}]
OLDER = [  # and some that no class reads
    *("add_bias_logits", "add_final_layer_norm", "classif_dropout", "cross_attention_hidden_size"),
    *("extra_pos_embeddings", "normalize_before", "normalize_embedding", "original_max_position_embeddings"),
    *("partial_rotary_factor", "per_layer_config", "position_embedding_type", "pruned_heads", "quantization_config"),
    *("rope_scaling", "rope_theta", "static_position_embeddings", "tie_encoder_decoder", "torchscript"),
    *("use_bfloat16", "sliding_window", "layer_types", "n_ctx", "embedding_size"),
]
ROTATIONS = [  # what a Llama's file says of the rotation, and whether we compute it
    ({"rope_theta": 300.0}, True),
    ({"rope_theta": None}, False),
    ({"rope_scaling": {"type": "linear", "factor": 2.0}}, False),
    ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, False),
    ({"rope_scaling": LLAMA3}, True),
    ({"rope_parameters": LLAMA3}, True),
    ({"rope_parameters": {**LLAMA3, "rope_theta": None}}, False),
    ({"rope_parameters": {k: v for k, v in LLAMA3.items() if k != "rope_theta"}, "rope_theta": 300.0}, True),
    ({"rope_parameters": {k: v for k, v in LLAMA3.items() if not k.startswith("original")}}, True),
    ({"rope_parameters": LLAMA3, "original_max_position_embeddings": 7}, True),
    ({"rope_parameters": {"rope_type": "default", "rope_theta": 300.0, "factor": 4.0}}, True),
    ({"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}, "rope_theta": None}, True),
    ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, False),
]

pytestmark = pytest.mark.parity


def theirs_with(cls, folder):
    """Their logits, or None where their class cannot compute."""
    try:
        model = cls.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            return model(input_ids=torch.tensor(IDS), return_dict=True)[0].numpy()
    except Exception:  # whatever it says, there is nothing to compare with
        return None


def ours_with(folder):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserNotice)
            return our_logits(minigpt.load(folder), IDS)
    except UserError:
        return None


def loads_alike(cls, folder, good, changed):
    """Whether the configuration loads here; if it does and theirs can compute, they compute the same."""
    (folder / "config.json").write_text(json.dumps(good | changed))
    ours = ours_with(folder)
    if ours is None:
        return False
    theirs = theirs_with(cls, folder)
    if theirs is not None:
        assert ours.shape == theirs.shape, changed
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max(), changed
    return True


def keys_of(cls):
    return {f.name for f in dataclasses.fields(cls)} | set(cls.attribute_map)


@pytest.mark.slow("test_unknown_keys and test_convert: the keys that have an effect, one value each")
@pytest.mark.parametrize("name", FAMILIES)
def test_no_value_has_another_effect_here(name, tmp_path):
    model, folder = random_model(name), tmp_path / "hf"
    model.save_pretrained(folder)
    good = json.loads((folder / "config.json").read_text())
    cls = type(model)
    keys = keys_of(cls.config_class)
    tried = sorted(keys - keys_of(type(CASES[FAMILIES[name]].config()))) if FAMILIES[name] else [*sorted(keys), *OLDER]
    loaded = {key: [loads_alike(cls, folder, good, {key: value}) for value in VALUES] for key in tried}
    if FAMILIES[name]:
        assert any(map(any, loaded.values())) and not all(map(all, loaded.values()))
        return
    assert all(any(tried) for key, tried in loaded.items() if key in ("dtype", "use_cache", "id2label"))
    assert not all(loaded["tie_word_embeddings"]) and not all(loaded["quantization_config"])


@pytest.mark.parametrize("changed, loads", ROTATIONS, ids=str)
def test_rotations(changed, loads, tmp_path):
    model = random_model("llama")
    model.save_pretrained(tmp_path / "hf")
    good = json.loads((tmp_path / "hf" / "config.json").read_text())
    del good["rope_parameters"]
    assert loads_alike(type(model), tmp_path / "hf", good, changed) == loads
