"""Small random models of transformers, one for every family that minigpt exchanges, and what to ask them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

VOCAB = 97
CONTEXT = 40
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


class Case(NamedTuple):
    """One of transformers' classes, and the configuration of a small model of it.

    Attributes:
        causal: whether it continues prompts.
        bound: how far its float64 logits may be from ours; Llama computes norms, rotations and softmax in float32.
    """

    architecture: str
    config: Callable[[], Any]
    causal: bool = True
    bound: float = 1e-9


CASES = {
    "openai-gpt": Case(
        "OpenAIGPTLMHeadModel",
        lambda: transformers.OpenAIGPTConfig(vocab_size=VOCAB, n_positions=CONTEXT, n_embd=12, n_layer=2, n_head=3),
    ),
    "gpt2": Case(
        "GPT2LMHeadModel",
        lambda: transformers.GPT2Config(
            **dict(vocab_size=VOCAB, n_positions=CONTEXT, n_embd=12, n_layer=2, n_head=3),
            bos_token_id=None,
            eos_token_id=None,
        ),
    ),
    "gpt2-gelu": Case(
        "GPT2LMHeadModel",
        lambda: transformers.GPT2Config(
            **dict(vocab_size=VOCAB, n_positions=CONTEXT, n_embd=10, n_layer=1, n_head=1, n_inner=7),
            activation_function="gelu",
            layer_norm_epsilon=1e-3,
            bos_token_id=None,
            eos_token_id=None,
        ),
    ),
    "llama": Case(
        "LlamaForCausalLM",
        lambda: transformers.LlamaConfig(
            **dict(vocab_size=VOCAB, hidden_size=12, intermediate_size=31, num_hidden_layers=2, num_attention_heads=6),
            **dict(num_key_value_heads=3, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5, head_dim=4),
            bos_token_id=None,
            eos_token_id=None,
        ),
        bound=5e-5,
    ),
    "llama-3.1": Case(
        "LlamaForCausalLM",
        lambda: transformers.LlamaConfig(
            **dict(vocab_size=VOCAB, hidden_size=12, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2),
            **dict(max_position_embeddings=CONTEXT, tie_word_embeddings=True, rope_parameters=LLAMA3),
            bos_token_id=None,
            eos_token_id=None,
        ),
        bound=5e-5,
    ),
    "gpt-neo": Case(
        "GPTNeoForCausalLM",
        lambda: transformers.GPTNeoConfig(
            **dict(vocab_size=VOCAB, max_position_embeddings=CONTEXT, hidden_size=12, num_layers=3, num_heads=3),
            **dict(attention_types=[[["global", "local", "local"], 1]], window_size=4, attn_implementation="eager"),
            bos_token_id=None,
            eos_token_id=None,
        ),
        bound=5e-5,
    ),
    "mistral": Case(
        "MistralForCausalLM",
        lambda: transformers.MistralConfig(
            **dict(vocab_size=VOCAB, hidden_size=12, intermediate_size=31, num_hidden_layers=2, num_attention_heads=6),
            **dict(num_key_value_heads=3, max_position_embeddings=CONTEXT, head_dim=4, sliding_window=5),
            **dict(bos_token_id=None, eos_token_id=None, attn_implementation="eager"),
        ),
        bound=5e-5,
    ),
    "qwen2": Case(
        "Qwen2ForCausalLM",
        lambda: transformers.Qwen2Config(
            **dict(vocab_size=VOCAB, hidden_size=12, intermediate_size=8, num_hidden_layers=3, num_attention_heads=3),
            **dict(num_key_value_heads=1, max_position_embeddings=CONTEXT, attn_implementation="eager"),
            **dict(use_sliding_window=True, sliding_window=3, max_window_layers=1, tie_word_embeddings=True),
        ),
        bound=5e-5,
    ),
    "bart": Case(
        "BartForConditionalGeneration",
        lambda: transformers.BartConfig(
            **dict(vocab_size=VOCAB, max_position_embeddings=CONTEXT, d_model=12, encoder_layers=1, decoder_layers=2),
            **dict(encoder_attention_heads=3, decoder_attention_heads=3, encoder_ffn_dim=7, decoder_ffn_dim=7),
            attention_dropout=0.1,
        ),
        causal=False,
    ),
    "bart-uneven": Case(
        "BartForConditionalGeneration",
        lambda: transformers.BartConfig(
            **dict(vocab_size=VOCAB, max_position_embeddings=CONTEXT, d_model=12, encoder_layers=2, decoder_layers=1),
            **dict(encoder_attention_heads=3, decoder_attention_heads=2, encoder_ffn_dim=7, decoder_ffn_dim=9),
        ),
        causal=False,
    ),
    "bert": Case(
        "BertForPreTraining",
        lambda: transformers.BertConfig(
            **dict(vocab_size=VOCAB, max_position_embeddings=CONTEXT, hidden_size=12, num_hidden_layers=2),
            **dict(num_attention_heads=3, intermediate_size=20, hidden_dropout_prob=0.2, type_vocab_size=3),
        ),
        causal=False,
    ),
    "bert-masked": Case(
        "BertForMaskedLM",
        lambda: transformers.BertConfig(
            **dict(vocab_size=VOCAB, max_position_embeddings=CONTEXT, hidden_size=10, num_hidden_layers=1),
            **dict(num_attention_heads=1, intermediate_size=7, hidden_act="gelu_new", layer_norm_eps=1e-5),
        ),
        causal=False,
    ),
    "roberta": Case(
        "RobertaForMaskedLM",
        lambda: transformers.RobertaConfig(
            **dict(vocab_size=VOCAB, max_position_embeddings=CONTEXT + 2, hidden_size=12, num_hidden_layers=2),
            **dict(num_attention_heads=3, intermediate_size=20, type_vocab_size=1, layer_norm_eps=1e-5),
        ),
        causal=False,
    ),
    "distilbert": Case(
        "DistilBertForMaskedLM",
        lambda: transformers.DistilBertConfig(
            **dict(vocab_size=VOCAB, max_position_embeddings=CONTEXT, dim=12, n_layers=2, n_heads=3, hidden_dim=20),
        ),
        causal=False,
    ),
}
SEQ2SEQ = [name for name in CASES if name.startswith("bart")]
CAUSAL = [name for name, case in CASES.items() if case.causal]


def random_model(name: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    """A model whose every tensor is random and of order 0.3, gains about one, ready to compute."""
    case = CASES[name]
    torch.manual_seed(seed)
    model = getattr(transformers, case.architecture)(case.config())
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.normal_(1.0 if p.dim() == 1 and key.endswith("weight") else 0.0, 0.3)
    return model.to(dtype).eval()


def their_logits(model: Any, ids: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(input_ids=torch.tensor(ids))[0].numpy()


def our_logits(loaded: Any, ids: np.ndarray) -> np.ndarray:
    """The scores of the tokens; a model of sentence pairs gives those of the pairs as well."""
    scores = loaded.logits(ids)
    return scores[0] if isinstance(scores, tuple) else scores


def check_logits(name: str, loaded: Any, model: Any, ids: np.ndarray) -> None:
    """Both in float64."""
    exact = their_logits(model.double(), ids)
    assert exact.dtype == np.float64
    assert np.abs(our_logits(loaded, ids) - exact).max() <= CASES[name].bound * max(1.0, np.abs(exact).max())


def their_tensors(folder: Any) -> dict[str, np.ndarray]:
    """What the weight files of a folder hold, read by the safetensors library (which needs torch for bfloat16)."""
    from safetensors.torch import load_file

    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    return found
