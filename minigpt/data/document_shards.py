"""Tokenized documents: all token ids in one array, with the places where sentences and documents begin.

The sentences of a text stand one after the other, so any run of sentences is a slice of the ids. Like other token
shards they lie in the cache folder, memory-mapped, under a name made of the text's and the tokenizer's fingerprints.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.files import cache_folder
from minigpt.core.progress import progress_bar
from minigpt.data import shards, text
from minigpt.data.sentences import split_documents
from minigpt.tokenizers import Tokenizer, fingerprint

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


def from_lists(documents: Sequence[Sequence[Sequence[int]]]) -> Documents:
    """Documents of sentences of token ids. Empty sentences, and documents without any other, are left out."""
    full = [[s for s in document if len(s)] for document in documents]
    full = [document for document in full if document]
    return Documents(
        np.array([i for document in full for sentence in document for i in sentence], dtype=np.int64),
        _starts([len(sentence) for document in full for sentence in document]),
        _starts([len(document) for document in full]),
    )


def _starts(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def encode_documents(files: Sequence[Path], tokenizer: Tokenizer, form: str, text_fingerprint: str) -> Documents:
    """Return the files' documents, encoding them only if the cache does not hold them.

    Args:
        form: how documents and sentences are told apart, a key of `minigpt.data.sentences.FORMS`.
    Raises:
        UserError: a file is not UTF-8, or there is no sentence in any of them.
    """
    key = hashlib.sha256(
        f"{shards.ENCODING}\n{text_fingerprint}\n{fingerprint(tokenizer)}\n{form}".encode()
    ).hexdigest()[:32]
    folder = cache_folder() / "tokens"
    paths = [folder / f"{key}-{part}.bin" for part in ("ids", "sentences", "documents")]
    dtypes = [shards.token_dtype(tokenizer.vocab_size), _OFFSETS, _OFFSETS]
    parts = [shards.open_numbers(path, dtype) for path, dtype in zip(paths, dtypes, strict=True)]
    if any(part is None for part in parts):
        _write(paths, dtypes, files, tokenizer, form)
        parts = [shards.open_numbers(path, dtype) for path, dtype in zip(paths, dtypes, strict=True)]
        if any(part is None for part in parts):
            raise UserError(f"the token files {folder / key}-* were changed while they were written; try again")
    ids, sentences, documents = parts
    if not len(documents):
        raise UserError(f"there is no sentence in {', '.join(map(str, files))}")
    return Documents(ids, _starts(sentences), _starts(documents))


def _write(paths: list[Path], dtypes: list[np.dtype], files: Sequence[Path], tokenizer: Tokenizer, form: str) -> None:
    sentence_lengths, document_lengths = array("I"), array("I")

    def ids() -> Iterator[np.ndarray]:
        for document in _read(files, form):
            before = len(sentence_lengths)
            for sentence in document:
                if encoded := tokenizer.encode(sentence):
                    sentence_lengths.append(len(encoded))
                    yield np.asarray(encoded, dtype=dtypes[0])
            if len(sentence_lengths) > before:
                document_lengths.append(len(sentence_lengths) - before)

    shards.write_numbers(paths[0], ids())
    for path, dtype, lengths in zip(paths[1:], dtypes[1:], (sentence_lengths, document_lengths), strict=True):
        shards.write_numbers(path, [np.array(lengths, dtype=dtype)])


def _read(files: Sequence[Path], form: str) -> Iterator[list[str]]:
    """The documents of all files, with a progress bar; none spans two files."""
    total = sum(file.stat().st_size for file in files)
    with progress_bar(total=total, desc="encoding", unit="B", unit_scale=True, leave=False) as bar:

        def pieces(file: Path) -> Iterator[str]:
            for piece in text.read_pieces([file]):
                yield piece
                bar.update(len(piece.encode("utf-8")))

        for file in files:
            yield from split_documents(pieces(file), form)
