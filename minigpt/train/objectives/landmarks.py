"""Between what a loss lies: what counting n-grams comes to, and the floor that no model can go below.

The floor is known where the text is of the story world (`minigpt.data.storyworld`): −Σ log p(document) over the
documents of the rows, divided by their tokens. A model that knows everything about the world has this loss, since it
predicts every document from its start. Its mean over all documents is the entropy of the language.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from minigpt.core.errors import UserError
from minigpt.data import storyworld
from minigpt.data.ngram import ORDER, KneserNey
from minigpt.data.packing import Packed, packed_batch
from minigpt.tokenizers import Tokenizer


class Landmarks(NamedTuple):
    """Losses in nats per token, on the same tokens: of n-grams, and of who knows the language."""

    ngram: float
    floor: float

    def share(self, loss: float) -> float:
        """How much of the way from the n-grams to the floor a model has gone: 0 at the one, 1 at the other."""
        return (self.ngram - loss) / (self.ngram - self.floor)

    def values(self, loss: float) -> dict[str, float]:
        """What logs and --json say."""
        return {"ngram": self.ngram, "floor": self.floor, "share": self.share(loss)}

    def sentence(self, loss: float) -> str:
        share = self.share(loss)
        where = f"{share:.1%} of the way" if share >= 0 else f"not yet as good as {ORDER}-grams"
        return f"{ORDER}-grams {self.ngram:.4f}, floor {self.floor:.4f}: {where}"


class Surveyor:
    """Finds the landmarks of some rows; what takes time is done once."""

    def __init__(self, train: Packed, validation: Packed, tokenizer: Tokenizer):
        self.train, self.validation, self.tokenizer = train, validation, tokenizer
        self._counted: KneserNey | None = None
        self._log_p: dict[int, float] = {}  # of the documents seen so far, by their numbers

    def landmarks(self, rows: Sequence[int]) -> Landmarks | None:
        """Those of the validation rows with these numbers; None if one of their documents is not of the story world."""
        floor = floor_of(self.validation, self.tokenizer, rows, self._log_p)
        if floor is None:
            return None
        if self._counted is None:
            self._counted = KneserNey([self.train.stream], self.tokenizer.vocab_size)
        groups = [rows[i : i + _ROWS] for i in range(0, len(rows), _ROWS)]
        makers = [partial(packed_batch, [(self.validation, row) for row in group]) for group in groups]
        ngram = self._counted.mean_loss(makers)
        return Landmarks(ngram, floor) if ngram > floor else None


def floor_of(
    packed: Packed, tokenizer: Tokenizer, rows: Sequence[int] | None = None, known: dict[int, float] | None = None
) -> float | None:
    """−Σ log p of the documents in some of the rows (all of them), over their tokens.

    Args:
        known: log p by the documents' numbers, where it has been computed before; what is computed is added.
    Returns:
        None if one of them is not of the story world, or is cut.
    """
    known, nats, tokens = {} if known is None else known, 0.0, 0
    for row in range(packed.row_count) if rows is None else rows:
        for number in packed.rows[row]:
            if number not in known:
                if not packed.whole(number):
                    return None
                try:
                    known[number] = storyworld.log_probability(tokenizer.decode(packed.piece(number)[:-1].tolist()))
                except UserError:
                    return None
            nats -= known[number]
            tokens += len(packed.piece(number))
    return nats / tokens


_ROWS = 64  # that are scored at a time
