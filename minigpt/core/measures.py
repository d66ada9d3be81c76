"""Measures: what is worth knowing of a pass besides its loss (an accuracy, one term of the loss), as sums and counts.

A mean of means would be wrong where shards hold different numbers of items; sums and counts add up.
"""

from __future__ import annotations

from collections.abc import Mapping

Measures = dict[str, tuple[float, float]]  # name -> (sum, count)


def add_measures(total: Measures, more: Mapping[str, tuple[float, float]]) -> None:
    """Add the sums and counts of `more` into `total`."""
    for name, (value, count) in more.items():
        old_value, old_count = total.get(name, (0.0, 0.0))
        total[name] = old_value + value, old_count + count


def means(measures: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Each sum over its count; what was never counted is left out."""
    return {name: value / count for name, (value, count) in measures.items() if count}
