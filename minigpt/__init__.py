"""minigpt: how large language models are pretrained, every forward and backward pass written by hand."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Loaded", "load"]


def __getattr__(name: str) -> Any:
    """Import `load` and `Loaded` when they are first asked for: the command line starts, and stops, sooner."""
    if name in __all__:
        from minigpt.interop import loaded

        return getattr(loaded, name)
    raise AttributeError(f"module 'minigpt' has no attribute {name!r}")
