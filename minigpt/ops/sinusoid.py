"""The Transformer's own positions (Vaswani et al. 2017): sines and cosines of D/2 wavelengths, nothing to learn."""

from __future__ import annotations

import numpy as np


def sinusoid_table(length: int, width: int, *, layout: str = "interleaved", base: float = 10000.0) -> np.ndarray:
    """Return the table (length, C) of the positions 0 … length − 1, in float64.

    Args:
        layout: "interleaved" is the paper's formula, P(m, 2i) = sin(m/base^(2i/C)) and P(m, 2i+1) = cos of the same.
            "halves" is what its code (tensor2tensor) computes: first all sines, then all cosines, and wavelengths from
            2π to exactly 2π·base, m/base^(i/(C/2−1)). An odd C then ends in a column of zeros.
    """
    table, positions = np.zeros((length, width)), np.arange(length)[:, None]
    if layout == "interleaved":
        angles = positions * base ** (-np.arange(0, width, 2) / width)  # (length, ⌈C/2⌉)
        table[:, 0::2] = np.sin(angles)
        table[:, 1::2] = np.cos(angles[:, : width // 2])
    elif layout == "halves":
        half = width // 2
        angles = positions * base ** (-np.arange(half) / max(half - 1, 1))  # (length, C/2)
        table[:, :half], table[:, half : 2 * half] = np.sin(angles), np.cos(angles)
    else:
        raise ValueError(f'the layout of a sinusoid table is "interleaved" or "halves", not {layout!r}')
    return table
