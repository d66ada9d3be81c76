"""A model with what it came with, spoken to in ids, the way Hugging Face's classes are.

Argument names and label conventions are those that most people know: `input_ids`, `attention_mask`, `labels` with −100
ignored and shifted inside for causal models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigpt.blocks.dispatch import operations
from minigpt.blocks.run import Run
from minigpt.core.backend import Array, backend_of
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.fast import team
from minigpt.generate.settings import Generation, generation, is_setting
from minigpt.interop.adapters import Adapter, adapter_of, known_ids
from minigpt.tokenizers import Tokenizer
from minigpt.train.settings import RunConfig


@dataclass(frozen=True)
class Opened:
    """A model ready for use: `.model`, `.params`, `.tokenizer` and the run's `.config`.

    `.ids` are those of the tokens that begin, end and pad a text, under Hugging Face's names, as far as they are known;
    `.generation` are the other settings that a model of another implementation came with, None for a run of our own.
    """

    model: Any
    params: Parameters
    tokenizer: Tokenizer | None
    config: RunConfig
    ids: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] | None = None

    @property
    def text(self) -> Tokenizer:
        """The tokenizer, where text is asked for.

        Raises:
            UserError: the model came without one.
        """
        if self.tokenizer is None:
            raise UserError(
                "this model has no tokenizer, so it neither reads nor writes text: use generate_ids, or "
                "convert it with --tokenizer"
            )
        return self.tokenizer

    def logits(self, input_ids: Any, attention_mask: Any = None, **inputs: Any) -> Any:
        """Scores (B, T, V): of the next token at every position, or, from BERT, of the token at that very place.

        Args:
            input_ids: (B, T) token ids.
            attention_mask: (B, T), 1 at real tokens, 0 at padding; None when there is no padding.
            inputs: the further arrays that the model's family takes (see `minigpt.interop.adapters`).
        """
        asked = self._asked(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        with team.of_all_cores():
            return asked.logits()

    def hidden_states(self, input_ids: Any, attention_mask: Any = None, *, layer: int = -1, **inputs: Any) -> Array:
        """The states (B, T, C) of every token behind a layer; an encoder–decoder's are its encoder's.

        They are `output_hidden_states` of transformers: of L layers, 0 is what the first one reads, L (or −1) what the
        last one gives, after the final norm where there is one. States at padding mean nothing.

        Raises:
            UserError: there is no such layer, or the rows are longer than the context.
        """
        asked = self._asked(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        depth = asked.depth
        if not -depth - 1 <= layer <= depth:
            raise UserError(
                f"layer is {layer}, but the model has {depth}: choose from 0 to {depth}, or -1 for the last"
            )
        return asked.hidden_states(layer % (depth + 1))

    def loss_and_grads(
        self, input_ids: Any, labels: Any = None, attention_mask: Any = None, **inputs: Any
    ) -> tuple[float, Parameters]:
        """Mean loss of predicting `labels` (default: the input itself), and its gradient for every parameter.

        Args:
            labels: (B, T), −100 where a position does not count; shifted inside for causal models, so labels[:, t] is
                what the model should say after seeing input_ids[:, :t].
        """
        asked = self._asked(input_ids=input_ids, attention_mask=attention_mask, labels=labels, **inputs)
        batch = asked.batch()
        with team.of_all_cores():
            loss, cache = self.model.forward(self.params, batch, asked.run)
            grads = self.params.zeros_like()
            self.model.backward(self.params, grads, cache, asked.run)
        return loss, grads

    def generate_ids(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        *,
        seed: int = 0,
        **settings: Any,
    ) -> np.ndarray:
        """Continue rows of ids as `generate()` of transformers does: prompts and what follows, (B, T + new).

        An encoder–decoder instead writes about each row, from its start token on: (B, 1 + new).

        Args:
            input_ids, attention_mask: (B, T); a decoder-only model's prompts are padded on the left.
            seed: of what is drawn; each row has its own draws.
            settings: those of `minigpt.generate.settings.Generation`, such as `max_new_tokens`, `do_sample`,
                `num_beams`, `repetition_penalty` or `eos_token_id` (() lets no row end). They win over the model's own
                (`.generation` and `.ids`), and these over transformers' defaults: at most 20 new tokens, the most
                probable one each time. Also further arrays, as for `logits`.

        Raises:
            UserError: the rows do not fit the context or are padded otherwise, or a setting is one that is not
                computed.
        """
        given = {name: settings.pop(name) for name in tuple(settings) if is_setting(name)}
        g = self.settings(**given)
        asked = self._asked(False, input_ids=input_ids, attention_mask=attention_mask, **settings)
        return asked.repeated(g.num_return_sequences if g.do_sample else 1).generate_ids(g, seed)

    def settings(self, **given: Any) -> Generation:
        """The settings of generation: those given, the model's own, transformers' defaults.

        Raises:
            UserError: one of them is not computed, or is a token that the model lacks.
        """
        ids = self.ids or known_ids(self.model)
        found = generation(self.generation or {}, ids, given)
        for name in ("bos_token_id", "decoder_start_token_id", "forced_bos_token_id"):  # the model reads them
            if (getattr(found, name) or 0) >= self.model.config.vocab_size:
                raise UserError(
                    f"{name} is {getattr(found, name)}, but the model has {self.model.config.vocab_size} tokens"
                )
        return found

    def _asked(self, fit: bool = True, /, **inputs: Any) -> Adapter:
        """The family's adapter with the inputs that were given, on the model's backend.

        Args:
            fit: whether the rows must fit the context.
        Raises:
            UserError: the family takes no input of that name, or the shapes do not fit.
        """
        backend, adapter = backend_of(self.params.flat), adapter_of(self.model.family)
        arrays = {name: backend.asarray(x) for name, x in inputs.items() if x is not None}
        for name, x in arrays.items():
            if name not in adapter.names:
                names = ", ".join(adapter.names)
                raise UserError(f"a model of the family {self.model.family} takes no {name}: only {names}")
            if name == "input_ids" and x.ndim != 2:
                raise UserError(f"input_ids must be (rows, tokens), not of shape {x.shape}")
        tokens, context = arrays["input_ids"].shape[1], self.model.config.context
        if fit and tokens > context:
            raise UserError(f"{tokens} tokens do not fit the model's context of {context}")
        return adapter(self.model, arrays, self.params, Run(ops=operations("auto", backend)))
