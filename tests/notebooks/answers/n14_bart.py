import math

import numpy as np

from . import Answer


def infill(tokens, spans, mask, empty=True):
    """From the right to the left, so that the places of what is still to come stay right."""
    result = list(tokens)
    for first, length in reversed(spans):
        if length or empty:
            result[first : first + length] = [mask]
    return result


def infill_in_place(tokens, spans, mask):
    for first, length in reversed(spans):
        tokens[first : first + length] = [mask]
    return tokens


def mask_each(tokens, spans, mask):
    result = list(tokens)
    for first, length in spans:
        result[first : first + length] = [mask] * length
    return result


def memory_gradient(dkvs, weights):
    return sum(np.einsum("bsf,cf->bsc", dkv, weight) for dkv, weight in zip(dkvs, weights, strict=True))


def rouge_1(written, reference):
    common = sum(min(written.count(word), reference.count(word)) for word in set(written))
    if not common:
        return 0.0
    precision, recall = common / len(written), common / len(reference)
    return 2 * precision * recall / (precision + recall)


ANSWERS = (
    Answer(infill, (mask_each, infill_in_place, lambda tokens, spans, mask: infill(tokens, spans, mask, empty=False))),
    Answer(3 / (1 - math.exp(-3)), (3, 3 * (1 - math.exp(-3)), 3.5 / (1 - math.exp(-3.5)), 1 - math.exp(-3))),
    Answer(
        memory_gradient,
        (
            lambda d, w: d[-1] @ w[-1].T,
            lambda d, w: d[0] @ w[0].T,
            lambda d, w: memory_gradient(d, w) / len(d),
        ),
    ),
    Answer(
        rouge_1,
        (
            lambda a, b: len(set(a) & set(b)) / len(b),
            lambda a, b: 2 * sum(word in b for word in a) / (len(a) + len(b)),
            lambda a, b: sum(min(a.count(word), b.count(word)) for word in set(a)) / len(b),
            lambda a, b: rouge_1(a, b) ** 0.5,
            lambda a, b: rouge_1(a, b) if a else math.nan,
        ),
    ),
)
