"""Answers to notebooks/01-text-to-tokens.ipynb."""

from . import Answer


def merge(ids, pair, new):
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def merge_overlapping(ids, pair, new):
    return [new if tuple(ids[i : i + 2]) == pair else ids[i] for i in range(len(ids))]


def merge_in_place(ids, pair, new):
    for i in range(len(ids) - 1):
        if tuple(ids[i : i + 2]) == pair:
            ids[i : i + 2] = [new]
    return ids


def encode(word, merges):
    pieces = list(word)
    while True:
        ranks = [merges.index(p) if (p := tuple(pieces[i : i + 2])) in merges else 999 for i in range(len(pieces) - 1)]
        if min(ranks, default=999) == 999:
            return pieces
        i = ranks.index(min(ranks))
        pieces[i : i + 2] = ["".join(pieces[i : i + 2])]


def longest_first(word, merges):
    """As if the merged strings were a vocabulary for WordPiece."""
    known, pieces = {a + b for a, b in merges}, []
    while word:
        length = next((n for n in range(len(word), 1, -1) if word[:n] in known), 1)
        pieces.append(word[:length])
        word = word[length:]
    return pieces


def one_round(word, merges):
    pieces = list(word)
    for pair in merges:
        for i in range(len(pieces) - 1):
            if tuple(pieces[i : i + 2]) == pair:
                pieces[i : i + 2] = ["".join(pair)]
                return pieces
    return pieces


def longest_pieces(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def half_words(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in vocabulary:
                break
        else:
            return pieces
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def shortest_pieces(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(start + 1, len(word) + 1):
            if prefix + word[start:end] in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


ANSWERS = (
    Answer(merge, (merge_overlapping, merge_in_place, lambda ids, pair, new: merge(ids[::-1], pair[::-1], new)[::-1])),
    Answer(encode, (longest_first, one_round, lambda word, merges: encode(word, merges[::-1]))),
    Answer(longest_pieces, (half_words, shortest_pieces)),
    Answer(18, (13, 14, 16)),
    Answer(("th", "qu"), (("th", "th"), ("qu", "th"), "th")),
)
