"""A tokenized text, split for training and validation, and the batches that training draws from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.core.settings import require
from minigpt.data import corpora, text
from minigpt.data.batch import Batch
from minigpt.data.documents import Documents
from minigpt.data.encoded import Tokens, encode_files
from minigpt.tokenizers import Tokenizer


class Dataset(NamedTuple):
    """The tokens to learn from and to validate on.

    Attributes:
        train, validation: the first part and the last part of the text's tokens.
        fingerprint: identifies the text; a run that resumes insists on the same.
    """

    train: Any
    validation: Any
    tokenizer: Tokenizer
    fingerprint: str


def text_files(sources: Sequence[str]) -> list[Path]:
    """Turn files, folders and corpus names into the list of files; refuse it if there is no text in them."""
    files = text.resolve_sources(sources)
    require(sum(file.stat().st_size for file in files) != 0, f"there is no text in {_names(files)}: the file is empty")
    return files


def _names(files: Sequence[Path]) -> str:
    return ", ".join(str(file) for file in files[:3]) + (", …" if len(files) > 3 else "")


def load_dataset(
    sources: Sequence[str],
    tokenizer: Tokenizer | str,
    *,
    validation_fraction: float,
    context: int,
    documents: Documents | None = None,
) -> Dataset:
    """Read, tokenize and split the text of `sources` (files, folders, corpus names).

    The ids of all files stand one after the other; the first 1 − validation_fraction of them are for training.

    Args:
        tokenizer: a tokenizer, or what to make it from: "char", "byte", "bpe:4096", … or a tokenizer file.
        documents: how the text falls into documents, if each is followed by an end-of-text token.
        context: T; both parts must hold at least one window of T tokens and its last target.
    Raises:
        UserError: the text is empty, not UTF-8, or shorter than that.
    """
    files = text_files(sources)
    if isinstance(tokenizer, str):
        tokenizer = make_tokenizer(tokenizer, files)
    fingerprint = text.fingerprint(files)
    encoded = encode_files(files, tokenizer, fingerprint, documents)
    split = int(len(encoded.ids) * (1.0 - validation_fraction))
    train, validation = encoded.part(0, split), encoded.part(split)
    if min(len(train), len(validation)) < context + 1:
        raise UserError(
            f"the text is too short: {_names(files)} gives {len(train)} training and {len(validation)} validation "
            f"tokens, and a context of {context} needs at least {context + 1} of each; use more text or a "
            "smaller model.context"
        )
    return Dataset(train, validation, tokenizer, fingerprint)


def whole_text(files: Sequence[Path], tokenizer: Tokenizer, documents: Documents | None = None) -> Tokens:
    """All tokens of some files."""
    return encode_files(files, tokenizer, text.fingerprint(files), documents).part()


def check_sources(run: Path, config: Any) -> None:
    """Raise UserError if the text that a run was trained on is no longer where it was."""
    for source in config.data.sources:
        if not Path(source).exists() and source not in corpora.corpus_names():
            raise UserError(f"the text of {run} is no longer at {source}; give its new place with --data")


def make_tokenizer(spec: str, files: Sequence[Path], special_tokens: Sequence[str] = ()) -> Tokenizer:
    """Make the tokenizer that a configuration asks for: a kind, trained on these files, or a tokenizer file.

    Args:
        special_tokens: what a tokenizer that is trained should have besides text, where its kind can.
    """
    able = special_tokens and spec.partition(":")[0] in tokenizers.making.SIZED
    options = {"special_tokens": tuple(special_tokens)} if able else {}
    return tokenizers.from_spec(spec, lambda: text.read_with_progress(files, "reading"), **options)


def random_batch(tokens: np.ndarray | Tokens, rows: int, context: int, *, seed: int, step: int, part: int = 0) -> Batch:
    """Draw `rows` windows of `context` tokens at random places, with the following token as target of each.

    A pure function of its arguments: the windows of a step are the same whether the run was interrupted or not.
    """
    draw = np.random.default_rng([seed, step, part])
    starts = draw.integers(0, len(tokens) - context, size=rows)
    return window_batch([tokens[start:] for start in starts], context)


def window_batch(texts: Sequence[np.ndarray], context: int) -> Batch:
    """The first `context` tokens of each text (fewer where all are shorter), the following token as target of each."""
    windows = np.stack([tokens[: context + 1] for tokens in texts]).astype(np.int64)
    return Batch(windows[:, :-1], windows[:, 1:])


def window_starts(tokens: int, context: int, limit: int | None) -> list[int]:
    """Where the non-overlapping windows start; at most about `limit` tokens of them, evenly spread over the text."""
    starts = range(0, tokens - 1, context)
    if limit is None or tokens - 1 <= limit:
        return list(starts)
    full = (tokens - 1) // context
    count = max(1, min(full, limit // context))
    return [context * (full * i // count) for i in range(count)]


def window_batches(
    tokens: np.ndarray | Tokens, rows: int, context: int, limit: int | None = None
) -> list[Callable[[], Batch]]:
    """Cut a text into non-overlapping windows, so that every token is predicted once (the first has none before it).

    Returns:
        functions that each make a batch of up to `rows` windows; the last, shorter window stands alone.
    """
    starts = window_starts(len(tokens), context, limit)
    full = [s for s in starts if s + context + 1 <= len(tokens)]
    groups = [full[i : i + rows] for i in range(0, len(full), rows)] + [[s] for s in starts[len(full) :]]

    return [partial(lambda group: window_batch([tokens[s:] for s in group], context), group) for group in groups]
