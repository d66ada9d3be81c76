"""minigpt: how large language models are pretrained, every forward and backward pass written by hand."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Loaded", "Page", "explain", "load"]


def __getattr__(name: str) -> Any:
    """Import what is first asked for only then: the command line starts, and stops, sooner."""
    if name in ("Page", "explain"):
        from minigpt.lab import explain

        return getattr(explain, name)
    if name in __all__:
        from minigpt.interop import loaded

        return getattr(loaded, name)
    raise AttributeError(f"module 'minigpt' has no attribute {name!r}")
