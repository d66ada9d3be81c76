"""Measuring models: loss, perplexity and bits per byte."""

from minigpt.evaluate.loss import Score, mean_loss, text_bytes

__all__ = ["Score", "mean_loss", "text_bytes"]
