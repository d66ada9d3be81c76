"""minigpt: how large language models are pretrained, every forward and backward pass written by hand."""

__version__ = "0.1.0"
