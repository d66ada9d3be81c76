"""Valid files of every format, small and made by our own code: what is damaged."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minigpt import tokenizers
from minigpt.interop import llama2c
from minigpt.interop.gguf.writing import write_model as write_gguf
from minigpt.interop.hf import to_state_dict
from minigpt.interop.hf.writing import write_model
from minigpt.models import BART, GPT, BARTConfig, Bert, BertConfig, GPTConfig, Llama, LlamaConfig
from minigpt.tokenizers import ByteBPE, SentencePieceBPE
from minigpt.tokenizers.byte_alphabet import GPT2_ORDER

from ..tokenizers.test_pipeline import charsmap
from ..tokenizers.test_sentencepiece import model_file
from ..tokenizers.texts import little_llama, write_tiktoken, write_tokenizer_bin

Files = dict[str, bytes]
TEXT = "The cat's hat isn't new: café, 12 times.\n\nThe dog has a hat, too; “so it goes”.\n" * 3


def as_json(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False).encode("utf-8")


def files_of(write: Callable[[Path], object]) -> Files:
    """What `write` puts into a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@cache
def byte_bpe() -> ByteBPE:
    return tokenizers.train("bpe", iter([TEXT]), 290, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])


@cache
def word_piece() -> tokenizers.WordPiece:
    return tokenizers.train("wordpiece", iter([TEXT]), 100)


@cache
def gpt_bpe() -> tokenizers.GPTBPE:
    return tokenizers.train("gpt", iter([TEXT]), 120)


def saved(tokenizer: Any) -> Files:
    return {"tokenizer.json": as_json(tokenizer.to_json())}


def pipeline(model: Mapping[str, Any], **parts: Any) -> Files:
    """A tokenizer.json of steps that none of our classes is made for."""
    return {"tokenizer.json": as_json({"added_tokens": ADDED, "model": model, **parts})}


ADDED = [
    {
        "id": 0,
        "content": "<unk>",
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    },
    {
        "id": 1,
        "content": "hat",
        "single_word": True,
        "lstrip": True,
        "rstrip": True,
        "normalized": True,
        "special": False,
    },
]
LETTERS = ["<unk>", "hat", "▁", "t", "h", "e", "c", "a", "▁t", "he", "▁the", "cat", "##s", "n", "w", "<0x0A>", "é"]
VOCAB = {piece: i for i, piece in enumerate(LETTERS)}
STEPS = {
    "normalizer": {
        "type": "Sequence",
        "normalizers": [
            *({"type": name} for name in ("NFD", "NFKC", "Lowercase", "StripAccents", "Nmt")),
            {"type": "Strip", "strip_left": True, "strip_right": False},
            {"type": "Replace", "pattern": {"Regex": r" {2,}|\s+$"}, "content": " "},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap()).decode()},
            {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
        ],
    },
    "pre_tokenizer": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|\s+(?!\S)"}}
            | {"behavior": "MergedWithNext", "invert": False},
            {"type": "Digits", "individual_digits": True},
            {"type": "Punctuation", "behavior": "Isolated"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True},
            {"type": "CharDelimiterSplit", "delimiter": "-"},
            {"type": "FixedLength", "length": 40},
            *({"type": name} for name in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer")),
        ],
    },
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<unk>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<unk>": {"id": "<unk>", "ids": [0], "tokens": ["<unk>"]}},
    },
    "decoder": {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
            {"type": "WordPiece", "prefix": "##", "cleanup": True},
            {"type": "BPEDecoder", "suffix": "</w>"},
            *({"type": name} for name in ("ByteFallback", "Fuse")),
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    },
}
MERGES = [["▁", "t"], ["h", "e"], ["▁t", "he"]]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def bpe_steps() -> Files:
    options = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "dropout": None}
    options |= {"continuing_subword_prefix": None, "end_of_word_suffix": None}
    return pipeline({"type": "BPE", "vocab": VOCAB, "merges": MERGES, **options}, **STEPS)


def unigram_steps() -> Files:
    vocab = [[piece, -float(i)] for i, piece in enumerate(LETTERS)]
    return pipeline({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False}, **STEPS)


def word_steps() -> Files:
    """Byte-level steps around a list of words."""
    model = {"type": "WordLevel", "vocab": VOCAB | {"Ġhat": 17}, "unk_token": "<unk>"}
    parts = {"normalizer": {"type": "ByteLevel"}, "pre_tokenizer": BYTE_LEVEL, "decoder": {"type": "ByteLevel"}}
    processor = {"type": "RobertaProcessing", "sep": ["hat", 1], "cls": ["<unk>", 0], "trim_offsets": True}
    return pipeline(model, **parts, post_processor=processor | {"add_prefix_space": True})


def gpt2_vocabulary() -> Files:
    merges = [("h", "e"), ("t", "he"), ("Ġ", "the"), ("a", "t")]
    vocab = {s: i for i, s in enumerate([*GPT2_ORDER, *(a + b for a, b in merges), "<|endoftext|>"])}
    lines = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)
    return {"vocab.json": as_json(vocab), "merges.txt": lines.encode()}


def gpt_vocabulary() -> Files:
    """GPT's own two files."""
    found = gpt_bpe()
    lines = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in found.merges)
    return {"encoder_bpe_40000.json": as_json(found.vocab), "vocab_40000.bpe": lines.encode()}


def bert_vocabulary() -> Files:
    settings = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True, "do_basic_tokenize": True}
    words = "\n".join(word_piece().vocab) + "\n"
    return {"vocab.txt": words.encode("utf-8"), "tokenizer_config.json": as_json(settings | {"cls_token": "[CLS]"})}


def ranks() -> Files:
    plain = tokenizers.train("bpe", iter([TEXT]), 270)
    return {"ranks.tiktoken": write_tiktoken(plain).encode()}


def sentencepiece(model_type: int) -> Files:
    return {"tokenizer.model": model_file(little_llama(), model_type=model_type, charsmap=charsmap())}


def hugging_face(model: Any, tokenizer: Any, **more: Any) -> Files:
    """A folder as AutoModel and AutoTokenizer expect it, with every file that we read."""
    found = files_of(lambda folder: write_model(folder / "m", model, model.init(seed=1), tokenizer))
    found = {name.removeprefix("m/"): data for name, data in found.items()}
    settings = json.loads(found["generation_config.json"]) | GENERATION | more
    return found | {"generation_config.json": as_json(settings)}


GENERATION = {
    **{
        "do_sample": True,
        "temperature": 0.7,
        "top_k": 5,
        "top_p": 0.9,
        "min_p": 0.01,
        "typical_p": 0.95,
        "max_new_tokens": 3,
    },
    **{"repetition_penalty": 1.1, "no_repeat_ngram_size": 3, "bad_words_ids": [[1, 2]], "suppress_tokens": [4]},
    **{"sequence_bias": [[[1], 0.5]], "exponential_decay_length_penalty": [2, 1.1], "epsilon_cutoff": 0.001},
}


def gpt2_folder() -> Files:
    model = GPT(GPTConfig(vocab_size=290, context=16, layers=1, heads=2, width=4))
    return hugging_face(model, byte_bpe())


def llama_folder() -> Files:
    vocabulary = little_llama()
    scaled = {"rope_factor": 8.0, "rope_low": 1.0, "rope_high": 4.0, "rope_context": 8}
    c = LlamaConfig(
        len(vocabulary.pieces), context=16, layers=1, heads=2, kv_heads=1, width=8, feed_forward=6, **scaled
    )
    return hugging_face(Llama(c), SentencePieceBPE(vocabulary))


def bert_folder() -> Files:
    model = Bert(BertConfig(vocab_size=word_piece().vocab_size, context=16, layers=1, heads=2, width=4, feed_forward=6))
    return hugging_face(model, word_piece())


def bart_folder() -> Files:
    c = BARTConfig(vocab_size=290, context=16, encoder_layers=1, decoder_layers=1, heads=2, width=4, feed_forward=6)
    return hugging_face(BART(c), byte_bpe(), num_beams=2, do_sample=False, early_stopping=True, length_penalty=2.0)


def shards() -> Files:
    """A GPT-2 whose weights lie in two files."""
    files = gpt2_folder()
    header_length = int.from_bytes(files["model.safetensors"][:8], "little")
    header = json.loads(files["model.safetensors"][8 : 8 + header_length])
    data = files.pop("model.safetensors")[8 + header_length :]
    header.pop("__metadata__", None)
    names, places = sorted(header), {}
    for n, part in enumerate((names[::2], names[1::2])):
        entries, body = {}, b""
        for name in part:
            piece = data[slice(*header[name]["data_offsets"])]
            entries[name] = header[name] | {"data_offsets": [len(body), len(body) + len(piece)]}
            body += piece
        text = as_json(entries)
        files[f"model-{n}.safetensors"] = len(text).to_bytes(8, "little") + text + body
        places |= dict.fromkeys(part, f"model-{n}.safetensors")
    return files | {"model.safetensors.index.json": as_json({"metadata": {"total_size": 1}, "weight_map": places})}


def released_arrays() -> Files:
    """GPT's arrays as they were released, of one layer."""
    model = GPT(GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=64, norm="post"))
    theirs = to_state_dict(model, model.init(seed=1))
    block = ("attn.c_attn", "attn.c_proj", "ln_1", "mlp.c_fc", "mlp.c_proj", "ln_2")
    names = ["positions_embed.weight", "tokens_embed.weight"]
    names += [f"h.0.{name}.{part}" for name in block for part in ("weight", "bias")]
    arrays = [theirs[f"transformer.{name}"] for name in names]
    arrays = [x[None] if x.ndim == 2 and n > 1 else x for n, x in enumerate(arrays)]

    def write(folder: Path) -> None:
        for n, part in enumerate(np.array_split(np.concatenate([x.ravel() for x in arrays]), 2)):
            np.save(folder / f"params_{n}.npy", part)

    return files_of(write) | {"params_shapes.json": as_json([x.shape for x in arrays])}


def gguf_file() -> Files:
    vocabulary = little_llama()
    sizes = {"context": 6, "layers": 1, "heads": 2, "kv_heads": 1, "width": 8, "feed_forward": 6}
    model = Llama(LlamaConfig(len(vocabulary.pieces), **sizes, tied=True, scaled_residual_init=False))
    tokenizer, ids = SentencePieceBPE(vocabulary), {"bos_token_id": 1, "eos_token_id": 2}
    return files_of(lambda d: write_gguf(d / "model.gguf", model, model.init(seed=1), tokenizer, ids))


CHAT = """{%- set ns = namespace(first=true) -%}{% for m in messages %}{% if m['role'] == 'system' and not loop.first %}
{{ raise_exception('system in the middle') }}{% endif %}{{ bos_token + '<|' ~ m.role ~ '|>' + m.content | trim }}
{%- set ns.first = false %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""


def chat_folder() -> Files:
    """What a chat template needs of a model's folder."""
    settings = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "tokenizer_class": "LlamaTokenizer"}
    return {"chat_template.jinja": CHAT.encode(), "tokenizer_config.json": as_json(settings)}


def llama2c_files() -> Files:
    vocabulary = little_llama()
    sizes = {"context": 6, "layers": 1, "heads": 2, "kv_heads": 1, "width": 8, "feed_forward": 6}
    model = Llama(LlamaConfig(len(vocabulary.pieces), **sizes, tied=True, scaled_residual_init=False))
    found = files_of(lambda folder: llama2c.write_model(folder / "model.bin", model, model.init(seed=1)))
    return found | {"tokenizer.bin": write_tokenizer_bin(vocabulary)}
