"""Configurations as they are published are read, at their true sizes, and the keys that mean nothing are named."""

import json
import warnings

import pytest

from minigpt.core.errors import UserNotice
from minigpt.interop.hf.reading import read_config

from .published_configs import PUBLISHED

TENSORS = {  # what tells the classes apart
    "GPT2LMHeadModel": ["wte.weight"],
    "OpenAIGPTLMHeadModel": ["tokens_embed.weight"],
    "BertForPreTraining": [
        *("bert.embeddings.word_embeddings.weight", "bert.pooler.dense.weight", "cls.predictions.bias"),
    ],
    "BertModel": ["embeddings.word_embeddings.weight", "pooler.dense.weight"],
    "BartForConditionalGeneration": ["final_logits_bias"],
    "BartForSequenceClassification": ["classification_head.out_proj.weight"],
    "LlamaForCausalLM": ["model.embed_tokens.weight", "lm_head.weight"],
    "MistralForCausalLM": ["model.embed_tokens.weight", "lm_head.weight"],
    "Qwen2ForCausalLM": ["model.embed_tokens.weight", "lm_head.weight"],
    "GPTNeoForCausalLM": ["transformer.wte.weight"],
    "RobertaForMaskedLM": ["roberta.embeddings.word_embeddings.weight", "lm_head.bias"],
    "RobertaModel": ["embeddings.word_embeddings.weight", "pooler.dense.weight"],
    "DistilBertForMaskedLM": ["distilbert.embeddings.word_embeddings.weight", "vocab_projector.bias"],
    "DistilBertForSequenceClassification": ["distilbert.embeddings.word_embeddings.weight", "classifier.weight"],
}
# The keys that the class of transformers 5.23 does not read and that no older one wrote; where none is given, none.
UNKNOWN = {
    "bert-base-multilingual-cased": "directionality, pooler_fc_size, pooler_num_attention_heads, "
    "pooler_num_fc_layers, pooler_size_per_head, pooler_type",
    "sshleifer/distilbart-cnn-12-6": "replacing_rate, student_decoder_layers, student_encoder_layers, save_step",
    "huggyllama/llama-7b": "max_sequence_length",
    "decapoda-research/llama-7b-hf": "max_sequence_length",
    "unsloth/Llama-3.2-1B-Instruct": "unsloth_fixed",
    "HuggingFaceTB/SmolLM2-135M": "is_llama_config, rope_interleaved",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "is_llama_config, rope_interleaved, transformers.js_config",
    "llama, with keys of other families": "sliding_window, use_sliding_window, layer_types",
}
PARAMETERS = {  # as transformers 5.23 counts them, in models without weights
    "EleutherAI/gpt-neo-125m": 125_198_592,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "roberta-base": 124_697_433,
    "sentence-transformers/all-distilroberta-v1": 82_118_400,
    "distilbert-base-uncased": 66_985_530,
}
SIZES = {  # layers, width and feed-forward width, as their documentation says
    "gpt2-xl": (48, 1600, 6400),
    "openai-gpt": (12, 768, 3072),
    "prajjwal1/bert-tiny": (2, 128, 512),
    "meta-llama/Llama-3.2-1B": (16, 2048, 8192),
    "HuggingFaceTB/SmolLM2-135M": (30, 576, 1536),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_configuration_is_read(name, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(PUBLISHED[name].config))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        _, model = read_config(path, lambda: TENSORS[PUBLISHED[name].architecture])
    assert [str(w.message).rsplit(": ", 1)[1] for w in said] == ([UNKNOWN[name]] if name in UNKNOWN else [])
    assert all(w.category is UserNotice for w in said)
    c = model.config
    if name in SIZES:
        assert (c.layers, c.width, c.feed_forward) == SIZES[name]
    assert model.parameter_count == PARAMETERS.get(name, model.parameter_count)


def test_there_are_enough_of_every_family():
    kinds = [p.architecture for p in PUBLISHED.values()]
    assert len(kinds) >= 25
    assert {kind: kinds.count(kind) for kind in kinds}.keys() == TENSORS.keys()
