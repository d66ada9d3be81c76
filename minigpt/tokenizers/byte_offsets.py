"""Which bytes of a text each token stands for: bytes of the text itself, also where decoding would not give it back."""

from __future__ import annotations

from itertools import accumulate, pairwise

from minigpt.tokenizers.base import Offsets, Tokenizer


def byte_offsets(tokenizer: Tokenizer, text: str) -> Offsets:
    """The (start, end) of the bytes of every token of `tokenizer.encode(text)`: in order, and no byte has two tokens.

    The bytes between two of them are those that the tokenizer drops (white space, say). Where tokens share characters,
    as where a letter is spelled byte by byte, the last of them have their own bytes, if these together are those of the
    characters, and those before (a space that was put in front) none. Otherwise what is shared is the last one's.
    """
    ids, offsets = tokenizer.encode_untrimmed(text)
    before = [0, *accumulate(len(c.encode("utf-8")) for c in text)]  # bytes before each character
    spans = [(before[start], before[end]) for start, end in offsets]
    first = 0
    while first < len(spans):
        last, reach = first, spans[first][1]
        while last + 1 < len(spans) and spans[last + 1][0] < reach:
            last += 1
            reach = max(reach, spans[last][1])
        if last > first:
            lengths = [tokenizer.byte_count([i]) for i in ids[first : last + 1]]
            spans[first : last + 1] = _spelled(lengths, spans[first][0], reach) or spans[first : last + 1]
        first = last + 1
    return _apart(spans)


def _spelled(lengths: list[int], start: int, end: int) -> Offsets | None:
    """The spans of tokens of these lengths, the last of which cover the bytes start … end − 1; None if none do."""
    edges = [end - after for after in accumulate([0, *reversed(lengths)])][::-1]  # the start of each, and the end
    if start not in edges:
        return None
    return list(pairwise(max(edge, start) for edge in edges))


def _apart(spans: Offsets) -> Offsets:
    """Each token ends where the bytes of those before it and its own end, but before anything that is a later one's."""
    ends = list(accumulate((end for _, end in spans), max))
    begins = list(accumulate((start for start, _ in reversed(spans)), min))[::-1]  # of a token and all after it
    apart, position = [], 0
    for n, (start, _) in enumerate(spans):
        end = max(position, min(ends[n], begins[n + 1]) if n + 1 < len(spans) else ends[n])
        apart.append((min(max(start, position), end), end))
        position = end
    return apart
