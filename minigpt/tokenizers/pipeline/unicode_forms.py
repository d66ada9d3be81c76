"""Unicode's normal forms, character by character, so that each knows what it came from.

A list of (character, change) says how the old text becomes the new one, as `Stretch.changed` reads it. Marks that trade
places keep the change they came with, which is how Hugging Face's tokenizers count.
Source: Unicode Standard Annex 15, and the unicode-normalization-alignments library.
"""

from __future__ import annotations

import unicodedata

Change = tuple[str, int]


def decomposed(text: str, form: str) -> list[Change]:
    """Every character taken apart (form NFD or NFKD), and runs of marks sorted by combining class."""
    done: list[Change] = []
    run: list[Change] = []
    for c in text:
        for n, part in enumerate(c if c.isascii() else unicodedata.normalize(form, c)):
            if unicodedata.combining(part):
                run.append((part, int(n > 0)))
                continue
            if run:
                done += sorted(run, key=_class)
                run = []
            done.append((part, int(n > 0)))
    return done + sorted(run, key=_class)


def composed(characters: list[Change]) -> list[Change]:
    """Put together what the canonical composition joins: a starter with the marks that nothing keeps from it."""
    done: list[Change] = []
    starter = -1  # where in `done` the last starter is
    last = 0  # the class of the last mark that stayed
    for c, change in characters:
        rank = unicodedata.combining(c)
        blocked = starter < 0 or (len(done) - 1 > starter and (rank == 0 or last >= rank))
        whole = "" if blocked else _pair(done[starter][0], c)
        if whole:
            done[starter] = (whole, done[starter][1] + change - 1)
            continue
        done.append((c, change))
        if rank == 0:
            starter = len(done) - 1
        last = rank
    return done


def _class(change: Change) -> int:
    return unicodedata.combining(change[0])


def _pair(first: str, second: str) -> str:
    """The one character that the two compose to, or nothing."""
    whole = unicodedata.normalize("NFC", first + second)
    return whole if len(whole) == 1 else ""
