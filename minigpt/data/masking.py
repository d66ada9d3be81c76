"""BERT's masked language modelling (Devlin et al. 2019): which tokens to predict, and what stands in their place."""

from __future__ import annotations

import numpy as np

MASKED, KEPT = 0.8, 0.1  # of the chosen tokens; the rest become random ones


def mask_tokens(
    ids: np.ndarray,
    candidates: np.ndarray,
    draw: np.random.Generator,
    *,
    mask_id: int,
    vocab_size: int,
    probability: float = 0.15,
    most: int = 20,
    continues: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose round(probability · T) of the T tokens of a row, but at least one and at most `most`, and hide them.

    A chosen token becomes [MASK] with probability 0.8, stays with 0.1, and becomes with 0.1 one drawn evenly from the
    whole vocabulary (special tokens and itself not excepted, as in BERT's released code).

    Args:
        ids: (T,) a whole row, special tokens included, without padding.
        candidates: (T,) True where a token may be chosen (not at [CLS] and [SEP]).
        continues: (V,) True for pieces that continue a word; given, words are chosen whole: a word that would exceed
            the number is passed over, so there may be fewer, even none.
    Returns:
        (T,) what the model sees, and the chosen places in ascending order.
    """
    number = min(most, max(1, round(probability * len(ids))))
    places = np.flatnonzero(candidates)
    chosen = (
        draw.permutation(places)[:number] if continues is None else _whole_words(ids, places, continues, number, draw)
    )
    chosen = np.sort(chosen)
    fate = draw.random(len(chosen))
    replacement = np.full(len(chosen), mask_id)
    kept, random = fate >= MASKED, fate >= MASKED + KEPT
    replacement[kept] = ids[chosen[kept]]
    replacement[random] = draw.integers(vocab_size, size=int(random.sum()))
    seen = ids.astype(np.int64)
    seen[chosen] = replacement
    return seen, chosen


def _whole_words(
    ids: np.ndarray, places: np.ndarray, continues: np.ndarray, number: int, draw: np.random.Generator
) -> np.ndarray:
    """Places of whole words in random order, as many words as fit into `number` places."""
    # a word begins at a piece that does not continue one, and where a special token stands before the piece
    begins = ~continues[ids[places]] | (np.diff(places, prepend=-2) > 1)
    words = np.split(places, np.flatnonzero(begins)[1:])
    chosen: list[int] = []
    for word in draw.permutation(len(words)).tolist():
        if len(chosen) + len(words[word]) <= number:
            chosen += words[word].tolist()
    return np.array(chosen, dtype=np.int64)


def continuing_pieces(tokenizer: object) -> np.ndarray:
    """(V,) True for the pieces that continue a word (## in a WordPiece vocabulary)."""
    prefix = getattr(tokenizer, "prefix", "##")
    return np.array([tokenizer.token(i).startswith(prefix) for i in range(tokenizer.vocab_size)])
