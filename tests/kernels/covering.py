"""Covering sets: few cases in which every pair of options meets, in place of the full product."""

import itertools
from typing import Any


def pairwise(factors: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Choose cases greedily until every two values of different factors occur together in one of them."""
    names, sizes = list(factors), [len(values) for values in factors.values()]
    product = list(itertools.product(*map(range, sizes)))
    values = [(factor, i) for factor, size in enumerate(sizes) for i in range(size)]
    bits = {pair: 1 << n for n, pair in enumerate(itertools.combinations(values, 2))}
    pairs = [sum(bits[pair] for pair in itertools.combinations(enumerate(case), 2)) for case in product]  # sets of bits
    missing, chosen = 0, []
    for case_pairs in pairs:
        missing |= case_pairs
    while missing:
        best = max(range(len(product)), key=lambda i: (pairs[i] & missing).bit_count())
        missing &= ~pairs[best]
        chosen.append({name: factors[name][i] for name, i in zip(names, product[best], strict=True)})
    return chosen
