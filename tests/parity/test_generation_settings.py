"""Every setting of generation, alone and together, gives the ids of transformers' generate(): greedy and with beams."""

import json

import numpy as np
import pytest
import torch

import minigpt
from minigpt.core.errors import UserError
from minigpt.generate.settings import NEUTRAL, ONLY_DRAWING, READ

from .hf_models import VOCAB, random_model

pytestmark = pytest.mark.parity
NEW = 14
SETTINGS = {
    "plain": {},
    "max length": {"max_new_tokens": None, "max_length": 17},
    "neither": {"max_new_tokens": None},
    "min length": {"min_length": 14},
    "min new": {"min_new_tokens": 6},
    "repetition": {"repetition_penalty": 1.7},
    "repetition below 1": {"repetition_penalty": 0.6},
    "encoder repetition": {"encoder_repetition_penalty": 1.8},
    "n-grams": {"no_repeat_ngram_size": 2},
    "1-grams": {"no_repeat_ngram_size": 1},
    "encoder n-grams": {"encoder_no_repeat_ngram_size": 1},
    "encoder 2-grams": {"encoder_no_repeat_ngram_size": 2},
    "bad words": {"bad_words_ids": "bad"},
    "suppress": {"suppress_tokens": "first"},
    "suppress first": {"begin_suppress_tokens": "first"},
    "forced": {"forced_bos_token_id": 7, "forced_eos_token_id": 9},
    "forced to one of two": {"forced_eos_token_id": [11, 9]},
    "forced and suppressed first": {"forced_bos_token_id": 7, "begin_suppress_tokens": "first"},
    "decay": {"exponential_decay_length_penalty": (3, 1.6)},
    "bias": {"sequence_bias": "bias"},
    "invalid": {"remove_invalid_values": True, "no_repeat_ngram_size": 1},
    "normal": {"renormalize_logits": True, "repetition_penalty": 1.4},
    "two ends": {"eos_token_id": "two"},
    "no end": {"eos_token_id": None},
    "all": {
        **{"repetition_penalty": 1.2, "encoder_repetition_penalty": 0.8, "no_repeat_ngram_size": 3, "min_length": 12},
        **{"bad_words_ids": "bad", "suppress_tokens": [3, 5], "begin_suppress_tokens": "first", "bias": "bias"},
        **{"exponential_decay_length_penalty": (6, 1.1), "renormalize_logits": True, "forced_eos_token_id": 9},
        **{"eos_token_id": "two", "encoder_no_repeat_ngram_size": 3},
    },
}
SEARCHES = {
    "greedy": {},
    "beams": {"num_beams": 3},
    "long beams": {"num_beams": 4, "length_penalty": 2.0, "early_stopping": "never", "num_return_sequences": 3},
    "short beams": {"num_beams": 2, "length_penalty": -1.0, "early_stopping": True},
}


PAIRED = ["gpt2", "openai-gpt", "llama", "bart"]


@pytest.fixture(scope="module", params=PAIRED)
def pair(request, tmp_path_factory):
    """A model of theirs, the same here, prompts and their mask (padded where the family pads)."""
    model = random_model(request.param)
    model.generation_config.forced_eos_token_id = None
    folder = tmp_path_factory.mktemp("hf")
    model.save_pretrained(folder)
    rng = np.random.default_rng(5)
    lengths = rng.integers(1, 9, 8)
    mask = (np.arange(8) >= 8 - lengths[:, None]).astype(np.int64)
    ids = rng.integers(4, VOCAB, mask.shape)
    if request.param == "bart":
        mask, ids = mask[:, ::-1].copy(), ids[:, ::-1].copy()
        ids[mask == 0] = model.config.pad_token_id
    else:
        ids *= mask
    return model, minigpt.load(folder), ids, mask


def theirs(model, ids, mask, settings):
    with torch.no_grad():
        return model.generate(torch.tensor(ids), attention_mask=torch.tensor(mask), **settings).numpy()


def filled(settings, free, prompt):
    """The settings with ids that matter for what the model says when it is free."""
    common = np.bincount(free[:, prompt:].ravel(), minlength=VOCAB)
    often = [int(i) for i in np.argsort(-common, kind="stable")[:4]]
    two = [int(free[0, prompt + 4]), int(free[0, prompt + 5])]
    values = {
        "bad": [[often[0]], two, [3, 4, 5]],
        "first": sorted({int(i) for i in free[:, prompt]}),
        "bias": [[two, -4.0], [[often[1]], 2.5], [[often[2]], -1.5]],
        "two": often[1:3],
    }
    return {
        {"bias": "sequence_bias"}.get(name, name): values.get(value, value) if isinstance(value, str) else value
        for name, value in settings.items()
    }


# Of two ends that are equally good to force, torch.topk may take either: only the greedy search is compared.
CASES = [
    (family, name, search)
    for family in PAIRED
    for name in SETTINGS
    for search in SEARCHES
    if name != "forced to one of two" or search == "greedy"
]


def in_pairs(family, name, search):
    """Whether a case is of the square in which every two of setting, search and family meet once, and the greedy
    search all settings in all families.
    """
    places = list(PAIRED).index(family) + list(SEARCHES).index(search) + list(SETTINGS).index(name)
    return search == "greedy" or places % len(PAIRED) == 0


@pytest.mark.parametrize(
    "pair, name, search",
    [pytest.param(*case, marks=() if in_pairs(*case) else pytest.mark.exhaustive) for case in CASES],
    indirect=["pair"],
)
def test_settings(pair, name, search):
    model, loaded, ids, mask = pair
    prompt = 1 if model.config.is_encoder_decoder else ids.shape[1]
    base = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 1, "eos_token_id": None}
    if model.config.is_encoder_decoder:
        base["forced_eos_token_id"] = None
    free = theirs(model, ids, mask, base)
    base["eos_token_id"] = int(free[1, prompt + 7])
    settings = {**base, **filled(SETTINGS[name], free, prompt), **SEARCHES[search]}
    expected = theirs(model, ids, mask, {k: v for k, v in settings.items() if v is not None or k != "max_new_tokens"})
    ours = loaded.generate_ids(
        ids, mask, **{k: () if k == "eos_token_id" and v is None else v for k, v in settings.items()}
    )
    assert np.array_equal(ours, expected)
    if (
        name not in ("plain", "no end", "neither", "encoder n-grams", "encoder 2-grams")
        and search == "greedy"
        and model.config.model_type == "gpt2"
    ):
        plain = theirs(model, ids, mask, base)
        assert not np.array_equal(plain, expected)  # the setting does something


def test_the_file_says_it_and_arguments_win(pair, tmp_path):
    """generation_config.json, and in its absence config.json."""
    model, _, ids, mask = pair
    model.save_pretrained(tmp_path / "hf")
    own = {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "num_beams": 2, "max_new_tokens": 9, "pad_token_id": 1}
    if model.config.is_encoder_decoder:
        own |= {"decoder_start_token_id": 5, "eos_token_id": 8}
    file = tmp_path / "hf" / "generation_config.json"
    file.write_text(json.dumps(own))
    for _ in range(2):
        reopened = type(model).from_pretrained(tmp_path / "hf").eval()
        loaded = minigpt.load(tmp_path / "hf")
        assert np.array_equal(loaded.generate_ids(ids, mask), theirs(reopened, ids, mask, {}))
        given = {"num_beams": 1, "repetition_penalty": 1.0, "max_new_tokens": 5}
        assert np.array_equal(loaded.generate_ids(ids, mask, **given), theirs(reopened, ids, mask, given))
        config = json.loads((tmp_path / "hf" / "config.json").read_text())
        file.unlink(missing_ok=True)
        (tmp_path / "hf" / "config.json").write_text(json.dumps(config | own))


def test_no_setting_of_theirs_is_overlooked(pair):
    """Every attribute of GenerationConfig is computed, refused by name, or one that cannot change the ids."""
    harmless = """
        use_cache cache_implementation cache_config max_cache_len low_memory prefill_chunk_size compile_config
        disable_compile continuous_batching_config output_attentions output_hidden_states output_scores output_logits
        return_dict_in_generate transformers_version num_assistant_tokens num_assistant_tokens_schedule
        assistant_confidence_threshold max_matching_ngram_size assistant_lookbehind target_lookbehind diversity_penalty
    """
    from transformers import GenerationConfig

    theirs_ = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    assert theirs_ == {*READ, *NEUTRAL, *ONLY_DRAWING, *harmless.split()}


def test_what_is_not_computed_is_refused_by_name(pair):
    _, loaded, ids, mask = pair
    for name, value in [("guidance_scale", 1.5), ("num_beam_groups", 2), ("watermarking_config", {}), ("max_time", 1)]:
        with pytest.raises(UserError, match=name):
            loaded.generate_ids(ids, mask, max_new_tokens=2, **{name: value})
    loaded.generate_ids(ids, mask, max_new_tokens=2, guidance_scale=1.0, num_beam_groups=1, token_healing=False)


@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": 0.7},
        {"top_k": 7},
        {"top_p": 0.6},
        {"min_p": 0.2},
        {"typical_p": 0.5},
        {"epsilon_cutoff": 0.03},
        {"eta_cutoff": 0.3},
        {"temperature": 1.3, "top_k": 20, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.9, "eta_cutoff": 0.01},
    ],
    ids=lambda s: "-".join(s),
)
def test_distributions_to_draw_from(setting):
    """Against the warpers that generate() makes, on 40 rows of random scores."""
    from transformers import GenerationConfig

    from minigpt.generate.sampling import drawing_probabilities
    from minigpt.generate.settings import generation

    scores = 2 * np.random.default_rng(0).standard_normal((40, VOCAB)).astype(np.float32)
    model = random_model("gpt2")
    config = GenerationConfig(**{"do_sample": True, "top_k": 50, **setting})
    config._eos_token_tensor = None
    warpers = model._get_logits_processor(config, input_ids_seq_length=1, device="cpu")
    expected = warpers(torch.zeros((40, 1), dtype=torch.long), torch.tensor(scores)).softmax(-1).numpy()
    ours = np.stack([drawing_probabilities(row, generation({"do_sample": True, **setting})) for row in scores])
    assert ((ours > 0) == (expected > 0)).all() and np.abs(ours - expected).max() < 1e-6
    assert (expected == 0).any() or setting == {"temperature": 0.7}
