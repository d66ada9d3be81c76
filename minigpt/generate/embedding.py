"""Texts as vectors: what a model's states say of a text as a whole, for comparing and finding texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigpt.core.errors import UserError
from minigpt.data.batch import pad_rows
from minigpt.tokenizers import Tokenizer, encode_text


def mean_state(states: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Σ_t r_bt x_bt / Σ_t r_bt over the real tokens: (B, T, C) to (B, C)."""
    return (states * real[..., None]).sum(axis=1) / real.sum(axis=1, keepdims=True).astype(states.dtype)


def first_state(states: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The state of the first token: [CLS], <s>."""
    return states[:, 0]


def largest_state(states: np.ndarray, real: np.ndarray) -> np.ndarray:
    """max_t x_bt over the real tokens, each number on its own."""
    return np.where(real[..., None], states, -np.inf).max(axis=1)


POOLINGS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": mean_state,
    "cls": first_state,
    "max": largest_state,
}


def unit_length(x: np.ndarray) -> np.ndarray:
    """x / ‖x‖ of every row, so that products are cosines; a row of zeros stays one."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], *, context: int, truncate: bool) -> list[list[int]]:
    """The ids of every text, with the special tokens that the original puts around it.

    Args:
        truncate: leave out the end of a text that is longer than the context; otherwise that is an error.
    Raises:
        UserError: a text is no text, is too long, or gives no tokens at all.
    """
    if isinstance(texts, str):
        raise UserError("embed takes a list of texts, even of one")
    rows = []
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise UserError(f"embed takes texts, but number {number} is of the type {type(text).__name__}")
        encoded = encode_text(tokenizer, text)
        ids, own = encoded.ids, [place for place, part in enumerate(encoded.parts) if part is not None]
        if len(ids) > context and not truncate:
            raise UserError(
                f"text {number} has {len(ids)} tokens, but the model's context is {context}: shorten it, or truncate"
            )
        if not ids:
            raise UserError(f"text {number} gives no tokens, and so no states to make a vector of")
        dropped = set(own[len(own) - max(0, len(ids) - context) :])
        rows.append([i for place, i in enumerate(ids) if place not in dropped])
    return rows


def embed_rows(
    rows: Sequence[Sequence[int]],
    states: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    pooling: str,
    normalize: bool,
    size: int,
) -> np.ndarray:
    """The vector (C,) of every row of ids, (N, C).

    Args:
        states: ids (B, T) and 1 at real tokens, 0 at padding (B, T), to states (B, T, C).
        size: rows at a time; those of like lengths go together, so that there is little padding.
    Raises:
        UserError: the pooling is unknown.
    """
    if pooling not in POOLINGS:
        raise UserError(f"pooling is {pooling!r}; choose from {', '.join(POOLINGS)}")
    order = np.argsort([len(row) for row in rows], kind="stable")
    parts = []
    for start in range(0, len(order), size):
        chosen = [np.asarray(rows[n]) for n in order[start : start + size]]
        ids, real = pad_rows(chosen, 0), pad_rows([np.ones_like(row) for row in chosen], 0)
        parts.append(POOLINGS[pooling](states(ids, real), real.astype(bool)))
    found = np.concatenate(parts)
    vectors = np.empty_like(found)
    vectors[order] = found
    return unit_length(vectors) if normalize else vectors
