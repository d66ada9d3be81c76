"""Covering sets: few cases in which every pair of options meets, in place of the full product."""

import itertools
from typing import Any


def pairwise(factors: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Choose cases greedily until every two values of different factors occur together in one of them."""
    names = list(factors)
    product = list(itertools.product(*(range(len(values)) for values in factors.values())))
    pairs = [set(itertools.combinations(enumerate(case), 2)) for case in product]
    missing, chosen = set().union(*pairs), []
    while missing:
        best = max(range(len(product)), key=lambda i: len(pairs[i] & missing))
        missing -= pairs[best]
        chosen.append({name: factors[name][i] for name, i in zip(names, product[best], strict=True)})
    return chosen
