"""Settings of generation: who wins, what cannot be, what is refused by name."""

import dataclasses
import json

import numpy as np
import pytest

import minigpt
from minigpt.core.errors import UserError
from minigpt.generate.settings import Generation, generation
from minigpt.interop.token_roles import read_generation

from ..interop.files import change_config, gpt2_folder


def said(call, *arguments, **named):
    with pytest.raises(UserError) as error:
        call(*arguments, **named)
    return str(error.value)


def differing(settings):
    """The settings that are not the defaults."""
    defaults = dataclasses.asdict(Generation())
    return {name: value for name, value in dataclasses.asdict(settings).items() if value != defaults[name]}


def test_the_last_one_wins_and_none_says_nothing():
    file = {
        "temperature": 0.6,
        "top_k": 3,
        "eos_token_id": 4,
        "suppress_tokens": [1, 2],
        "bad_words_ids": [[1], [2, 3]],
    }
    found = generation(file, {"temperature": None, "top_k": 0, "eos_token_id": [5, 6]})
    assert differing(found) == {
        **{"temperature": 0.6, "top_k": 0, "eos_token_id": (5, 6), "suppress_tokens": (1, 2)},
        "bad_words_ids": ((1,), (2, 3)),
    }
    assert generation({"sequence_bias": [[[1, 2], -3]]}) == generation({"sequence_bias": {(1, 2): -3.0}})
    assert (
        generation({}, {"use_cache": False, "cache_implementation": "static", "transformers_version": "5"})
        == Generation()
    )


def test_what_cannot_be():
    assert said(generation, {"top_k": -1}) == "the setting top_k is -1; it must be a whole number from 0 on"
    assert "temperature is true; it must be a number from 0 on" in said(generation, {"temperature": True})
    assert "min_p is 2; it must be a number from 0 to 1" in said(generation, {"min_p": 2})
    assert "repetition_penalty is 0; it must be a number above 0" in said(generation, {"repetition_penalty": 0})
    assert "eos_token_id is [1, -2]; it must be a token's id" in said(generation, {"eos_token_id": [1, -2]})
    assert "bad_words_ids is [[]]; it must be a list of lists" in said(generation, {"bad_words_ids": [[]]})
    assert "early_stopping is 1;" in said(generation, {"early_stopping": 1})
    assert "length_penalty is NaN" in said(generation, {"length_penalty": float("nan")})
    assert "length_penalty is 1000" in said(generation, {"length_penalty": 10**400})  # beyond a float64
    assert "cannot be given with it" in said(generation, {"do_sample": True, "num_beams": 2})
    assert "it needs as many num_beams" in said(generation, {"num_return_sequences": 2})


def test_what_is_not_computed_is_refused_by_name():
    for name, value in [
        *(("guidance_scale", 1.5), ("num_beam_groups", 2), ("penalty_alpha", 0.6), ("token_healing", True)),
        *(("watermarking_config", {"bias": 2.0}), ("stop_strings", ["."]), ("max_time", 3.0), ("constraints", [1])),
        *(("force_words_ids", [[1]]), ("dola_layers", "high"), ("prompt_lookup_num_tokens", 3)),
        *(("assistant_early_exit", 2), ("cache_implementation", "quantized")),
    ]:
        assert f"the setting {name} is {json.dumps(value)}, which minigpt does not compute" in said(
            generation, {name: value}
        )
    neutral = {
        "guidance_scale": 1.0,
        "num_beam_groups": 1,
        "token_healing": False,
        "diversity_penalty": 0.0,
        "top_h": 0.4,
    }
    assert generation(neutral) == Generation()
    assert "the setting top_h" in said(generation, {"top_h": 0.4, "do_sample": True})


def test_a_folder_says_it_in_either_file(tmp_path):
    folder = gpt2_folder(tmp_path / "hf")
    (folder / "generation_config.json").write_text(
        json.dumps({"max_new_tokens": 3, "repetition_penalty": 1.4, "eos_token_id": [7], "pad_token_id": -1})
    )
    assert read_generation(folder) == ({"eos_token_id": [7]}, {"max_new_tokens": 3, "repetition_penalty": 1.4})
    loaded = minigpt.load(folder)
    assert loaded.generate_ids([[1, 2]]).shape == (1, 5) and loaded.settings().repetition_penalty == 1.4
    assert loaded.generate_ids([[1, 2]], max_new_tokens=2).shape == (1, 4)
    (folder / "generation_config.json").unlink()
    change_config(folder, max_length=6, bos_token_id=3, force_bos_token_to_be_generated=None, bad_words_ids=[[5]])
    assert read_generation(folder, "config.json")[1] == {"max_length": 6, "bad_words_ids": [[5]]}
    loaded = minigpt.load(folder)
    assert loaded.generate_ids([[1, 2, 3]]).shape == (1, 6)
    assert "leaves no room below 6" in said(loaded.generate_ids, np.ones((1, 6), dtype=int))
    (tmp_path / "config.json").write_text('{"bos_token_id": 3, "force_bos_token_to_be_generated": true}')
    assert read_generation(tmp_path, "config.json")[0]["forced_bos_token_id"] == 3


def test_a_model_with_a_refused_setting_can_be_opened_and_asked_otherwise(tmp_path):
    folder = gpt2_folder(tmp_path / "hf")
    (folder / "generation_config.json").write_text('{"guidance_scale": 2.0}')
    loaded = minigpt.load(folder)
    assert loaded.logits([[1, 2]]).shape == (1, 2, 300)
    assert "guidance_scale is 2.0" in said(loaded.generate_ids, [[1, 2]])
    assert loaded.generate_ids([[1, 2]], guidance_scale=1.0, max_new_tokens=2).shape == (1, 4)


def test_settings_change_greedy_and_drawn_ids(tmp_path):
    loaded = minigpt.load(gpt2_folder(tmp_path / "hf"))
    free = loaded.generate_ids([[1, 2]], max_new_tokens=5)[0].tolist()
    banned = loaded.generate_ids([[1, 2]], max_new_tokens=5, suppress_tokens=[free[2]])[0].tolist()
    assert free[2] not in banned[2:]
    several = loaded.generate_ids([[1, 2]], max_new_tokens=5, do_sample=True, num_return_sequences=3)
    assert several.shape == (3, 7) and len({tuple(row) for row in several.tolist()}) == 3
    only = loaded.generate_ids([[1, 2]], max_new_tokens=5, do_sample=True, min_p=1.0)[0].tolist()
    assert only == free
    found = loaded.generate_ids([[1, 2], [3, 4]], max_new_tokens=4, num_beams=3, num_return_sequences=2)
    assert found.shape == (4, 6) and found[::2, :2].tolist() == [[1, 2], [3, 4]]
