"""BERT's batches: rows of [CLS] A [SEP] B [SEP] with some tokens hidden, and what should be said about them."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import numpy as np

from minigpt.core.backend import Array
from minigpt.core.errors import UserError
from minigpt.data.batch import AnyBatch, pad_rows
from minigpt.data.bert_instances import BertData, Stream
from minigpt.data.document_shards import Documents
from minigpt.data.masking import continuing_pieces, mask_tokens
from minigpt.ops import IGNORE, count_targets
from minigpt.tokenizers import Tokenizer


class _BertBatch(NamedTuple):
    inputs: Array
    token_types: Array
    places: Array
    targets: Array
    labels: Array | None = None
    key_padding: Array | None = None


class BertBatch(_BertBatch, AnyBatch):
    """B rows of T tokens, of which at most P are to be predicted in each.

    Attributes:
        inputs: (B, T) token ids, some of them hidden.
        token_types: (B, T) 0 in [CLS] A [SEP] and in padding, 1 in B [SEP].
        places: (B, P) where in its row a token is to be predicted.
        targets: (B, P) its true id; `ops.IGNORE` where a row has fewer than P.
        labels: (B,) 0 if B follows A, 1 if it comes from elsewhere; None without sentence pairs.
        key_padding: (B, T) True at real tokens, or None when every token is real.
    """

    __slots__ = ()

    def counts(self) -> dict[str, int]:
        """How many items each term of the loss averages over: tokens to be predicted, and sentence pairs."""
        tokens = {"tokens": count_targets(self.targets)}
        return tokens if self.labels is None else tokens | {"pairs": count_targets(self.labels)}


class SpecialIds(NamedTuple):
    """The special tokens that BERT's rows need."""

    pad: int
    cls: int
    sep: int
    mask: int


_BERT, _ROBERTA = ("[PAD]", "[CLS]", "[SEP]", "[MASK]"), ("<pad>", "<s>", "</s>", "<mask>")


def special_names(tokenizer: Tokenizer) -> tuple[str, ...]:
    """What they are called in a tokenizer, BERT's or RoBERTa's.

    Raises:
        UserError: it does not have them all.
    """
    known = tokenizer.special_tokens.keys()
    if known >= set(_ROBERTA):
        return _ROBERTA
    if missing := [name for name in _BERT if name not in known]:
        raise UserError(
            f"BERT needs a tokenizer with the special tokens {', '.join(_BERT)}, and this one lacks "
            f"{', '.join(missing)}; choose wordpiece:SIZE, such as --tokenizer wordpiece:4096"
        )
    return _BERT


def special_ids(tokenizer: Tokenizer) -> SpecialIds:
    """Their ids."""
    return SpecialIds(*(tokenizer.special_tokens[name] for name in special_names(tokenizer)))


def separates_twice(tokenizer: Tokenizer) -> bool:
    """Whether two separators stand between two texts, as RoBERTa has them."""
    return special_names(tokenizer) == _ROBERTA


_WIDTH = 32  # a batch's width is a multiple of it (or the context): few different shapes, whose memory is used again


@dataclass(eq=False)
class Examples:
    """The stream of BERT's examples over documents: batch after batch, each a pure function of its place.

    Attributes:
        pairs: whether rows are sentence pairs, or whole sentences in one segment.
    """

    documents: Documents
    tokenizer: Tokenizer
    settings: BertData
    _: KW_ONLY
    pairs: bool
    context: int
    seed: int

    def __post_init__(self) -> None:
        self.special = special_ids(self.tokenizer)
        self._continues = continuing_pieces(self.tokenizer) if self.settings.whole_words else None
        self._document_ends = self.documents.sentences[self.documents.documents]  # in tokens
        self.stream = Stream(self.documents, self.settings, pairs=self.pairs, context=self.context, seed=self.seed)

    def batch(self, position: int, rows: int) -> BertBatch:
        """The batch of `rows` examples from `position` of the stream on, padded to a common length."""
        made = []
        for number, index, example in self.stream.take(position, rows):
            ids, row_types = self.row(example)
            draw = np.random.default_rng([self.seed, number, index + 1])  # [seed, number, 0] made the pass
            row_seen, row_places = self._mask(ids, draw)
            made.append((row_seen, row_types, row_places, ids[row_places], example[4]))
        seen, types, places, targets, labels = zip(*made, strict=True)
        lengths = np.array([len(row) for row in seen])
        width = min(self.context, -(-lengths.max() // _WIDTH) * _WIDTH)
        most = self.settings.max_predictions
        return BertBatch(
            pad_rows(seen, self.special.pad, width),
            pad_rows(types, 0, width),
            pad_rows(places, 0, most),
            pad_rows(targets, IGNORE, most),
            np.array(labels) if self.pairs else None,
            np.arange(width) < lengths[:, None] if lengths.min() < width else None,
        )

    def row(self, example: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of an example before any are hidden, and their token types.

        A pair is [CLS] A [SEP] B [SEP], of type 0 up to the first [SEP] and 1 behind it. Without pairs it is
        [CLS] A [SEP], all of type 0, with a further [SEP] wherever a document ends inside A.
        """
        cls, sep = [self.special.cls], [self.special.sep]
        a_start, a_stop, b_start, b_stop, _ = example.tolist()
        a = self.documents.ids[a_start:a_stop].astype(np.int64)
        if not self.pairs:
            inside = np.searchsorted(self._document_ends, (a_start + 1, a_stop))
            a = np.insert(a, self._document_ends[slice(*inside)] - a_start, self.special.sep)
            ids = np.concatenate([cls, a, sep])
            return ids, np.zeros(len(ids), dtype=np.int64)
        b = self.documents.ids[b_start:b_stop].astype(np.int64)
        ids = np.concatenate([cls, a, sep, b, sep])
        return ids, (np.arange(len(ids)) >= len(a) + 2).astype(np.int64)

    def _mask(self, ids: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return mask_tokens(
            ids,
            (ids != self.special.cls) & (ids != self.special.sep),
            draw,
            mask_id=self.special.mask,
            vocab_size=self.tokenizer.vocab_size,
            probability=self.settings.mask_probability,
            most=self.settings.max_predictions,
            continues=self._continues,
        )
