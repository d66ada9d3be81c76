"""Tokenized documents: all token ids in one array, with the places where sentences and documents begin.

The sentences of a text stand one after the other, so any run of sentences is a slice of the ids. Like other token
shards they lie in the cache folder, memory-mapped, under a name made of the text's and the tokenizer's fingerprints.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.settings import require
from minigpt.data import shards, sharing, text
from minigpt.data.sentences import split_documents
from minigpt.tokenizers import Tokenizer

_OFFSETS = np.dtype("<u4")  # lengths of sentences (in tokens) and of documents (in sentences)


class Documents(NamedTuple):
    """D documents of S sentences.

    Attributes:
        ids: (N,) token ids.
        sentences: (S + 1,) where each sentence starts in `ids`; sentence s is ids[sentences[s] : sentences[s + 1]].
        documents: (D + 1,) where each document starts in `sentences`. After a split the first is not 0.
    """

    ids: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    @property
    def count(self) -> int:
        return len(self.documents) - 1

    @property
    def tokens(self) -> int:
        return int(self.sentences[self.documents[-1]] - self.sentences[self.documents[0]])

    def split(self, fraction: float, *, least: int = 1) -> tuple[Documents, Documents]:
        """Cut between two documents, so that about `fraction` of the tokens is in the second part.

        Args:
            least: how many documents each part must have.
        Raises:
            UserError: there are too few documents for that.
        """
        if self.count < 2 * least:
            raise UserError(
                f"the text has {self.count} document{'s' * (self.count > 1)}, and training and validation need at "
                f"least {least} each: separate documents by blank lines, or see objective.documents for other forms"
            )
        starts = self.sentences[self.documents] - self.sentences[self.documents[0]]  # (D + 1,) in tokens
        cut = int(np.abs(starts - (1.0 - fraction) * self.tokens).argmin())
        cut = min(max(cut, least), self.count - least)
        return self._replace(documents=self.documents[: cut + 1]), self._replace(documents=self.documents[cut:])


def _starts(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def encode_documents(files: Sequence[Path], tokenizer: Tokenizer, form: str, text_fingerprint: str) -> Documents:
    """Return the files' documents, encoding them only if the cache does not hold them.

    Args:
        form: how documents and sentences are told apart, a key of `minigpt.data.sentences.FORMS`.
    Raises:
        UserError: a file is not UTF-8, or there is no sentence in any of them.
    """
    path = shards.cache_path(text_fingerprint, tokenizer, form)
    parts = _open(path, tokenizer)
    if parts is None:
        _write(path, files, tokenizer, form)
        parts = _open(path, tokenizer)
        if parts is None:
            raise UserError(f"the token files {path.with_suffix('')}-* were changed while they were written; try again")
    ids, sentences, documents = parts
    require(len(documents) > 0, f"there is no sentence in {', '.join(map(str, files))}")
    return Documents(ids, _starts(sentences), _starts(documents))


def _parts(path: Path, tokenizer: Tokenizer) -> list[tuple[Path, np.dtype]]:
    """The files of ids, of lengths of sentences and of documents, and the type of their numbers."""
    types = {"ids": shards.token_dtype(tokenizer.vocab_size), "sentences": _OFFSETS, "documents": _OFFSETS}
    return [(path.with_name(f"{path.stem}-{part}.bin"), dtype) for part, dtype in types.items()]


def _open(path: Path, tokenizer: Tokenizer) -> list[np.ndarray] | None:
    opened = [shards.open_numbers(*part) for part in _parts(path, tokenizer)]
    return [part[0] for part in opened if part] if all(opened) else None


def _write(path: Path, files: Sequence[Path], tokenizer: Tokenizer, form: str) -> None:
    (ids, dtype), *others = _parts(path, tokenizer)
    lengths = array("I"), array("I")
    shards.write_numbers(ids, _encoded(files, tokenizer, form, dtype, *lengths))
    for (part, dtype), some in zip(others, lengths, strict=True):
        shards.write_numbers(part, [np.array(some, dtype=dtype)])


def _encoded(
    files: Sequence[Path], tokenizer: Tokenizer, form: str, dtype: np.dtype, sentences: array, documents: array
) -> Iterator[np.ndarray]:
    """Yield the ids of every sentence; `sentences` and `documents` get the lengths. No document spans two files."""
    found = (d for file in files for d in split_documents(text.read_with_progress([file], "encoding"), form))
    for _, ids in sharing.encoded(partial(_ids, dtype), tokenizer, found, files):
        if ids:
            documents.append(len(ids))
            sentences.extend(map(len, ids))
            yield from ids


def _ids(dtype: np.dtype, tokenizer: Tokenizer, document: Sequence[str]) -> list[np.ndarray]:
    """The ids of each sentence that has any."""
    return [np.asarray(ids, dtype=dtype) for ids in map(tokenizer.encode, document) if ids]
