"""How hard the story world is to predict: the entropy of each kind in closed form, beside the mean of −log p."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from minigpt.data.storyworld import engine
from minigpt.data.storyworld.documents import PROGRAMS, SHARES, document, share


class Entropy(NamedTuple):
    """The entropy of a kind of documents, or of all of them.

    Attributes:
        share: how many of all documents are of the kind.
        nats: per document of the kind, in closed form (for all: that of the choice of the kind with it).
        sampled, error: the mean of −log p over documents that were drawn, and its standard error.
        characters: per document, the mean over those that were drawn.
    """

    share: float
    nats: float
    sampled: float
    error: float
    characters: float

    @property
    def nats_per_character(self) -> float:
        return self.nats / self.characters


def entropy(samples: int = 1000, seed: int = 0) -> dict[str, Entropy]:
    """The entropy of every kind, and of all documents under the name "all".

    Args:
        samples: how many documents of each kind are drawn beside the closed form.
    """
    found = {}
    for kind in SHARES:
        drawn = [document(seed, index, kind) for index in range(samples)]
        costs = [-one.log_p + math.log(share(kind)) for one in drawn]
        mean = math.fsum(costs) / samples
        variance = math.fsum((cost - mean) ** 2 for cost in costs) / max(samples - 1, 1)
        characters = sum(len(one.text) for one in drawn) / samples
        nats = engine.entropy(PROGRAMS[kind])
        found[kind] = Entropy(share(kind), nats, mean, math.sqrt(variance / samples), characters)
    return found | {"all": _all(found)}


def _all(found: dict[str, Entropy]) -> Entropy:
    """H(kind) + Σ share · H(document | kind); the sampled mean by the same strata."""
    which = engine.choice_entropy([one.share for one in found.values()])
    sums = {name: math.fsum(one.share * getattr(one, name) for one in found.values()) for name in ("nats", "sampled")}
    error = math.sqrt(math.fsum((one.share * one.error) ** 2 for one in found.values()))
    characters = math.fsum(one.share * one.characters for one in found.values())
    return Entropy(1.0, which + sums["nats"], which + sums["sampled"], error, characters)


def entropy_table(found: Mapping[str, Entropy]) -> str:
    """A line for each kind: closed form beside the mean of −log p."""
    columns = ("share", 6), ("nats per document", 18), ("mean of -log p", 20), ("characters", 11), ("per each", 9)
    lines = [" ".join([f"{'kind':12}", *(f"{title:>{width}}" for title, width in columns)])]
    for name, one in found.items():
        mean = f"{one.sampled:.3f} ± {one.error:.3f}"
        numbers = f"{one.share:6.1%} {one.nats:18.4f} {mean:>20} {one.characters:11.1f} {one.nats_per_character:9.4f}"
        lines.append(f"{name:12} {numbers}")
    return "\n".join(lines)
