"""GGUF files: unpacked as the package `gguf` does, tokenized and continued as llama.cpp does."""

import dataclasses
import json
import re
import urllib.request

import numpy as np
import pytest

import minigpt
from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.interop.gguf import writing
from minigpt.interop.gguf.header import read_header
from minigpt.interop.gguf.reading import QUANTIZED, read_model
from minigpt.interop.gguf.tokenizer import CUTS, read_tokenizer
from minigpt.interop.gguf.writing import write_model
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig

pytestmark = pytest.mark.parity

STORY = "Tom sat on a mat. He had a red hat, 123 cats and it's 4567 dogs!\n\n\tWhere is Ann?  She isn't there.\n" * 40
ODD = "Ünï çödé 日本語 \r\n\t  'S  DON'T x²½ ١٢٣ 👍🏽 a\u00a0b   \n \n end  "
MODELS = {
    "gpt": GPT(GPTConfig(vocab_size=300, context=64, layers=2, heads=2, width=32)),
    "gpt-untied": GPT(GPTConfig(vocab_size=300, context=64, layers=1, heads=2, width=32, tied=False, feed_forward=64)),
    "gpt-no-bias": GPT(GPTConfig(vocab_size=300, context=64, layers=1, heads=2, width=32, bias=False)),
    "llama": Llama(LlamaConfig(vocab_size=300, context=64, layers=2, heads=4, kv_heads=2, width=32)),
    "llama-tied": Llama(LlamaConfig(vocab_size=300, context=64, layers=1, heads=2, width=32, tied=True, norm_eps=1e-6)),
    "llama-meta": Llama(
        LlamaConfig(vocab_size=300, context=64, layers=1, heads=2, width=32, rope_layout="interleaved")
    ),
    "qwen2": Llama(
        LlamaConfig(
            vocab_size=300, context=64, layers=2, heads=4, kv_heads=2, width=32, tied=True, attention_bias="qkv"
        )
    ),
    "llama-3.1": Llama(LlamaConfig(vocab_size=300, context=64, layers=1, heads=2, width=32, rope_factor=8.0)),
}


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.train("bpe", [STORY], 300, special_tokens=("<|endoftext|>",))


def started(model):
    """A new model's parameters, but no bias of queries, keys and values is zero."""
    params, rng = model.init(seed=1), np.random.default_rng(1)
    for name, x in params.items():
        if name.endswith("qkv.bias"):
            x[...] = 0.2 * rng.standard_normal(x.shape)
    return params


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_is_read_again(name, tokenizer, tmp_path):
    model = MODELS[name]
    params = started(model)
    write_model(tmp_path / "m.gguf", model, params, tokenizer, {"eos_token_id": 299}, "float32")
    loaded = minigpt.load(tmp_path / "m.gguf")
    ids = np.array([tokenizer.encode(STORY)[:50]])
    expected = model.logits(params, ids)
    np.testing.assert_allclose(loaded.model.logits(loaded.params, ids), expected, atol=2e-6)
    assert loaded.tokenizer.encode(STORY) == tokenizer.encode(STORY)
    assert loaded.ids == {"eos_token_id": 299}


@pytest.mark.parametrize("kind", ["F16", "BF16", *QUANTIZED])
def test_numbers_are_unpacked_as_the_package_does(kind, tmp_path):
    """Random bytes as the numbers of each type, finite scales among them."""
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    c = LlamaConfig(vocab_size=256, context=16, layers=1, heads=2, width=256, feed_forward=256, tied=True)
    qtype, rng, path = GGMLQuantizationType[kind], np.random.default_rng(3), tmp_path / "q.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(c.feed_forward)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    expected = {}
    for name, shape in _shapes(c).items():
        if len(shape) == 1:
            expected[name] = rng.standard_normal(shape).astype(np.float32)
            writer.add_tensor(name, expected[name])
            continue
        packed = _packed(rng, shape, qtype)
        expected[name] = packed.astype(np.float32) if kind == "F16" else quants.dequantize(packed, qtype)
        writer.add_tensor(name, packed, raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    _, params = read_model(read_header(path))
    np.testing.assert_array_equal(params["tokens"], expected["token_embd.weight"])
    np.testing.assert_array_equal(params["blocks.0.mlp.down.weight"], expected["blk.0.ffn_down.weight"].T)
    np.testing.assert_array_equal(params["blocks.0.mlp.up.weight"][:, :256], expected["blk.0.ffn_gate.weight"].T)
    q = expected["blk.0.attn_q.weight"].reshape(2, 64, 2, 256).swapaxes(1, 2).reshape(256, 256)  # pairs to halves
    np.testing.assert_array_equal(params["blocks.0.attention.qkv.weight"][:, :256], q.T)


def _shapes(c):
    w = c.width
    names = {
        f"blk.0.{n}.weight": (w, w)
        for n in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    }
    norms = {f"{n}.weight": (w,) for n in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm")}
    return {"token_embd.weight": (c.vocab_size, w)} | names | norms


def _packed(rng, shape, qtype):
    """Rows of a type: quantized by the package where it can, else random bytes with scales that are small."""
    from gguf import GGMLQuantizationType, quants
    from gguf.constants import GGML_QUANT_SIZES

    x = rng.standard_normal(shape).astype(np.float32)
    if qtype == GGMLQuantizationType.F16:
        return x.astype(np.float16)
    try:
        return quants.quantize(x, qtype)
    except NotImplementedError:
        block, size = GGML_QUANT_SIZES[qtype]
        packed = rng.integers(0, 256, (*shape[:-1], shape[-1] // block * size), dtype=np.uint8)
        packed.view(np.uint16)[...] &= 0xBBFF  # no half is infinite or NaN
        return packed


@pytest.fixture
def llama_cpp():
    """llama.cpp with a file: start(path) gives a function that asks its server."""
    from xllamacpp import CommonParams, Server

    running = []

    def start(path):
        params = CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.n_gpu_layers, params.warmup = 64, 1, 0, False
        params.cpuparams.n_threads = 1
        running.append(Server(params))

        def ask(what, **values):
            url = f"{running[-1].listening_address}/{what}"
            request = urllib.request.Request(url, json.dumps(values).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.load(answer)

        return ask

    yield start
    running.clear()


@pytest.mark.parametrize("name", ["gpt", "gpt-no-bias", "llama", "llama-3.1", "qwen2"])
def test_llama_cpp_goes_on_with_the_same_tokens(name, tokenizer, llama_cpp, tmp_path):
    model = MODELS[name]
    params = started(model)
    params.flat[...] *= 4  # so that the most probable token is clearly so
    write_model(tmp_path / "m.gguf", model, params, tokenizer, {"eos_token_id": 299})
    ours, ask = minigpt.load(tmp_path / "m.gguf"), llama_cpp(tmp_path / "m.gguf")
    assert ask("tokenize", content=STORY)["tokens"] == tokenizer.encode(STORY)
    prompt = tokenizer.encode("Tom had a cat")
    ids = ours.generate_ids(np.array([prompt]), max_new_tokens=20, eos_token_id=())[0, len(prompt) :]
    greedy = {"n_predict": 20, "temperature": 0.0, "ignore_eos": True, "return_tokens": True}
    assert ask("completion", prompt=prompt, **greedy)["tokens"] == ids.tolist()


@pytest.mark.parametrize("pre", CUTS)
def test_words_are_cut_as_llama_cpp_cuts_them(pre, tokenizer, llama_cpp, tmp_path, monkeypatch):
    """Byte-level BPE of one vocabulary under every name that we know; and SentencePiece below."""
    monkeypatch.setattr(writing, "PATTERNS", {tokenizer.pattern: pre})
    model = MODELS["gpt"]
    write_model(tmp_path / "m.gguf", model, model.init(), tokenizer, {"eos_token_id": 299})
    ours, ask = minigpt.load(tmp_path / "m.gguf"), llama_cpp(tmp_path / "m.gguf")
    for text in (STORY, ODD):
        theirs = ask("tokenize", content=text, add_special=False)["tokens"]
        assert ours.tokenizer.encode(text) == theirs


def test_sentencepiece_as_llama_cpp_has_it(llama_cpp, tmp_path):
    import sentencepiece

    (tmp_path / "story.txt").write_text(STORY)
    options = {"model_type": "bpe", "vocab_size": 330, "byte_fallback": True, "normalization_rule_name": "identity"}
    options |= {"remove_extra_whitespaces": False, "minloglevel": 2, "hard_vocab_limit": False}
    prefix = str(tmp_path / "sp")
    sentencepiece.SentencePieceTrainer.train(input=str(tmp_path / "story.txt"), model_prefix=prefix, **options)
    tokenizer = tokenizers.load(tmp_path / "sp.model")
    model = Llama(dataclasses.replace(MODELS["llama"].config, vocab_size=tokenizer.vocab_size))
    write_model(tmp_path / "m.gguf", model, model.init(), tokenizer, {"bos_token_id": 1, "eos_token_id": 2})
    ours, ask = minigpt.load(tmp_path / "m.gguf"), llama_cpp(tmp_path / "m.gguf")
    for text in (STORY, ODD, " two  spaces"):
        assert ours.tokenizer.encode(text) == ask("tokenize", content=text, add_special=False)["tokens"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"general.architecture": "mamba"}, "general.architecture is 'mamba'"),
        ({"llama.expert_count": 8}, "expert_count is 8"),
        ({"llama.rope.scaling.type": "yarn"}, 'rope.scaling.type is "yarn"'),
        ({"llama.attention.sliding_window": 4}, "asks for what minigpt does not do: attention.sliding_window"),
        ({"llama.block_count": -1}, "block_count is -1"),
        ({"llama.rope.dimension_count": 4}, "rope.dimension_count is 4"),
        ({"llama.context_length": None}, "the key context_length is missing"),
        ({"tokenizer.ggml.pre": "unheard-of"}, "tokenizer.ggml.pre is 'unheard-of'"),
        ({"tokenizer.ggml.model": "bert"}, "tokenizer.ggml.model is 'bert'"),
        ({"tokenizer.ggml.tokens": [1]}, "its tokenizer is damaged"),
        ({"tokenizer.ggml.tokens": "a"}, "its tokenizer is damaged"),
        ({"tokenizer.ggml.token_type": [3] * 9999}, "its tokenizer is damaged"),
        ({"general.architecture": ["llama"]}, "general.architecture is ['llama']"),
    ],
)
def test_what_is_not_computed_is_refused(change, said, tokenizer, tmp_path):
    model = MODELS["llama"]
    write_model(tmp_path / "m.gguf", model, model.init(), tokenizer, {})
    header = read_header(tmp_path / "m.gguf")
    values = {k: v for k, v in (header.metadata | change).items() if v is not None}
    with pytest.raises(UserError, match=re.escape(said)):
        read_model(header._replace(metadata=values))
        read_tokenizer(header._replace(metadata=values))


def test_a_file_that_is_cut_anywhere_is_refused(tokenizer, tmp_path):
    model = MODELS["llama-tied"]
    write_model(tmp_path / "m.gguf", model, model.init(), tokenizer, {})
    whole = (tmp_path / "m.gguf").read_bytes()
    for stop in [*range(0, 200, 7), *range(200, len(whole) - 32, len(whole) // 40)]:
        (tmp_path / "cut.gguf").write_bytes(whole[:stop])
        with pytest.raises(UserError):
            minigpt.load(tmp_path / "cut.gguf")


@pytest.fixture(scope="module")
def llama_tiny(tmp_path_factory):
    """A run of the preset, short, on the story above."""
    folder = tmp_path_factory.mktemp("llama")
    (folder / "story.txt").write_text(STORY)
    settings = ("data.tokenizer=bpe:320", "model.context=64", "train.eval_every=30", "objective.end_of_text=true")
    sets = [word for setting in settings for word in ("--set", setting)]
    words = ["train", "llama-tiny", "--data", str(folder / "story.txt"), "--steps", "30", "--out", str(folder / "run")]
    assert main([*words, *sets]) == 0
    return folder / "run"


@pytest.mark.parametrize("run", ["tiny", "llama-tiny"])
@pytest.mark.parametrize("to", ["gguf-f32", "gguf"])
def test_a_run_of_ours_is_continued_by_llama_cpp(to, run, request, llama_cpp, tmp_path, capsys):
    """The stored model, as a newcomer would hand it on, up to its end of text; and back as a run."""
    file, source = tmp_path / "tiny.gguf", "data/checkpoints/tiny"
    source = source if run == "tiny" else str(request.getfixturevalue("llama_tiny"))
    assert main(["convert", source, str(file), "--to", to]) == 0
    assert main(["sample", str(file), "--prompt", "The", "--tokens", "5", "--json"]) == 0
    assert main(["convert", str(file), str(tmp_path / "run")]) == 0
    ours, ask = minigpt.load(file), llama_cpp(file)
    for prompt in ("Tom went to the park. He", "The dog", "Once there was a"):
        prompt = ours.tokenizer.encode(prompt)
        ids = ours.generate_ids(np.array([prompt]), max_new_tokens=40, eos_token_id=0)[0, len(prompt) :]
        theirs = ask("completion", prompt=prompt, n_predict=40, temperature=0.0, return_tokens=True)["tokens"]
        assert theirs[: len(ids)] == ids.tolist()
