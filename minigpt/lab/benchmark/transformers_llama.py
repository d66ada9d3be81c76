"""The opponent in reading a prompt: a Llama in transformers, with random weights. Needs the `parity` extra."""

from __future__ import annotations

from collections.abc import Callable

from minigpt.models import LlamaConfig


def transformers_reading(config: LlamaConfig, threads: int, prompt: int) -> Callable[[], object]:
    """A prompt into a new cache, and the scores of what follows it."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    theirs = transformers.LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.width,
        intermediate_size=config.feed_forward,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=config.tied,
    )
    model = transformers.LlamaForCausalLM(theirs).eval()
    ids = torch.randint(0, config.vocab_size, (1, prompt))

    @torch.inference_mode()
    def read() -> None:
        model(ids, use_cache=True, logits_to_keep=1)

    return read
