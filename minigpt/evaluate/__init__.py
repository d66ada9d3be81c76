"""Measuring models: loss, perplexity and bits per byte."""

from minigpt.evaluate.loss import Score, mean_loss

__all__ = ["Score", "mean_loss"]
