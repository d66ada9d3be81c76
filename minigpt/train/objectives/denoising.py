"""Denoising (BART): the encoder reads a damaged text, the decoder writes the text as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.settings import at_least
from minigpt.data import text
from minigpt.data.copying import Copying, copying_baseline
from minigpt.data.dataset import Dataset, load_dataset, whole_text, window_starts
from minigpt.data.encoded import Tokens
from minigpt.data.noising import Noise, denoising_rows, noise_vocabulary
from minigpt.data.seq2seq import Seq2SeqBatch
from minigpt.tokenizers import Tokenizer
from minigpt.train.loss import Score
from minigpt.train.objectives.base import Makers, Report
from minigpt.train.objectives.writing import WritingObjective
from minigpt.train.settings import RunConfig

_EVALUATION = 2**32 - 1  # a seed for the noise on validation text, which is always the same


@dataclass(frozen=True)
class DenoisingConfig(Noise):
    """How the text is damaged (see `Noise`), and how long rows are.

    Attributes:
        length: tokens of a row, `<s>` and `</s>` included; 0 means model.context.
    """

    length: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, "objective", self, "length")


class DenoisingObjective(WritingObjective):
    """See `minigpt.train.objectives`. Its data are arrays of token ids, one text after the other.

    A row is `<s>`, a window of the ids and `</s>`; its damaged version may be shorter, or a little longer.
    """

    Config = DenoisingConfig
    needed = ("bos", "pad", "eos", "mask")
    words = ("damaged:  ", "restored: ", "original: ")

    def __init__(self, config: RunConfig, tokenizer: Tokenizer):
        super().__init__(config, tokenizer)
        self.length = config.objective.length or config.model.context
        if not 4 <= self.length <= config.model.context:
            raise UserError(
                f"rows of {self.length} tokens cannot be restored: objective.length must be at least 4 and at most "
                f"model.context, which is {config.model.context} (0 means as many)"
            )
        self.vocabulary = noise_vocabulary(tokenizer)
        self.window = self.length - 2  # without <s> and </s>

    def load(self) -> Dataset:
        data = self.config.data
        fraction = data.validation_fraction
        return load_dataset(data.sources, self.tokenizer, validation_fraction=fraction, context=self.window)

    def read(self, sources: Sequence[str]) -> Tokens:
        tokens = whole_text(text.resolve_sources(sources), self.tokenizer)
        if not len(tokens):
            raise UserError(f"there is no text in {', '.join(sources)}")
        return tokens

    def batch(self, data: Tokens, rows: int, *, seed: int, step: int, part: int, first_row: int = 0) -> Seq2SeqBatch:
        draw = np.random.default_rng([seed, step, part])
        starts = draw.integers(0, len(data) - self.window + 1, size=rows)
        return self._batch(data, starts.tolist(), [seed, step, part])

    def evaluation_batches(self, data: Tokens, rows: int, limit: int | None = None) -> Makers:
        """Windows that do not overlap and, without a limit, cover the text."""
        starts = window_starts(len(data) + 1, self.window, limit)
        groups = [starts[i : i + rows] for i in range(0, len(starts), rows)]
        return [partial(self._batch, data, group, [_EVALUATION, group[0]]) for group in groups]

    def _batch(self, data: Tokens, starts: Sequence[int], key: Sequence[int]) -> Seq2SeqBatch:
        """The windows that start there, damaged by what is drawn with this key."""
        bos, eos = [self.model.bos], [self.model.eos]
        windows = [data[start : start + self.window] for start in starts]
        rows = [np.concatenate([bos, window, eos]).astype(np.int64) for window in windows]
        noisy = denoising_rows(rows, self.config.objective, self.vocabulary, key=key, limit=self.model.context)
        return self.joined(noisy, rows)

    def copying(self, data: Tokens, limit: int | None) -> Copying:
        """What plain copying of the damaged text would come to, on the batches that evaluation makes of `data`."""
        batches = self.evaluation_batches(data, self.config.train.batch, limit)
        return copying_baseline((make() for make in batches), self.tokenizer.vocab_size)

    def about(self, dataset: Dataset) -> str:
        copying = self.copying(dataset.validation, self.config.train.eval_tokens)
        return (
            f"{len(dataset.train):,} training tokens ({self.tokenizer.vocab_size:,} distinct), rows of "
            f"{self.length}, where copying the damaged text would come to accuracy {copying.accuracy:.4f} "
            f"and loss {copying.loss:.4f}"
        )

    def report(self, score: Score, data: Tokens) -> Report:
        """The loss of restoring the text, and what plain copying would come to."""
        copying, accuracy = self.copying(data, None), score.measures["accuracy"]
        values = {"loss": score.loss, "perplexity": score.perplexity, "tokens": score.tokens}
        return values | {"copy_loss": copying.loss, "copy_accuracy": copying.accuracy}, (
            f"loss {score.loss:.4f} nats per token (copying: {copying.loss:.4f}), accuracy {accuracy:.4f} "
            f"(copying: {copying.accuracy:.4f}), over {score.tokens} tokens"
        )

    def baseline(self, train: Tokens, score: Score, batches: Makers, data: Tokens) -> Report:
        """What 5-grams counted in the training text make of the same text, without a look at the damaged one."""
        loss = self.ngram_loss(train, data, self.length)
        return {"baseline_loss": loss}, f"a 5-gram model (Kneser–Ney), which sees no source: loss {loss:.4f}"

    def source_ids(self, prompt: str) -> list[int]:
        """In a prompt, <mask> stands for what is missing."""
        return [self.model.bos, *self.tokenizer.encode(prompt, allowed={"<mask>"}), self.model.eos]

    def example(self, data: Tokens) -> tuple[list[int], np.ndarray]:
        return self._batch(data, [0], [_EVALUATION, 0]).source[0].tolist(), data[: self.window]
