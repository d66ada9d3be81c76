"""Configurations as they are published, every odd key kept, from several generations of transformers.

Key names and values are facts about files on the Hub, written down from documentation and from the files' own text.
`small` shrinks only sizes, so that a test can make such a model: width, layers, heads (their ratio to key-value heads
kept), vocabulary and context; and ids that would then lie beyond the vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

VOCAB, CONTEXT = 97, 40


class Published(NamedTuple):
    """A configuration, and the class of transformers whose weights lie beside it."""

    architecture: str
    config: dict[str, Any]


GPT2_TASK = {"text-generation": {"do_sample": True, "max_length": 50}}
SUMMARY = {
    **{"summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True},
    **{"summary_type": "cls_index", "summary_use_proj": True},
}


def _gpt2(width: int, layers: int, heads: int, **more: Any) -> Published:
    config = {
        **{"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1},
        **{"bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02},
        **{"layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": width, "n_head": heads},
        **{"n_layer": layers, "n_positions": 1024, "resid_pdrop": 0.1, **SUMMARY, "vocab_size": 50257},
        "task_specific_params": GPT2_TASK,
    }
    return Published("GPT2LMHeadModel", config | more)


def _bert(width: int, layers: int, heads: int, vocab: int, **more: Any) -> dict[str, Any]:
    return {
        **{"attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1},
        **{"hidden_size": width, "initializer_range": 0.02, "intermediate_size": 4 * width},
        **{"max_position_embeddings": 512, "num_attention_heads": heads, "num_hidden_layers": layers},
        **{"type_vocab_size": 2, "vocab_size": vocab},
        **more,
    }


def _bart(width: int, layers: tuple[int, int], heads: int, vocab: int, **more: Any) -> dict[str, Any]:
    return {
        **{"_num_labels": 3, "activation_dropout": 0.1, "activation_function": "gelu", "add_bias_logits": False},
        **{"add_final_layer_norm": False, "attention_dropout": 0.1, "bos_token_id": 0, "classif_dropout": 0.1},
        **{"classifier_dropout": 0.0, "d_model": width, "decoder_attention_heads": heads},
        **{"decoder_ffn_dim": 4 * width, "decoder_layerdrop": 0.0, "decoder_layers": layers[1]},
        **{"decoder_start_token_id": 2, "dropout": 0.1, "early_stopping": True, "encoder_attention_heads": heads},
        **{"encoder_ffn_dim": 4 * width, "encoder_layerdrop": 0.0, "encoder_layers": layers[0], "eos_token_id": 2},
        **{"forced_eos_token_id": 2, "gradient_checkpointing": False, "init_std": 0.02, "is_encoder_decoder": True},
        **{"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, "max_position_embeddings": 1024},
        **{"label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}, "model_type": "bart", "no_repeat_ngram_size": 3},
        **{"normalize_before": False, "normalize_embedding": True, "num_beams": 4, "num_hidden_layers": layers[0]},
        **{"pad_token_id": 1, "scale_embedding": False, "use_cache": True, "vocab_size": vocab},
        **more,
    }


def _llama(width: int, inner: int, layers: int, heads: int, vocab: int, **more: Any) -> dict[str, Any]:
    return {
        **{"architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu"},
        **{"hidden_size": width, "initializer_range": 0.02, "intermediate_size": inner, "model_type": "llama"},
        **{"num_attention_heads": heads, "num_hidden_layers": layers, "vocab_size": vocab, "use_cache": True},
        **more,
    }


def _causal_llama(*sizes: int, **more: Any) -> Published:
    return Published("LlamaForCausalLM", _llama(*sizes, **more))


def _neo(width: int, layers: int, heads: int, **more: Any) -> Published:
    config = {
        **{"activation_function": "gelu_new", "architectures": ["GPTNeoForCausalLM"], "attention_dropout": 0},
        **{"attention_layers": ["global", "local"] * (layers // 2), "bos_token_id": 50256, "embed_dropout": 0},
        **{"attention_types": [[["global", "local"], layers // 2]], "eos_token_id": 50256, "hidden_size": width},
        **{"gradient_checkpointing": False, "initializer_range": 0.02, "intermediate_size": None, **SUMMARY},
        **{"layer_norm_epsilon": 1e-05, "max_position_embeddings": 2048, "model_type": "gpt_neo", "num_heads": heads},
        **{"num_layers": layers, "resid_dropout": 0, "use_cache": True, "vocab_size": 50257, "window_size": 256},
    }
    return Published("GPTNeoForCausalLM", config | more)


def _mistral(vocab: int, **more: Any) -> Published:
    config = {
        **{"architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu"},
        **{"hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336, "model_type": "mistral"},
        **{"max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32},
        **{"num_key_value_heads": 8, "rms_norm_eps": 1e-05, "tie_word_embeddings": False, "torch_dtype": "bfloat16"},
        **{"use_cache": True, "vocab_size": vocab},
    }
    return Published("MistralForCausalLM", config | more)


def _qwen2(width: int, inner: int, layers: int, heads: tuple[int, int], **more: Any) -> Published:
    config = {
        **{"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643},
        **{"eos_token_id": 151645, "hidden_act": "silu", "hidden_size": width, "initializer_range": 0.02},
        **{"intermediate_size": inner, "max_position_embeddings": 32768, "max_window_layers": layers},
        **{"model_type": "qwen2", "num_attention_heads": heads[0], "num_hidden_layers": layers},
        **{"num_key_value_heads": heads[1], "rms_norm_eps": 1e-06, "rope_theta": 1000000.0},
        **{"tie_word_embeddings": True, "torch_dtype": "bfloat16", "transformers_version": "4.41.2"},
        **{"use_cache": True, "use_sliding_window": False, "vocab_size": 151936, "sliding_window": 32768},
    }
    return Published("Qwen2ForCausalLM", config | more)


def _roberta(architecture: str, layers: int, **more: Any) -> Published:
    config = _bert(768, layers, 12, 50265, architectures=[architecture], model_type="roberta", bos_token_id=0)
    config |= {"eos_token_id": 2, "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "pad_token_id": 1}
    return Published(architecture, config | {"type_vocab_size": 1} | more)


def _distilbert(architecture: str, **more: Any) -> Published:
    config = {
        **{"activation": "gelu", "architectures": [architecture], "attention_dropout": 0.1, "dim": 768},
        **{"dropout": 0.1, "hidden_dim": 3072, "initializer_range": 0.02, "max_position_embeddings": 512},
        **{"model_type": "distilbert", "n_heads": 12, "n_layers": 6, "pad_token_id": 0, "qa_dropout": 0.1},
        **{"seq_classif_dropout": 0.2, "sinusoidal_pos_embds": False, "tie_weights_": True, "vocab_size": 30522},
    }
    return Published(architecture, config | more)


LLAMA3_ROPE = {
    **{"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0},
    **{"original_max_position_embeddings": 8192, "rope_type": "llama3"},
}
LLAMA3 = {
    **{"attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": 128001},
    **{"max_position_embeddings": 8192, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05},
    **{"rope_scaling": None, "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16"},
}
SMOLLM2 = {
    **{"attention_bias": False, "attention_dropout": 0.0, "head_dim": 64, "is_llama_config": True},
    **{"max_position_embeddings": 8192, "mlp_bias": False, "num_key_value_heads": 3, "pad_token_id": None},
    **{"pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None},
    **{"rope_theta": 100000, "tie_word_embeddings": True, "torch_dtype": "bfloat16"},
}
LLAMA2 = {
    **{"max_position_embeddings": 4096, "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-05},
    **{"rope_scaling": None, "tie_word_embeddings": False, "torch_dtype": "float16"},
}
MULTILINGUAL = {
    **{"directionality": "bidi", "pad_token_id": 0, "pooler_fc_size": 768, "pooler_num_attention_heads": 12},
    **{"pooler_num_fc_layers": 3, "pooler_size_per_head": 128, "pooler_type": "first_token_transform"},
}
DISTILBART = {
    **{"extra_pos_embeddings": 2, "force_bos_token_to_be_generated": True, "length_penalty": 2.0},
    **{"max_length": 142, "min_length": 56, "replacing_rate": 0, "static_position_embeddings": False},
    **{"student_decoder_layers": None, "student_encoder_layers": None, "save_step": 22, "output_past": True},
    **{"prefix": " ", "return_dict": True, "eos_token_ids": [2], "vocab_size": 50264},
}

PUBLISHED: dict[str, Published] = {
    "gpt2": _gpt2(768, 12, 12),
    "gpt2-medium": _gpt2(1024, 24, 16, n_special=0, predict_special_tokens=True),
    "gpt2-large": _gpt2(1280, 36, 20),
    "gpt2-xl": _gpt2(1600, 48, 25, output_past=True),
    "distilgpt2": _gpt2(
        768, 6, 12, _num_labels=1, id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0}, n_inner=None, model_type="gpt2"
    ),
    "microsoft/DialoGPT-small": _gpt2(768, 12, 12, task_specific_params={"conversational": {"max_length": 1000}}),
    "gpt2, written by transformers 4.40": _gpt2(
        **{"width": 768, "layers": 12, "heads": 12, "n_inner": None, "reorder_and_upcast_attn": False},
        **{"scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True, "torch_dtype": "float32"},
        **{"transformers_version": "4.40.1", "use_cache": True, "_name_or_path": "gpt2"},
    ),
    "gpt2, written by transformers 5": _gpt2(
        **{"width": 768, "layers": 12, "heads": 12, "n_inner": None, "add_cross_attention": False, "dtype": "float32"},
        **{"pad_token_id": None, "tie_word_embeddings": True, "transformers_version": "5.23.0", "use_cache": True},
        **{"reorder_and_upcast_attn": False, "scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True},
    ),
    "openai-gpt": Published(
        "OpenAIGPTLMHeadModel",
        {
            **{"afn": "gelu", "architectures": ["OpenAIGPTLMHeadModel"], "attn_pdrop": 0.1, "embd_pdrop": 0.1},
            **{"initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "openai-gpt", "n_ctx": 512},
            **{"n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 512, "n_special": 0, "resid_pdrop": 0.1},
            **{"predict_special_tokens": True, **SUMMARY, "vocab_size": 40478},
            "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        },
    ),
    "bert-base-uncased": Published(
        "BertForPreTraining",
        _bert(
            **{"width": 768, "layers": 12, "heads": 12, "vocab": 30522, "architectures": ["BertForMaskedLM"]},
            **{"gradient_checkpointing": False, "layer_norm_eps": 1e-12, "model_type": "bert", "pad_token_id": 0},
            **{"position_embedding_type": "absolute", "transformers_version": "4.6.0.dev0", "use_cache": True},
        ),
    ),
    "bert-base-cased": Published(
        "BertForPreTraining",
        _bert(768, 12, 12, 28996, architectures=["BertForMaskedLM"], model_type="bert", pad_token_id=0),
    ),
    "bert-large-uncased": Published(
        "BertForPreTraining",
        _bert(1024, 24, 16, 30522, architectures=["BertForMaskedLM"], model_type="bert", use_cache=True),
    ),
    "bert-base-multilingual-cased": Published(
        "BertForPreTraining",
        _bert(768, 12, 12, 119547, architectures=["BertForMaskedLM"], model_type="bert", **MULTILINGUAL),
    ),
    "sentence-transformers/all-MiniLM-L6-v2": Published(
        "BertModel",
        _bert(
            **{"width": 384, "layers": 6, "heads": 12, "vocab": 30522, "architectures": ["BertModel"]},
            **{"_name_or_path": "nreimers/MiniLM-L6-H384-uncased", "gradient_checkpointing": False},
            **{"layer_norm_eps": 1e-12, "model_type": "bert", "pad_token_id": 0, "use_cache": True},
            **{"position_embedding_type": "absolute", "transformers_version": "4.8.2"},
        ),
    ),
    "prajjwal1/bert-tiny": Published("BertForPreTraining", _bert(128, 2, 2, 30522)),  # not even a model_type
    "EleutherAI/gpt-neo-125m": _neo(768, 12, 12),
    "roneneldan/TinyStories-8M": _neo(256, 8, 16, torch_dtype="float32", transformers_version="4.28.1"),
    "mistralai/Mistral-7B-v0.1": _mistral(32000, rope_theta=10000.0, sliding_window=4096),
    "mistralai/Mistral-7B-Instruct-v0.2": _mistral(
        32000, rope_theta=1000000.0, sliding_window=None, attention_dropout=0.0, transformers_version="4.36.0"
    ),
    "Qwen/Qwen2.5-0.5B": _qwen2(896, 4864, 24, (14, 2)),
    "Qwen/Qwen2-7B-Instruct": _qwen2(
        3584, 18944, 28, (28, 4), tie_word_embeddings=False, vocab_size=152064, sliding_window=131072
    ),
    "qwen2, written by transformers 5": _qwen2(
        **{"width": 896, "inner": 4864, "layers": 24, "heads": (14, 2), "use_sliding_window": True},
        **{"sliding_window": 4, "layer_types": ["full_attention", "sliding_attention"] * 12, "pad_token_id": None},
        **{"rope_theta": None, "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}},
    ),
    "roberta-base": _roberta("RobertaForMaskedLM", 12),
    "distilroberta-base": _roberta("RobertaForMaskedLM", 6),
    "sentence-transformers/all-distilroberta-v1": _roberta(
        **{"architecture": "RobertaModel", "layers": 6, "_name_or_path": "distilroberta-base", "use_cache": True},
        **{"gradient_checkpointing": False, "position_embedding_type": "absolute", "transformers_version": "4.8.2"},
    ),
    "distilbert-base-uncased": _distilbert("DistilBertForMaskedLM", transformers_version="4.10.0.dev0"),
    "distilbert-base-uncased-finetuned-sst-2-english": _distilbert(
        **{"architecture": "DistilBertForSequenceClassification", "finetuning_task": "sst-2", "output_past": True},
        **{"id2label": {"0": "NEGATIVE", "1": "POSITIVE"}, "label2id": {"NEGATIVE": 0, "POSITIVE": 1}},
    ),
    "facebook/bart-base": Published(
        "BartForConditionalGeneration",
        _bart(
            **{"width": 768, "layers": (6, 6), "heads": 12, "vocab": 50265, "architectures": ["BartModel"]},
            **{"forced_bos_token_id": 0, "torch_dtype": "float32", "transformers_version": "4.12.0.dev0"},
            task_specific_params={"summarization": {"length_penalty": 1.0, "max_length": 128, "num_beams": 4}},
        ),
    ),
    "facebook/bart-large": Published(
        "BartForConditionalGeneration",
        _bart(1024, (12, 12), 16, 50265, architectures=["BartModel"], forced_bos_token_id=0, torch_dtype="float32"),
    ),
    "facebook/bart-large-cnn": Published(
        "BartForConditionalGeneration",
        _bart(
            **{"width": 1024, "layers": (12, 12), "heads": 16, "vocab": 50264, "forced_bos_token_id": 0},
            **{"architectures": ["BartForConditionalGeneration"], "length_penalty": 2.0, "max_length": 142},
            **{"min_length": 56, "output_past": True, "prefix": " ", "force_bos_token_to_be_generated": True},
        ),
    ),
    "facebook/bart-large-mnli": Published(
        "BartForSequenceClassification",
        _bart(
            **{"width": 1024, "layers": (12, 12), "heads": 16, "vocab": 50265, "finetuning_task": "mnli"},
            **{"architectures": ["BartForSequenceClassification"], "_num_labels": 3, "output_past": False},
            id2label={"0": "contradiction", "1": "neutral", "2": "entailment"},
            label2id={"contradiction": 0, "entailment": 2, "neutral": 1},
        ),
    ),
    "sshleifer/distilbart-cnn-12-6": Published(
        "BartForConditionalGeneration",
        _bart(1024, (12, 6), 16, 50264, architectures=["BartForConditionalGeneration"]) | DISTILBART,
    ),
    "huggyllama/llama-7b": _causal_llama(
        *(4096, 11008, 32, 32, 32000),
        **{"max_position_embeddings": 2048, "max_sequence_length": 2048, "pad_token_id": 0, "rms_norm_eps": 1e-06},
        **{"tie_word_embeddings": False, "torch_dtype": "float16", "transformers_version": "4.28.0.dev0"},
    ),
    "decapoda-research/llama-7b-hf": Published(
        "LlamaForCausalLM",
        {
            **{"architectures": ["LLaMAForCausalLM"], "bos_token_id": 0, "eos_token_id": 1, "hidden_act": "silu"},
            **{"hidden_size": 4096, "intermediate_size": 11008, "initializer_range": 0.02, "model_type": "llama"},
            **{"max_sequence_length": 2048, "num_attention_heads": 32, "num_hidden_layers": 32, "pad_token_id": -1},
            **{"rms_norm_eps": 1e-06, "torch_dtype": "float16", "use_cache": True, "vocab_size": 32000},
        },
    ),
    "meta-llama/Llama-2-7b-hf": _causal_llama(4096, 11008, 32, 32, 32000, **LLAMA2),
    "meta-llama/Llama-2-7b-chat-hf": _causal_llama(
        4096, 11008, 32, 32, 32000, _name_or_path="meta-llama/Llama-2-7b-chat-hf", **LLAMA2
    ),
    "meta-llama/Meta-Llama-3-8B": _causal_llama(4096, 14336, 32, 32, 128256, **LLAMA3),
    "meta-llama/Meta-Llama-3-8B-Instruct": _causal_llama(
        4096, 14336, 32, 32, 128256, **LLAMA3 | {"eos_token_id": 128009}
    ),
    "meta-llama/Llama-3.2-1B": _causal_llama(
        *(2048, 8192, 16, 32, 128256),
        **LLAMA3 | {"head_dim": 64, "max_position_embeddings": 131072, "mlp_bias": False, "rope_scaling": LLAMA3_ROPE},
    ),
    "unsloth/Llama-3.2-1B-Instruct": _causal_llama(
        *(2048, 8192, 16, 32, 128256),
        **LLAMA3 | {"head_dim": 64, "max_position_embeddings": 131072, "mlp_bias": False, "rope_scaling": LLAMA3_ROPE},
        **{"unsloth_fixed": True, "pad_token_id": 128004},
    ),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": _causal_llama(
        *(2048, 5632, 22, 32, 32000),
        **{"attention_bias": False, "max_position_embeddings": 2048, "num_key_value_heads": 4, "pretraining_tp": 1},
        **{"rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": False},
        **{"torch_dtype": "bfloat16", "transformers_version": "4.35.0"},
    ),
    "HuggingFaceTB/SmolLM-135M": _causal_llama(
        *(576, 1536, 30, 9, 49152),
        **{"attention_bias": False, "attention_dropout": 0.0, "max_position_embeddings": 2048, "mlp_bias": False},
        **{"num_key_value_heads": 3, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None},
        **{"rope_theta": 10000.0, "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0},
    ),
    "HuggingFaceTB/SmolLM2-135M": _causal_llama(576, 1536, 30, 9, 49152, **SMOLLM2),
    "HuggingFaceTB/SmolLM2-135M-Instruct": _causal_llama(
        *(576, 1536, 30, 9, 49152),
        **SMOLLM2 | {"pad_token_id": 2, "transformers_version": "4.42.3"},
        **{"transformers.js_config": {"dtype": "q4", "kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}}},
    ),
    "Xenova/llama2.c-stories15M": _causal_llama(
        *(288, 768, 6, 6, 32000),
        **{"max_position_embeddings": 256, "num_key_value_heads": 6, "pad_token_id": 0, "pretraining_tp": 1},
        **{"rms_norm_eps": 1e-05, "rope_scaling": None, "tie_word_embeddings": True, "_name_or_path": "./stories15M"},
    ),
    "openlm-research/open_llama_3b": _causal_llama(
        *(3200, 8640, 26, 32, 32000),
        **{"max_position_embeddings": 2048, "rms_norm_eps": 1e-06, "tie_word_embeddings": False, "pad_token_id": 0},
    ),
    "lmsys/vicuna-7b-v1.5": _causal_llama(4096, 11008, 32, 32, 32000, pad_token_id=0, **LLAMA2 | {"use_cache": False}),
    "codellama/CodeLlama-7b-hf": _causal_llama(
        *(4096, 11008, 32, 32, 32016), **LLAMA2 | {"max_position_embeddings": 16384, "rope_theta": 1000000}
    ),
    "llama, with keys of other families": _causal_llama(
        4096, 11008, 32, 32, 32000, **LLAMA2, sliding_window=None, use_sliding_window=False, layer_types=None
    ),
    "llama, written by transformers 5": _causal_llama(
        *(2048, 8192, 16, 32, 128256),
        **{"attention_bias": False, "attention_dropout": 0.0, "dtype": "bfloat16", "head_dim": 64, "mlp_bias": False},
        **{"max_position_embeddings": 131072, "num_key_value_heads": 8, "pad_token_id": None, "pretraining_tp": 1},
        **{"rms_norm_eps": 1e-05, "rope_parameters": {**LLAMA3_ROPE, "rope_theta": 500000.0}},
        **{"tie_word_embeddings": True, "transformers_version": "5.23.0"},
    ),
}


def small(config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration at sizes that a test can afford, in place of every size that it has."""
    names = ("num_attention_heads", "n_head", "encoder_attention_heads", "num_heads", "n_heads")
    heads = next(config[name] for name in names if name in config)
    groups = heads // config.get("num_key_value_heads", heads)
    ours = max(2, groups)
    sizes = {
        **dict.fromkeys(("n_embd", "hidden_size", "d_model", "dim"), 4 * ours),
        **dict.fromkeys((*names, "decoder_attention_heads"), ours),
        **dict.fromkeys(("n_layer", "num_hidden_layers", "encoder_layers", "decoder_layers"), 2),
        **dict.fromkeys(("num_layers", "n_layers", "max_window_layers"), 2),
        **dict.fromkeys(("n_positions", "n_ctx", "max_position_embeddings", "max_sequence_length"), CONTEXT),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 11),
        **{"attention_types": [[["global", "local"], 1]], "attention_layers": ["global", "local"], "window_size": 4},
        **{"sliding_window": 4, "layer_types": ["full_attention", "sliding_attention"], "hidden_dim": 11},
        **{"intermediate_size": 11, "vocab_size": VOCAB, "num_key_value_heads": ours // groups, "head_dim": 4},
    }
    made = {key: sizes[key] if key in sizes and value is not None else value for key, value in config.items()}
    if config.get("encoder_layers", 0) != config.get("decoder_layers", 0):
        made["decoder_layers"] = 1
    for name in ("rope_scaling", "rope_parameters"):
        if made.get(name):
            made[name] = made[name] | {"original_max_position_embeddings": CONTEXT // 4}
    return {key: _near(value) if key.endswith("token_id") else value for key, value in made.items()}


def _near(value: Any) -> Any:
    return value % VOCAB if isinstance(value, int) and value >= VOCAB else value
