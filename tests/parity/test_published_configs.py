"""Configurations as they are published open here, and the models compute what transformers computes with them."""

import dataclasses
import json
import warnings

import numpy as np
import pytest
import torch
import transformers

import minigpt
from minigpt.cli import main
from minigpt.core.errors import UserNotice

from ..interop.published_configs import PUBLISHED, VOCAB, small
from .hf_models import our_logits, their_logits, their_tensors

pytestmark = pytest.mark.parity
IDS = np.random.default_rng(0).integers(3, VOCAB, (2, 9))


def published_folder(name, folder):
    """Random weights of the class, saved as it saves them, with the configuration as it is published."""
    architecture, config = PUBLISHED[name].architecture, small(PUBLISHED[name].config)
    cls = getattr(transformers, architecture)
    torch.manual_seed(1)
    model = cls(cls.config_class(**{k: v for k, v in config.items() if k not in ("torch_dtype", "dtype")})).float()
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.normal_(1.0 if p.dim() == 1 and key.endswith("weight") else 0.0, 0.3)
    model.eval().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").unlink(missing_ok=True)
    return model


def load(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserNotice)
        return minigpt.load(folder, **options)


def near(ours, theirs):
    assert np.abs(ours - theirs).max() <= 1e-4 * max(1.0, np.abs(theirs).max())


def greedy(model, ids, config):
    """Eight more tokens of transformers' generate(), which knows nothing but where a text begins."""
    settings = transformers.GenerationConfig(
        **{"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None, "use_cache": True},
        decoder_start_token_id=config.get("decoder_start_token_id"),
        bos_token_id=None,
    )
    model.generation_config = settings
    return model.generate(torch.tensor(ids), generation_config=settings, attention_mask=torch.ones(ids.shape)).numpy()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_configuration_computes_the_same(name, tmp_path):
    model = published_folder(name, tmp_path / "hf")
    classifies = "Classification" in PUBLISHED[name].architecture
    ours = load(tmp_path / "hf", skip=["classification_head.", "classifier.", "pre_classifier."] if classifies else [])
    if ours.model.family == "bert" and ours.config.model.headless:
        near(ours.hidden_states(IDS), model.base_model(torch.tensor(IDS)).last_hidden_state.detach().numpy())
        return
    if classifies:  # the body below the head
        states = model.model(torch.tensor(IDS)).last_hidden_state
        near(our_logits(ours, IDS), (states @ model.model.shared.weight.T).detach().numpy())
        return
    near(our_logits(ours, IDS), their_logits(model, IDS))
    if ours.model.family != "bert":
        plain = dataclasses.replace(ours, ids={}, generation={})
        ends = {"eos_token_id": (VOCAB,)}  # an id that never comes
        found = plain.generate_ids(IDS, max_new_tokens=8, pad_token_id=0, **ends)
        assert found.tolist() == greedy(model, IDS, PUBLISHED[name].config).tolist()


@pytest.mark.parametrize("name", [name for name, p in PUBLISHED.items() if "Sequence" not in p.architecture])
def test_a_published_model_comes_back(name, tmp_path):
    """Their folder, a run, their folder: the same tensors, in which their class computes the same."""
    model = published_folder(name, tmp_path / "hf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserNotice)
        assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "run")]) == 0
        assert main(["convert", str(tmp_path / "run"), str(tmp_path / "back"), "--to", "hf"]) == 0
    before, after = their_tensors(tmp_path / "hf"), their_tensors(tmp_path / "back")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    again, info = type(model).from_pretrained(tmp_path / "back", output_loading_info=True, dtype=torch.float32)
    assert not any(info.values())
    assert torch.equal(again(torch.tensor(IDS))[0], model(torch.tensor(IDS))[0])
