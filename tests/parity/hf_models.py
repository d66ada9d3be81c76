"""Small random models of transformers, one for every family that minigpt exchanges, and what to ask them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

VOCAB = 97
CONTEXT = 40


class Case(NamedTuple):
    """One of transformers' classes, the configuration of a small model of it, and whether it continues prompts."""

    architecture: str
    config: Callable[[], Any]
    causal: bool = True


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
}
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
        return model(input_ids=torch.tensor(ids)).logits.numpy()


def their_tensors(folder: Any) -> dict[str, np.ndarray]:
    """What the weight files of a folder hold, read by the safetensors library (which needs torch for bfloat16)."""
    from safetensors.torch import load_file

    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    return found
