"""minigpt: how large language models are pretrained, every forward and backward pass written by hand."""

from minigpt.api import Loaded, load

__version__ = "0.1.0"
__all__ = ["Loaded", "load"]
