"""The comparisons need the parity extra; without it they are not collected."""

from importlib.util import find_spec
from pathlib import Path

if not all(map(find_spec, ("tokenizers", "tiktoken", "sentencepiece"))):
    collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*parity.py")]
