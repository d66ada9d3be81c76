"""Documents from nested lists, for tests of what is made of them."""

from collections.abc import Sequence

import numpy as np

from minigpt.data.document_shards import Documents


def from_lists(documents: Sequence[Sequence[Sequence[int]]]) -> Documents:
    """Documents of sentences of token ids."""
    sentences = [sentence for document in documents for sentence in document]
    return Documents(
        np.concatenate([np.asarray(sentence, dtype=np.int64) for sentence in sentences]),
        np.cumsum([0, *map(len, sentences)]),
        np.cumsum([0, *map(len, documents)]),
    )
