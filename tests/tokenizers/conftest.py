"""The comparisons need the parity extra; without it they are not collected."""

from importlib.util import find_spec

if not all(map(find_spec, ("tokenizers", "tiktoken", "sentencepiece"))):
    collect_ignore = ["test_parity.py", "test_pipeline_parity.py", "test_sentencepiece_parity.py"]
