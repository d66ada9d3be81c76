"""Measuring models.

scoring, writing, last_word what a causal model finds probable after a context, and what it writes there
zeroshot, fewshot           tasks without a gradient step: GPT's heuristics, GPT-2's prompts, examples in context
rules                       how options are compared
task_data                   which examples are measured on
finetune_run                a loaded model trained on a task's examples, and judged
"""
