"""Progress bars on stderr: lively in a terminal, a line now and then where the output goes into a file."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from tqdm import tqdm

from minigpt.core.terminal import for_stream


def progress_bar(*arguments: Any, **options: Any) -> tqdm:
    """Make a tqdm bar; outside a terminal it writes at most every ten seconds, and nothing for short work."""
    if not sys.stderr.isatty():
        options = {"mininterval": 10, "delay": 10} | options
    return tqdm(*arguments, dynamic_ncols=True, **options)


def write_line(bar: tqdm, text: str, file: TextIO) -> None:
    """Write a line without tearing the bar; where there is no terminal, without redrawing it either."""
    text = for_stream(text, file)
    if sys.stderr.isatty():
        bar.write(text, file=file)
    else:
        print(text, file=file)
