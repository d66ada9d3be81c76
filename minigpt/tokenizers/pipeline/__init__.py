"""Tokenizers that are a pipeline of steps, as tokenizer.json describes them; one file for each kind of step.
`formats.hf_steps` makes them of a file.

tokenizer      the pipeline: text → normalizer → cutting → model → ids, and a decoder back
normalizers    what may happen to a text first (unicode_forms, precompiled with charsmap: its long stories)
cutting        where it is cut into words
bpe, unigram, words    the models
decoders       from tokens to text
stretch        a part of a text that knows where it came from; patterns: regular expressions from files
"""

from minigpt.tokenizers.pipeline.tokenizer import Pipeline

__all__ = ["Pipeline"]
