"""`minigpt.load(path)`: a trained model with its tokenizer, spoken to in Hugging Face's terms.

What it is asked in ids is in `minigpt.interop.opened`; here are the texts.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigpt.core.backend import backend_of, get_backend
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.fast.int8 import Int8Parameters
from minigpt.generate.embedding import embed_rows, encode_texts
from minigpt.interop.adapters import Seq2SeqAdapter, adapter_of, known_ids
from minigpt.interop.hub import fetch, is_hub_name
from minigpt.interop.opened import Opened
from minigpt.interop.opening import open_model
from minigpt.interop.prompting import own_settings, text_settings, written
from minigpt.interop.token_roles import read_generation
from minigpt.models.decoder_only import DecoderOnly
from minigpt.models.encoder_decoder import Seq2Seq
from minigpt.tokenizers.base import check_fit
from minigpt.tokenizers.template import begin_end_template, roberta_template
from minigpt.train.best import chosen_checkpoint
from minigpt.train.checkpoint import check_tokenizer, load_state, load_weights
from minigpt.train.families import make_model, make_objective
from minigpt.train.run_folder import find_run, is_run, load_config, load_tokenizer

# What the texts of our own runs stand between in training, where their tokenizer does not say it.
OWN_TEMPLATES = {
    "bart": lambda c: roberta_template(c.bos, c.eos),
    "transformer": lambda c: begin_end_template(None, c.eos),
}


class Loaded(Opened):
    """A model that reads and writes texts, too, where it came with a tokenizer."""

    def embed(
        self,
        texts: Sequence[str],
        *,
        pooling: str = "mean",
        normalize: bool = False,
        layer: int = -1,
        truncate: bool = False,
        batch_size: int = 32,
    ) -> np.ndarray:
        """A vector for every text, (N, C): what the states of its tokens say together.

        Args:
            pooling: "mean" of the states of all tokens, the special ones too, as sentence-transformers does; "cls", the
                first token's; "max", the largest of each number.
            normalize: whether to divide by the length, so that products of vectors are cosines.
            layer: behind which the states are taken (see `hidden_states`).
            truncate: leave out the end of a text that is longer than the context; otherwise that is an error.
            batch_size: how many texts are computed at a time; it changes nothing else.

        Raises:
            UserError: a text is too long or gives no tokens, or the model has no tokenizer.
        """
        rows = encode_texts(self.text, texts, context=self.model.config.context, truncate=truncate)
        if not rows:
            return np.empty((0, self.model.config.width), self.params.flat.dtype)
        backend = backend_of(self.params.flat)

        def states(ids: np.ndarray, real: np.ndarray) -> np.ndarray:
            return backend.to_host(self.hidden_states(ids, real, layer=layer))

        return embed_rows(rows, states, pooling=pooling, normalize=normalize, size=max(1, batch_size))

    def predict(self, examples: Sequence[Any]) -> list[Any]:
        """What a fine-tuned model answers: the class in words, the score, the option's number, or the text.

        Args:
            examples: of the task's kind (see `minigpt.tasks.examples`), or texts: a str, or a tuple of the str that
                such an example consists of: (premise, hypothesis), (context, options), (context, question, options),
                (question, context).
        Raises:
            UserError: the model was not fine-tuned, or such an example is not of its kind.
        """
        if not self.config.task:
            raise UserError(
                "this model was not fine-tuned for a task: minigpt finetune does that, and then it predicts"
            )
        if isinstance(examples, str):
            raise UserError("predict takes a list of examples, even of one")
        objective = make_objective(self.config, self.text)
        taken = [objective.example(example) for example in examples]
        return [objective.word(p) for p in objective.predict(self.model, self.params, taken)]

    def generate(
        self,
        prompt: str = "",
        *,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> str:
        """What the model makes of `prompt`: its continuation, or what the family's objective lets it write.

        The prompt gets the special tokens that the original adds (docs/special-tokens.md).

        Args:
            max_new_tokens: by default as many as the model's own settings say, else 200.
            temperature: 0 takes the most probable token each time, any other draws; by default what the model's own
                settings say, else 1.
            settings: further ones of `minigpt.generate.settings.Generation`, such as `top_k`, `top_p`, `num_beams` or
                `repetition_penalty`; for runs of our own those of `minigpt.train.settings.SampleConfig`.
        """
        given = {"max_new_tokens": max_new_tokens, "temperature": temperature, **settings}
        if self.generation is None:  # not what the run's own samples draw from
            given = {"top_k": 0, "top_p": 1.0} | given
        return "".join(self.pieces(prompt, given, seed, tokens=200, drawing=1.0)).removeprefix(prompt)

    def pieces(self, prompt: str, given: Mapping[str, Any], seed: int, *, tokens: int, drawing: float) -> Iterator[str]:
        """The text of `generate` as it comes: a continuation begins with the prompt.

        Args:
            given: settings, None where nothing is said.
            tokens, drawing: how many tokens and which temperature, where neither `given` nor the model says it.
        """
        if self.generation is None or self.config.task or self.model.family == "bert":
            sample = own_settings(self.config.sample, given, tokens, drawing)
            sample = dataclasses.replace(sample, prompt=prompt)
            objective = make_objective(dataclasses.replace(self.config, sample=sample), self.text)
            return objective.sample(self.model, self.params, sample, seed)
        found = written(self, prompt, text_settings(self, given, tokens, drawing), seed)
        return found if adapter_of(self.model.family) is Seq2SeqAdapter else itertools.chain([prompt], found)


def load(
    path: str | Path,
    *,
    dtype: str | None = "float32",
    backend: str = "numpy",
    tokenizer: bool = True,
    skip: Collection[str] = (),
    fresh: Collection[str] = (),
    weights: str | None = None,
) -> Loaded:
    """Open a run, one checkpoint of a run, or a model of another implementation.

    Args:
        path: a run (with `train.best` at its best checkpoint, else at its newest), a checkpoint's folder, a Hugging
            Face folder, a model of llama2.c, a folder with GPT's released arrays, or, where there is no such path,
            the name of a model on a hub, "owner/name" or "owner/name@revision" (see `minigpt.interop.hub`).
        dtype: of the parameters; None takes the precision that they are stored in (float32 for half precision).
        tokenizer: whether to open the tokenizer too; without one the model takes and gives ids only.
        skip: beginnings of names of tensors in Hugging Face's files that are left out, such as those of another head.
        fresh: beginnings of names that those files lack; these parameters start as a new model's would.
        weights: "int8" keeps matrices as bytes (see `minigpt.fast.int8`): a quarter of the memory, to write and to
            score texts with, not to train.

    Raises:
        UserError: it is none of these, it is damaged, tokenizer and model do not fit together, or such weights are not
            for this model or backend.
    """
    path = Path(os.path.realpath(fetch(str(path)) if is_hub_name(str(path)) else path))
    is_checkpoint = path.parent.name == "checkpoints" and path.is_dir() and not is_run(path)
    if is_checkpoint or is_run(path):
        return _load_run(path.parent.parent if is_checkpoint else path, path, dtype, backend, tokenizer, weights)
    opened = open_model(path, dtype, tokenizer=tokenizer, skip=skip, fresh=fresh)
    if opened.tokenizer:
        check_fit(opened.tokenizer, opened.config.model.vocab_size)
    params = Parameters(opened.model.specs, get_backend(backend).asarray(opened.params.flat))
    return Loaded(**(vars(opened) | {"params": _kept(opened.model, params, weights)}))


def _load_run(
    run: Path, path: Path, dtype: str | None, backend: str, with_tokenizer: bool, weights: str | None
) -> Loaded:
    run = find_run(str(run))
    config = load_config(run)
    checkpoint = chosen_checkpoint(run, config.train.best) if path == run else path
    model = make_model(config)
    state = load_state(checkpoint)
    tokenizer = None
    if with_tokenizer and state.get("tokenizer", "") is not None:
        tokenizer = load_tokenizer(run)
        check_fit(tokenizer, config.model.vocab_size)
        check_tokenizer(state, tokenizer, run)
    params = load_weights(checkpoint, model, dtype=dtype or config.train.dtype, backend=get_backend(backend))
    ids, written_elsewhere = read_generation(run)
    if tokenizer is not None and written_elsewhere is None and config.family in OWN_TEMPLATES:
        tokenizer.template = OWN_TEMPLATES[config.family](config.model)
    params = _kept(model, params, weights)
    return Loaded(model, params, tokenizer, config, ids or known_ids(model), written_elsewhere)


def _kept(model: Any, params: Parameters, weights: str | None) -> Parameters:
    """The parameters as they are, or with matrices of bytes, for which fast operations of decoders are made."""
    if weights is None:
        return params
    if weights != "int8":
        raise UserError(f"weights is {weights!r}; choose 'int8', or None for those of the dtype")
    if not isinstance(model, (DecoderOnly, Seq2Seq)):
        raise UserError(f"weights of int8 are for models that write, unlike this one of the family {model.family}")
    if backend_of(params.flat).name != "numpy":
        raise UserError("weights of int8 are for the backend numpy")
    return Int8Parameters(params)
