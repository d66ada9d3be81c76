"""`minigpt convert`: every way through it, and all that is damaged or unknown: one sentence, nothing written."""

import dataclasses
import json
import shutil
import struct

import numpy as np
import pytest

import minigpt
from minigpt import tokenizers
from minigpt.cli import main
from minigpt.interop.hf.writing import write_model
from minigpt.models import GPT, GPTConfig
from minigpt.tokenizers import ByteTokenizer, CharTokenizer

from ..interop.files import MODEL, change_config, change_tensors, gpt2_folder, read_tensors, write_raw
from .conftest import json_of


@pytest.fixture
def source(tmp_path):
    return gpt2_folder(tmp_path / "source")


@pytest.fixture
def refused(error, source, tmp_path):
    """Convert the (damaged) source, which must fail with one sentence and write nothing."""

    def check(*arguments) -> str:
        before = sorted(tmp_path.rglob("*"))
        sentence = error("convert", source, tmp_path / "new", *arguments)
        assert sorted(tmp_path.rglob("*")) == before
        return sentence

    return check


def test_a_run_becomes_a_folder_and_a_run_again(trained, tmp_path, capsys):
    """Weights and tokenizer survive; the characters of the run are characters there too, its missing biases zeros."""
    out = json_of(capsys, "convert", trained[1], tmp_path / "hf", "--to", "hf", "--json")
    before = minigpt.load(trained[1])
    count = before.model.parameter_count
    assert out == {"target": str(tmp_path / "hf"), "family": "gpt", "parameters": count, "tokenizer": "char"}
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "run")]) == 0
    after = minigpt.load(tmp_path / "run")
    assert not before.config.model.bias and all(
        np.array_equal(x, after.params[name]) for name, x in before.params.items()
    )
    assert not any(after.params[name].any() for name in after.params if name not in before.params)
    assert after.tokenizer.characters == before.tokenizer.characters
    assert before.generate("1 plus", max_new_tokens=20) == after.generate("1 plus", max_new_tokens=20)
    expected = dataclasses.replace(before.config.model, bias=True, positions_init="normal")  # how it began is not kept
    assert after.config.model == expected


@pytest.mark.slow("test_a_run_becomes_a_folder_and_a_run_again")
def test_a_converted_run_can_be_used_like_any_other(trained, source, tmp_path, capsys):
    tokenizers.save(ByteTokenizer(), tmp_path / "tokenizer.json")
    run = str(tmp_path / "run")
    assert main(["convert", str(source), run, "--tokenizer", str(tmp_path / "tokenizer.json")]) == 0
    assert f"Let it write: minigpt sample {run}" in capsys.readouterr().out
    assert json_of(capsys, "sample", run, "--tokens", "5", "--json")["tokens"] == 5
    before = json_of(capsys, "eval", run, "--data", trained[0], "--json")["loss"]
    shutil.copy(tmp_path / "tokenizer.json", source)  # where it lies is as good as what it becomes
    assert json_of(capsys, "eval", source, "--data", trained[0], "--json")["loss"] == before
    arguments = ["--tokens", "5", "--prompt", "1", "--json"]
    assert json_of(capsys, "sample", source, *arguments) == json_of(capsys, "sample", run, *arguments)
    assert main(["train", "--resume", run, "--data", str(trained[0]), "--steps", "3"]) == 0
    assert json_of(capsys, "eval", run, "--json")["loss"] < before
    assert main(["train", "--resume", run, "--steps", "5"]) == 0


def test_a_run_with_its_weights_alone(trained, tmp_path, capsys):
    """Neither moments nor logs: what is kept in data/checkpoints. It speaks as before, and training goes on from it."""
    small = tmp_path / "checkpoints" / "small"  # a folder of that name makes no checkpoint of what is in it
    small.parent.mkdir()
    out = json_of(capsys, "convert", trained[1], small, "--json")
    assert (out["family"], out["tokenizer"]) == ("gpt", "char")
    files = sorted(str(path.relative_to(small)) for path in small.rglob("*") if path.is_file())
    assert files == [
        "checkpoints/step-0/hashes.json",
        "checkpoints/step-0/model.safetensors",
        "checkpoints/step-0/state.json",
        "config.toml",
        "tokenizer.json",
    ]
    before, after = minigpt.load(trained[1]), minigpt.load(small)
    assert before.config == after.config and np.array_equal(before.params.flat, after.params.flat)
    assert before.generate("1 plus", max_new_tokens=20) == after.generate("1 plus", max_new_tokens=20)
    assert main(["train", "--resume", str(small), "--steps", "2"]) == 0
    assert not np.array_equal(minigpt.load(small).params.flat, before.params.flat)


def test_without_a_tokenizer_there_is_no_text(error, source, tmp_path):
    run = tmp_path / "run"
    assert main(["convert", str(source), str(run)]) == 0
    assert "this model has no tokenizer" in error("sample", run)
    assert "this model has no tokenizer" in error("eval", run, "--data", run / "config.toml")
    assert "there is no tokenizer file in the folder" in error("train", "--resume", run)
    ids = minigpt.load(run).generate_ids([[5, 6, 7]], max_new_tokens=4)
    assert ids.shape == (1, 7) and ids[0, :3].tolist() == [5, 6, 7]
    (run / "tokenizer.json").write_text('{"minigpt": "byte"}')
    assert minigpt.load(run).tokenizer is None  # one that was put there since is not the model's


def test_converted_runs_are_evaluated_on_a_text_that_is_given(error, source, tmp_path):
    tokenizers.save(ByteTokenizer(), source)
    assert main(["convert", str(source), str(tmp_path / "run")]) == 0
    for model in (tmp_path / "run", source):
        assert f"{model} does not say which text it was trained on: name one to measure it on, as in --data" in error(
            "eval", model
        )


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"model_type": "mixtral"}, "model_type is 'mixtral', but minigpt has only openai-gpt, gpt2"),
        ({"model_type": 0}, "model_type is 0, but minigpt has only"),
        ({"model_type": ["gpt2"]}, "model_type is ['gpt2'], but minigpt has only"),
        ({"n_layer": None}, "the key n_layer is missing"),
        ({"n_layer": "2"}, 'n_layer is "2", but it must be a whole number from 1 to 10000'),
        ({"n_layer": 10**9}, "n_layer is 1000000000, but it must be a whole number from 1 to 10000"),
        ({"n_embd": 0}, "n_embd is 0, but it must be a whole number from 1 to"),
        ({"n_head": 4}, "config.json: model.width 6 is not a multiple of model.heads 4"),
        ({"n_inner": 5}, "h.0.mlp.c_fc.weight has shape (6, 24), but the model needs (6, 5)"),
        ({"layer_norm_epsilon": "small"}, 'layer_norm_epsilon is "small", but it must be a number from 0 on'),
        ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon is NaN, but it must be a number"),
        ({"activation_function": "gelu_10"}, 'activation_function is "gelu_10", but minigpt has only gelu'),
        ({"activation_function": "quick_gelu"}, 'activation_function is "quick_gelu", but minigpt has only gelu'),
        ({"scale_attn_weights": False}, "scale_attn_weights is false, but minigpt can only do true"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is true, but minigpt can only do"),
        ({"add_cross_attention": True}, "add_cross_attention is true, but minigpt can only do false or null"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1, but it must be true or false"),
        ({"pruned_heads": {"0": [1]}}, 'pruned_heads is {"0": [1]}, but minigpt can only do {} or null'),
        ({"attn_pdrop": 0.2}, "attn_pdrop is 0.2, but minigpt has one rate for it and resid_pdrop, which is 0.0"),
        ({"resid_pdrop": 1.5}, "resid_pdrop is 1.5, but it must be a number from 0 on, below 1"),
        ({"hidden_size": 8}, "transformer.wte.weight has shape (300, 6), but the model needs (300, 8)"),
        ({"num_attention_heads": 4}, "model.width 6 is not a multiple of model.heads 4"),
        ({"num_attention_heads": "4"}, 'num_attention_heads is "4", but it must be a whole number'),
        ({"quantization_config": {"bits": 4}}, 'quantization_config is {"bits": 4}, but minigpt can only do null'),
        ({"per_layer_config": {"0": {}}}, 'per_layer_config is {"0": {}}, but minigpt can only do null or {}'),
    ],
)
def test_configurations_that_are_refused_by_name(refused, source, changed, sentence):
    change_config(source, **changed)
    assert f"{source / 'config.json'}: {sentence}" in (said := refused()) or sentence in said


def test_damaged_configurations(refused, source):
    config = source / "config.json"
    for content, sentence in [
        (b"{", "is damaged: it is not valid JSON"),
        (b"[1]", "is damaged: it holds a JSON list, not an object"),
        (b"\xff\xfe", "is not a UTF-8 text"),
        (b"", "is empty"),
    ]:
        config.write_bytes(content)
        assert f"{config} {sentence}" in refused()
    config.unlink()
    assert f"{source} is no model that minigpt reads: neither a run, nor a Hugging Face folder" in refused()
    shutil.rmtree(source)
    assert f"there is nothing at {source}; give a run's folder" in refused()


def test_damaged_weight_files(refused, source):
    weights = source / "model.safetensors"
    content = weights.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    first = dict(header["transformer.wte.weight"])
    for damaged, sentence in [
        (b"", "is empty"),
        (content[:5], "is truncated: it has 5 bytes"),
        (content[: length - 3], "is truncated, or not a safetensors file: a header of"),
        (b"\xff" * 64, "is truncated, or not a safetensors file: a header of"),
        (content[:-4], "is truncated: transformer.ln_f.bias should end 4 bytes after the end"),
        (content + b"\0" * 3, "is damaged: it has 3 bytes after its last tensor"),
    ]:
        weights.write_bytes(damaged)
        assert f"{weights} {sentence}" in refused()
    for changed in (
        [1],
        {"a": 1},
        {"a": {"dtype": "F32", "shape": [1]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
    ):
        write_raw(weights, json.dumps(changed).encode(), data)
        assert "its header cannot be read" in refused()
    for changed in ({"shape": [300, 7]}, {"data_offsets": [4, 7204]}, {"data_offsets": [8, 4]}, {"dtype": "F16"}):
        write_raw(weights, json.dumps({"transformer.wte.weight": first | changed}).encode(), data)
        assert "the place of transformer.wte.weight does not fit" in refused()
    weights.unlink()
    assert "has no weights: neither model.safetensors nor model.safetensors.index.json is there" in refused()
    (source / "pytorch_model.bin").write_bytes(b"pickle")
    said = refused()
    assert "in pytorch_model.bin, a pickle, which can run code and is never opened here" in said
    assert "M.from_pretrained(" in said and "save_pretrained(" in said


BAD = struct.pack("<f", float("inf"))


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda t: t.pop("transformer.wpe.weight"), "GPT2LMHeadModel: it lacks transformer.wpe.weight"),
        (lambda t: t.update(score=("F32", (1,), bytes(4))), "it has score, for which the model has no place"),
        (
            lambda t: t.clear(),
            "it lacks transformer.wte.weight, transformer.wpe.weight, transformer.h.0.ln_1.weight and",
        ),
        (
            lambda t: t.update({"transformer.ln_f.bias": ("F32", (5,), bytes(20))}),
            "transformer.ln_f.bias has shape (5,), but the model needs (6,)",
        ),
        (
            lambda t: t.update({"transformer.ln_f.bias": ("I16", (6,), bytes(12))}),
            "transformer.ln_f.bias is stored as I16; only F64, F32, F16, BF16 are read",
        ),
        (
            lambda t: t.update({"transformer.ln_f.bias": ("F32", (6,), bytes(20) + BAD)}),
            "transformer.ln_f.bias has values that are not finite in float32",
        ),
        (
            lambda t: t.update({"lm_head.weight": ("F32", (300, 6), bytes(7200))}),
            "lm_head.weight differs from transformer.wte.weight, but the model has one tensor for both",
        ),
        (
            lambda t: t.update({"ln_f.bias": ("F32", (6,), bytes(24))}),
            "has the tensor transformer.ln_f.bias twice: as transformer.ln_f.bias and as ln_f.bias",
        ),
    ],
)
def test_tensors_that_do_not_fit(refused, source, change, sentence):
    change_tensors(source, change)
    assert sentence in refused()


def test_damaged_shards(refused, source):
    tensors = read_tensors(source / "model.safetensors")
    (source / "model.safetensors").rename(source / "a.safetensors")
    index = source / "model.safetensors.index.json"
    places = dict.fromkeys(tensors, "a.safetensors")
    for weight_map, sentence in [
        ({}, "is damaged: its weight_map should give the file of every tensor"),
        ({"a": 5}, "is damaged: its weight_map should give the file of every tensor"),
        ({"a": "../a.safetensors"}, "is damaged: its weight_map should give the file of every tensor"),
        ({**places, "x": "b.safetensors"}, "b.safetensors is missing, which model.safetensors.index.json names"),
        ({**places, "x": "a.safetensors"}, "a.safetensors lacks the tensor x, which"),
        ({"transformer.wte.weight": "a.safetensors"}, "a.safetensors has the tensor transformer.wpe.weight, which"),
    ]:
        index.write_text(json.dumps({"weight_map": weight_map}))
        assert sentence in refused()
    index.write_text("{}")
    assert "its weight_map should give" in refused()
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert np.array_equal(minigpt.load(source).params.flat, MODEL.init(seed=1).flat)


def test_tokenizers_that_do_not_fit(refused, error, source, tmp_path):
    (source / "tokenizer.json").write_text("{")
    assert "tokenizer.json is not a tokenizer file, or damaged" in refused()
    tokenizers.save(CharTokenizer(map(chr, range(500))), source)
    assert "the tokenizer does not fit the model: it has 500 tokens, but model.vocab_size is 300" in refused()
    assert "the tokenizer does not fit the model" in refused("--tokenizer", source)
    assert "there is no tokenizer file" in refused("--tokenizer", tmp_path / "nowhere")
    assert main(["convert", str(source), str(tmp_path / "run"), "--tokenizer", "none"]) == 0
    assert minigpt.load(tmp_path / "run").tokenizer is None


def test_special_ids_survive(refused, source, tmp_path):
    file = source / "generation_config.json"
    for content, sentence in [
        ('{"eos_token_id": "x"}', 'eos_token_id is "x", but it must be a token\'s id'),
        ('{"pad_token_id": [1]}', "pad_token_id is [1], but it must be a token's id"),
        ('{"eos_token_id": [3, -1]}', "eos_token_id is [3, -1], but it must be a token's id"),
        ("[]", "generation_config.json is damaged: it holds a JSON list"),
    ]:
        file.write_text(content)
        assert sentence in refused()
    file.write_text('{"eos_token_id": [3, 4], "pad_token_id": 5, "bos_token_id": null, "do_sample": true}')
    assert main(["convert", str(source), str(tmp_path / "run")]) == 0
    assert minigpt.load(tmp_path / "run").ids == {"eos_token_id": [3, 4], "pad_token_id": 5}
    assert main(["convert", str(tmp_path / "run"), str(tmp_path / "back"), "--to", "hf"]) == 0
    assert minigpt.load(tmp_path / "back").ids == {"eos_token_id": [3, 4], "pad_token_id": 5}
    (tmp_path / "back" / "generation_config.json").unlink()
    assert minigpt.load(tmp_path / "back").ids == {"eos_token_id": [3, 4], "pad_token_id": 5}  # from config.json


def test_nothing_is_overwritten(error, source, trained, tmp_path):
    for there in ("file", "folder", "link"):
        path = tmp_path / there
        {"file": path.touch, "folder": path.mkdir, "link": lambda path=path: path.symlink_to("nowhere")}[there]()
        for to in ("run", "hf"):
            assert f"{path} exists already, and nothing is ever overwritten" in error(
                "convert", source, path, "--to", to
            )
    assert "cannot write the folder" in error("convert", source, tmp_path / "file" / "new")
    assert "argument --to: invalid choice: 'onnx'" in error("convert", source, tmp_path / "new", "--to", "onnx")


def test_a_place_that_is_taken_meanwhile(error, source, tmp_path, monkeypatch):
    from minigpt.interop.hf import writing

    right = writing.file_pieces

    def slow(tensors):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "precious").touch()
        return right(tensors)

    monkeypatch.setattr(writing, "file_pieces", slow)
    assert "exists already" in error("convert", source, tmp_path / "new", "--to", "hf")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["precious"]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_models_that_their_classes_cannot_express(error, tmp_path):
    for config, sentence in [
        ({"window": 4}, "GPT2LMHeadModel cannot express this model: it has banded attention (window 4)"),
        (
            {"norm": "post", "activation": "gelu_erf"},
            "OpenAIGPTLMHeadModel cannot express this model: it has the activation",
        ),
    ]:
        model = GPT(GPTConfig(**{"vocab_size": 9, "context": 8, "layers": 2, "heads": 2, "width": 6, **config}))
        with pytest.raises(minigpt.core.errors.UserError) as raised:
            write_model(tmp_path / "hf", model, model.init(), None)
        assert sentence in str(raised.value) and not (tmp_path / "hf").exists()


def test_parts_are_skipped_or_started_anew_only_when_asked(source, tmp_path, refused):
    def change(tensors):
        tensors["head.weight"] = ("F32", (2,), bytes(8))
        del tensors["transformer.ln_f.bias"], tensors["transformer.ln_f.weight"]

    change_tensors(source, change)
    assert "it lacks transformer.ln_f.weight, transformer.ln_f.bias and it has head.weight" in refused()
    assert "it has head.weight" in refused("--fresh", "transformer.ln_f")
    words = ["--fresh", "transformer.ln_f", "--skip", "head"]
    assert main(["convert", str(source), str(tmp_path / "run"), *words]) == 0
    params = minigpt.load(tmp_path / "run").params
    assert (params["final_norm.gain"] == 1).all() and (params["final_norm.bias"] == 0).all()
    assert np.array_equal(params["tokens"], MODEL.init(seed=1)["tokens"])


def test_spellings_of_older_files(source, tmp_path):
    """No prefix, causal masks stored as buffers, the output layer under its own name as well, or only under that."""
    expected = MODEL.init(seed=1).flat

    def hub(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = ("F32", (1, 1, 8, 8), bytes(256))
        tensors["h.1.attn.masked_bias"] = ("F32", (), bytes(4))
        tensors["lm_head.weight"] = tensors["wte.weight"]

    change_tensors(source, hub)
    change_config(source, n_ctx=8, task_specific_params={}, torch_dtype="float32", _name_or_path="x")
    assert np.array_equal(minigpt.load(source).params.flat, expected)
    change_tensors(source, lambda tensors: tensors.pop("wte.weight"))
    assert np.array_equal(minigpt.load(source).params.flat, expected)
