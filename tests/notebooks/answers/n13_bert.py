import numpy as np

from . import Answer


def hide(ids, chosen, u, random, mask_id):
    seen = ids.copy()
    for place, fate, other in zip(chosen, u, random, strict=True):
        if fate < 0.8:
            seen[place] = mask_id
        elif fate >= 0.9:
            seen[place] = other
    return seen


def hide_in_place(ids, chosen, u, random, mask_id):
    ids[chosen] = hide(ids, chosen, u, random, mask_id)[chosen]
    return ids


def pooler_backward(dc, c, weight, tokens):
    dx = np.zeros((dc.shape[0], tokens, dc.shape[1]))
    dx[:, 0] = (dc * (1 - c**2)) @ weight.T
    return dx


def without_tanh(dc, c, weight, tokens):
    return pooler_backward(dc, 0 * c, weight, tokens)


def pair_row(a, b, cls, sep, pad, width, first_sep=0):
    ids = np.full(width, pad)
    n = len(a) + len(b) + 3
    ids[:n] = [cls, *a, sep, *b, sep]
    types = np.zeros(width, dtype=int)
    types[len(a) + 2 - first_sep : n] = 1
    return ids, types, np.arange(width) < n


ANSWERS = (
    Answer(
        hide,
        (
            lambda ids, chosen, u, random, mask_id: hide(ids, chosen, 0 * u, random, mask_id),
            lambda ids, chosen, u, random, mask_id: hide(ids, chosen, np.where(u < 0.8, u, 1.75 - u), random, mask_id),
            hide_in_place,
        ),
    ),
    Answer(
        pooler_backward,
        (
            without_tanh,
            lambda dc, c, weight, tokens: pooler_backward(dc, c, weight.T, tokens),
            lambda dc, c, weight, tokens: np.repeat(pooler_backward(dc, c, weight, 1), tokens, axis=1),
        ),
    ),
    Answer(17.1, (19, 15.2, 17.28, 19.2)),
    Answer(
        pair_row,
        (
            lambda *arguments: pair_row(*arguments, first_sep=1),
            lambda *arguments: (*pair_row(*arguments)[:2], ~pair_row(*arguments)[2]),
            lambda a, b, cls, sep, pad, width: pair_row(b, a, cls, sep, pad, width),
        ),
    ),
)
