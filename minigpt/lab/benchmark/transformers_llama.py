"""The opponent in reading a prompt: a Llama in transformers, with random weights. Needs the `parity` extra."""

from __future__ import annotations

from collections.abc import Callable

from minigpt.interop.hf import FAMILIES
from minigpt.models import LlamaConfig


def transformers_reading(config: LlamaConfig, threads: int, prompt: int) -> Callable[[], object]:
    """A prompt into a new cache, and the scores of what follows it."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    theirs = transformers.LlamaConfig(**FAMILIES["llama"].write_config(config))
    model = transformers.LlamaForCausalLM(theirs).eval()
    ids = torch.randint(0, config.vocab_size, (1, prompt))

    @torch.inference_mode()
    def read() -> None:
        model(ids, use_cache=True, logits_to_keep=1)

    return read
