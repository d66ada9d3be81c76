"""How large, deep and many things may be that files from elsewhere ask for. docs/security.md says what for.

Each limit lies far beyond what any published file needs, and low enough that a damaged or hostile one cannot keep a
machine busy or fill its memory before a sentence says what is wrong. Nesting of JSON is limited by Python itself.
"""

from __future__ import annotations

# Bytes of files that are read as a whole. (Texts and rows of tasks are streamed, tensors are mapped: no limit.)
CONFIGURATION_BYTES = 64 << 20  # config.json, a preset, a checkpoint's state: the longest published have one MB
VOCABULARY_BYTES = 1 << 30  # a tokenizer: the largest published have 40 MB
DOCUMENT_BYTES = 4 << 30  # a task's file that is one JSON or XML document: SQuAD's has 42 MB
HEADER_BYTES = 100_000_000  # of a safetensors file, as in the safetensors library

# Numbers in configurations.
LAYERS = 10_000  # of a model
SIZE = 10**8  # its width, vocabulary, context and other sizes
TOKEN_ID = 10_000_000  # ids lie below it: ten times the largest published vocabularies; a model has a row for each id
BEAMS = 10_000  # of a search
EXPONENT = 50  # of a text's length in its penalty: beyond, a million tokens to that power are no number any more
WORKERS = 4096  # of a run

# Regular expressions in tokenizer files.
PATTERN_CHARACTERS = 20_000
PATTERN_COUNT = 100_000  # times that something is repeated, as in Oniguruma, the library that they are written for
PATTERN_PARTS = 200_000  # characters and classes, when all repetitions are written out as Python's `regex` does
PATTERN_SECONDS = 0.25  # for all texts, twice where something else may have computed, and
PATTERN_SECONDS_PER_CHARACTER = 1e-4  # for each of their characters: far above what honest ones need

# Chat templates.
TEMPLATE_SECONDS = 2  # of CPU time, without the start of the process that fills it, and up to one more
TEMPLATE_BYTES = 512 << 20  # of memory

# What a step of a tokenizer, or a chat template, may make of a text.
GROWTH = 16  # characters of a text for one that there was, and
GROWN_CHARACTERS = 1 << 18  # besides

# What is said about them.
SENTENCE_CHARACTERS = 700
