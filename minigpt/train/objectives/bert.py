"""BERT's objective: hidden tokens, and pairs of sentences that follow each other or do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.measures import means
from minigpt.core.params import Parameters
from minigpt.data import text
from minigpt.data.bert_batch import BertBatch, Examples, special_ids, special_names
from minigpt.data.bert_instances import BertData
from minigpt.data.dataset import Dataset
from minigpt.data.document_shards import Documents, encode_documents
from minigpt.data.guessing import frequency_guess
from minigpt.generate.fill import fill_in
from minigpt.tasks.inputs import second_prefix
from minigpt.tokenizers import Tokenizer, encode_text
from minigpt.train.loss import Score
from minigpt.train.objectives.base import Makers, Objective, Report, Seed
from minigpt.train.settings import RunConfig, SampleConfig

_SHOWN = 3  # examples in a sample
_SAME = 0  # the seed of what must not depend on the run's: validation examples


class BertObjective(Objective):
    """See objectives. Its data are `Documents`; validation takes each of them once, always masked the same.

    Training takes the examples of `minigpt.data.bert_instances` one after the other, so it sees all of a pass before
    the next begins.
    """

    Config = BertData
    has_baseline = True

    def __init__(self, config: RunConfig, tokenizer: Tokenizer):
        super().__init__(config, tokenizer)
        self.special, self.mask = special_ids(tokenizer), special_names(tokenizer)[-1]
        if config.sample.prompt:
            self._prompt(config.sample.prompt)
        self._training: tuple[Documents, int, Examples] | None = None
        self._dataset: Dataset | None = None

    def load(self) -> Dataset:
        data = self.config.data
        documents, fingerprint = self._documents(data.sources)
        parts = documents.split(data.validation_fraction, least=self._least)
        self._dataset = Dataset(*parts, self.tokenizer, fingerprint)
        return self._dataset

    def read(self, sources: Sequence[str]) -> Documents:
        documents, _ = self._documents(sources)
        if documents.count < self._least:
            raise UserError(f"{', '.join(sources)} is one document; sentence pairs need at least two")
        return documents

    def _documents(self, sources: Sequence[str]) -> tuple[Documents, str]:
        files = text.resolve_sources(sources)
        fingerprint = text.fingerprint(files)
        return encode_documents(files, self.tokenizer, self.config.objective.documents, fingerprint), fingerprint

    @property
    def _least(self) -> int:
        """A random second sentence comes from another document."""
        return 2 if self.config.model.pairs else 1

    def _examples(self, documents: Documents, seed: int) -> Examples:
        c = self.config
        return Examples(documents, self.tokenizer, c.objective, pairs=c.model.pairs, context=c.model.context, seed=seed)

    def batch(self, data: Documents, rows: int, *, seed: int, step: int, part: int, first_row: int) -> BertBatch:
        if self._training is None or self._training[0] is not data or self._training[1] != seed:
            self._training = data, seed, self._examples(data, seed)
        return self._training[2].batch(first_row, rows)

    def evaluation_batches(self, data: Documents, rows: int, limit: int | None = None) -> Makers:
        examples = self._examples(data, _SAME)
        count = len(examples.stream.examples_of_pass(0))
        if limit is not None:
            count = min(count, max(1, limit // self.config.model.context))  # they are in random order
        return [partial(examples.batch, start, min(rows, count - start)) for start in range(0, count, rows)]

    def about(self, dataset: Dataset) -> str:
        train: Documents = dataset.train
        guess = self._guesses(train, self.evaluation_batches(dataset.validation, 64))
        return (
            f"{train.tokens:,} training tokens in {train.count:,} documents ({self.tokenizer.vocab_size:,} distinct), "
            f"rows of {self.config.model.context}; guessing by frequency gives {_listed(guess)}"
        )

    def report(self, score: Score, data: Documents) -> Report:
        """Loss and measures, and the perplexity of hidden tokens."""
        perplexity = Score(score.measures["mlm_loss"], score.counts, {}).perplexity
        return {"loss": score.loss, "perplexity": perplexity, "tokens": score.tokens}, (
            f"loss {score.loss:.4f} nats: {_listed(score.measures)}; perplexity {perplexity:.3f} over {score.tokens} "
            "hidden tokens"
        )

    def baseline(self, train: Documents, score: Score, batches: Makers, data: Documents) -> Report:
        """What guessing achieves that knows nothing but how frequent each token, and each answer, is in training."""
        guesses = self._guesses(train, batches)
        return {f"baseline_{name}": value for name, value in guesses.items()}, f"by frequency alone: {_listed(guesses)}"

    def _guesses(self, train: Documents, makers: Makers) -> dict[str, float]:
        batches = [make() for make in makers]
        start, stop = train.sentences[train.documents[[0, -1]]].tolist()
        seen = np.bincount(train.ids[start:stop], minlength=self.tokenizer.vocab_size)
        guesses = {"mlm": frequency_guess(seen, (batch.targets for batch in batches))}
        if self.config.model.pairs:
            labels = self._examples(train, _SAME).stream.examples_of_pass(0)[:, 4]
            guesses["nsp"] = frequency_guess(np.bincount(labels, minlength=2), (batch.labels for batch in batches))
        return {f"{task}_{name}": value for task, guess in guesses.items() for name, value in means(guess).items()}

    def sample(self, model: Any, params: Parameters, settings: SampleConfig, seed: Seed) -> Iterator[str]:
        """The prompt with every [MASK] filled in; without a prompt, some validation examples and their fillings."""
        if settings.repetition_penalty != 1 or settings.no_repeat_ngram:
            raise UserError("repetition_penalty and no_repeat_ngram are for models that continue a text; BERT fills in")
        fill = partial(self._filled, model, params, settings, seed)
        if settings.prompt:
            ids = self._prompt(settings.prompt)
            yield self._marked(ids, fill(ids))
            return
        dataset = self._dataset or self.load()
        batch = self._examples(dataset.validation, _SAME).batch(0, _SHOWN)
        for row in range(_SHOWN):
            ids = batch.inputs[row][: None if batch.key_padding is None else batch.key_padding[row].sum()].tolist()
            truth = dict(zip(batch.places[row].tolist(), batch.targets[row].tolist(), strict=True))
            yield f"{self._marked(ids, fill(ids), truth)}\n"

    def _prompt(self, prompt: str) -> list[int]:
        """The ids of a prompt with the tokens that the tokenizer puts around it, [CLS] and [SEP].

        Raises:
            UserError: there is no [MASK] in it, or it is longer than the context.
        """
        ids = encode_text(self.tokenizer, prompt).ids
        if self.special.mask not in ids:
            raise UserError(
                f'the prompt has no {self.mask}: write it where BERT is to fill something in, as in "a {self.mask}."'
            )
        if len(ids) > self.config.model.context:
            raise UserError(
                f"the prompt has {len(ids)} tokens with [CLS] and [SEP], but the model's context is "
                f"{self.config.model.context}; shorten it"
            )
        return ids

    def _filled(self, model: Any, params: Parameters, settings: SampleConfig, seed: Seed, ids: list[int]) -> list[int]:
        blanks, size = [place for place, i in enumerate(ids) if i == self.special.mask], self.tokenizer.vocab_size
        return fill_in(model, params, ids, blanks, seed=seed, vocab_size=size, **settings.drawing)

    def _marked(self, ids: list[int], filled: list[int], truth: dict[int, int] | None = None) -> str:
        """The text with what was filled in set in brackets, and behind a slash what was right, where that is known."""
        words = []
        for place, (before, after) in enumerate(zip(ids, filled, strict=True)):
            if before != self.special.mask:
                words.append(self._word(before))
                continue
            right = self._word(truth[place]) if truth and place in truth else None
            said = self._word(after)
            words.append(f"[{said}]" if right in (None, said) else f"[{said}/{right}]")
        around = (self.special.cls, self.special.sep)
        start, stop = ids[:1] == [around[0]], len(ids) - (ids[-1:] == [around[1]])
        if second_prefix(self.tokenizer):
            return "".join(words[start:stop]).strip()
        return " ".join(words[start:stop]).replace(" ##", "")

    def _word(self, i: int) -> str:
        """A token as text; where tokenizers see spaces, with its own."""
        text = self.tokenizer.decode([i]) if second_prefix(self.tokenizer) else "\ufffd"
        return self.tokenizer.token(i) if "\ufffd" in text else text  # a part of a character has none


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())
