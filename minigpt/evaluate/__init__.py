"""Measuring models.

loss                        loss, perplexity and bits per byte of a text
ngram                       what counting can do, to set beside it
scoring, writing, last_word what a causal model finds probable after a context, and what it writes there
zeroshot, fewshot           tasks without a gradient step: GPT's heuristics, GPT-2's prompts, examples in context
skill                       the same for all checkpoints of a run
task_data                   which examples are measured on
"""

from minigpt.evaluate.loss import Score, mean_loss

__all__ = ["Score", "mean_loss"]
