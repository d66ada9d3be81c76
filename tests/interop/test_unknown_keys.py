"""Keys by effect: what their class does not know is named in one warning; null counts only where it does for theirs."""

import json
import warnings

import pytest

import minigpt
from minigpt.cli import main
from minigpt.core.errors import UserError, UserNotice
from minigpt.interop.hf import FAMILIES
from minigpt.interop.hf.writing import write_model
from minigpt.models import BART, GPT, BARTConfig, Bert, BertConfig, GPTConfig, Llama, LlamaConfig

from .files import gpt2_folder

SHAPE = {"vocab_size": 11, "context": 8, "heads": 2, "width": 6}
MODELS = {
    "gpt2": lambda: GPT(GPTConfig(**SHAPE, layers=1)),
    "openai-gpt": lambda: GPT(GPTConfig(**SHAPE, layers=1, norm="post", scaled_residual_init=False)),
    "llama": lambda: Llama(LlamaConfig(**SHAPE | {"width": 8}, layers=1)),
    "bert": lambda: Bert(BertConfig(**SHAPE, layers=1)),
    "gpt_neo": lambda: GPT(GPTConfig(**SHAPE, layers=2, window=3, qkv_bias=False, scaled_scores=False)),
    "mistral": lambda: Llama(LlamaConfig(**SHAPE | {"width": 8}, layers=1, window=3)),
    "qwen2": lambda: Llama(LlamaConfig(**SHAPE | {"width": 8}, layers=1, window=3, attention_bias="qkv")),
    "roberta": lambda: Bert(BertConfig(**SHAPE, layers=1, pairs=False, token_types=1, pad=1)),
    "distilbert": lambda: Bert(BertConfig(**SHAPE, layers=1, pairs=False, token_types=0)),
    "bart": lambda: BART(BARTConfig(**SHAPE, encoder_layers=1, decoder_layers=1)),
}
# What the configurations of transformers 5.23 take null for "nothing said" in, or what null means "no" in, which is
# what we compute; in every other key that we write, null is no value.
NULLABLE = {
    "gpt2": {"n_inner"},
    "openai-gpt": set(),
    "llama": {"num_key_value_heads", "head_dim", "attention_dropout", "attention_bias", "mlp_bias", "rope_parameters"},
    "gpt_neo": {"intermediate_size", "attention_layers"},
    "mistral": {"num_key_value_heads", "head_dim", "attention_dropout", "rope_parameters", "sliding_window"},
    "qwen2": {"num_key_value_heads", "head_dim", "attention_dropout", "rope_parameters", "layer_types"},
    "bert": set(),
    "roberta": set(),
    "distilbert": set(),
    "bart": {"init_std"},
}
IGNORED = {"architectures", "bos_token_id", "eos_token_id", "pad_token_id", "dtype", "rope_theta", "rope_scaling"}


def folder_of(name, tmp_path):
    model = MODELS[name]()
    write_model(tmp_path / "hf", model, model.init(seed=1), None)
    return tmp_path / "hf"


def load_with(folder, **changed):
    path = folder / "config.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | changed))
    try:
        return minigpt.load(folder)
    finally:
        path.write_text(before)


@pytest.mark.parametrize("name", MODELS)
def test_keys_of_nobody_are_named_and_nothing_more(name, tmp_path):
    folder = folder_of(name, tmp_path)
    with pytest.warns(UserNotice) as said:
        loaded = load_with(folder, unsloth_fixed=True, is_llama_config=True, **{"transformers.js_config": {"a": 1}})
    (warning,) = said
    assert str(warning.message) == (
        f"{folder / 'config.json'}: not used, as {loaded_class(name)} of transformers has no such keys: "
        "unsloth_fixed, is_llama_config, transformers.js_config"
    )
    assert (loaded.params.flat == minigpt.load(folder).params.flat).all()


def loaded_class(name):
    return f"{FAMILIES[name].stem}Config"


@pytest.mark.parametrize("name", MODELS)
def test_null_is_a_value_where_it_is_one_for_theirs(name, tmp_path):
    folder = folder_of(name, tmp_path)
    taken = set()
    keys = json.loads((folder / "config.json").read_text()).keys() - IGNORED - {"model_type"}
    for key in keys:
        try:
            load_with(folder, **{key: None})
            taken.add(key)
        except UserError as error:
            assert f"{key} is null, but" in str(error)
    assert taken == NULLABLE[name]


def test_keys_that_their_classes_know_are_no_news(tmp_path):
    """Every kind of key that an older generation wrote, with the value that changes nothing."""
    old = {
        **{"output_past": True, "torchscript": False, "use_bfloat16": False, "xla_device": None, "_num_labels": 3},
        **{"finetuning_task": None, "pruned_heads": {}, "tie_encoder_decoder": False, "chunk_size_feed_forward": 0},
        **{"eos_token_ids": [2], "force_bos_token_to_be_generated": True, "task_specific_params": {"x": {}}},
        **{"quantization_config": None, "is_decoder": False, "cross_attention_hidden_size": None},
    }
    folder = gpt2_folder(tmp_path / "hf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_with(folder, **old)


def test_unknown_names_are_shown_on_one_line(tmp_path, capsys):
    folder = gpt2_folder(tmp_path / "hf")
    path = folder / "config.json"
    strange = {"a\nb": 1, "c" * 200: 2, **{f"k{n}": n for n in range(20)}}
    path.write_text(json.dumps(json.loads(path.read_text()) | strange))
    assert main(["convert", str(folder), str(tmp_path / "run")]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "not used" in line]
    assert line.startswith(f"minigpt: {path}: not used, as GPT2Config of transformers has no such keys: a\\nb, ")
    assert "c" * 60 + ", k0" in line and line.endswith("k9 and 10 more")


def test_files_without_a_model_type(tmp_path):
    """The oldest have none: their class, or BERT's tensors, say it; else one sentence does."""
    folder = gpt2_folder(tmp_path / "hf")
    path = folder / "config.json"
    values = json.loads(path.read_text())
    del values["model_type"]
    path.write_text(json.dumps(values))
    assert minigpt.load(folder).model.family == "gpt"
    for names in ([], None, "GPT2LMHeadModel", ["GPT2"], [3]):
        path.write_text(json.dumps(values | {"architectures": names}))
        with pytest.raises(UserError, match="has no model_type; write into it which of openai-gpt, gpt2"):
            minigpt.load(folder)
    bert = folder_of("bert", tmp_path / "bert")
    values = json.loads((bert / "config.json").read_text())
    del values["model_type"], values["architectures"]
    (bert / "config.json").write_text(json.dumps(values))
    assert minigpt.load(bert).model.family == "bert"


@pytest.mark.parametrize(
    "name, changed, sentence",
    [
        ("gpt_neo", {"attention_types": True}, "attention_types is true, but it must be a list such as"),
        ("gpt_neo", {"attention_types": [[["global"], True]]}, "it must name 2 layers, each global or local"),
        ("gpt_neo", {"attention_types": [[["global", "sparse"], 1]]}, "it must name 2 layers, each global or local"),
        ("gpt_neo", {"attention_types": [[["global"], 10**9]]}, "it must be a list such as"),
        ("gpt_neo", {"attention_layers": ["local", "global"]}, "attention_layers is"),
        ("gpt_neo", {"window_size": 0}, "window_size is 0, but it must be a whole number from 1"),
        ("mistral", {"sliding_window": 0}, "sliding_window is 0, but it must be a whole number from 1"),
        ("mistral", {"rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope_scaling"),
        ("qwen2", {"layer_types": ["chunked_attention"]}, "it must name 1 layers, each full_attention or sliding"),
        ("qwen2", {"use_sliding_window": False}, "use_sliding_window is false, but layer_types has sliding_attention"),
        ("roberta", {"hidden_act": "relu"}, "the head for masked tokens has gelu"),
        ("roberta", {"pad_token_id": 20}, "max_position_embeddings is 10, but positions begin at 21"),
        ("distilbert", {"sinusoidal_pos_embds": True}, "sinusoidal_pos_embds is true, but minigpt can only do false"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(name, changed, sentence, tmp_path):
    with pytest.raises(UserError) as error:
        load_with(folder_of(name, tmp_path), **changed)
    assert sentence in str(error.value)
