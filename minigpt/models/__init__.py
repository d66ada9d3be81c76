"""The architectures. A family is a configuration class and a model class; `FAMILIES` finds them by name."""

from minigpt.models.gpt import GPT, GPTConfig

FAMILIES = {"gpt": (GPTConfig, GPT)}

__all__ = ["FAMILIES", "GPT", "GPTConfig"]
