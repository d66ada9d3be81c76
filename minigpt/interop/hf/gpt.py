"""openai-gpt: `OpenAIGPTLMHeadModel`, the GPT of 2018. Its `Conv1D` matrices are (in, out), as ours are."""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.family import Family
from minigpt.interop.tables import Table, as_is, linear, norm

PREFIX = "transformer."


def blocks(config: Any) -> Table:
    """The blocks, which GPT and GPT-2 name alike."""
    table: Table = {}
    for layer in range(config.layers):
        theirs, ours = f"{PREFIX}h.{layer}", f"blocks.{layer}"
        table |= norm(f"{theirs}.ln_1", f"{ours}.norm1")
        table |= linear(f"{theirs}.attn.c_attn", f"{ours}.attention.qkv", as_is)
        table |= linear(f"{theirs}.attn.c_proj", f"{ours}.attention.out", as_is)
        table |= norm(f"{theirs}.ln_2", f"{ours}.norm2")
        table |= linear(f"{theirs}.mlp.c_fc", f"{ours}.mlp.up", as_is)
        table |= linear(f"{theirs}.mlp.c_proj", f"{ours}.mlp.down", as_is)
    return table


def table(model: Any) -> Table:
    embeddings: Table = {
        f"{PREFIX}tokens_embed.weight": ("tokens", as_is),
        f"{PREFIX}positions_embed.weight": ("positions", as_is),
    }
    return embeddings | blocks(model.config)


def problems(config: Any) -> list[str]:
    """What of the configuration `OpenAIGPTLMHeadModel` cannot express, as ends of the sentence "the model has …"."""
    found = {
        "no biases": not config.bias,
        f"banded attention (window {config.window})": config.window,
        f"the activation {config.activation}": config.activation not in ("gelu_tanh", "relu"),
        f"feed-forward layers {config.feed_forward} wide, not 4 times {config.width}": (
            config.feed_forward != 4 * config.width
        ),
    }
    return [problem for problem, is_there in found.items() if is_there]


FAMILY = Family(
    model_type="openai-gpt",
    family="gpt",
    fits=lambda config: config.norm == "post",
    problems=problems,
    table=table,
)
