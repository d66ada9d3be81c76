"""`minigpt.load(path)`: a trained model with its tokenizer, spoken to in Hugging Face's terms.

Argument names and label conventions are those that most people know: `input_ids`, `attention_mask`, `labels` with −100
ignored and shifted inside for causal models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt import generate as generation
from minigpt import tokenizers
from minigpt.adapters import ADAPTERS
from minigpt.backend import Array, backend_of, get_backend
from minigpt.config import RunConfig
from minigpt.dispatch import operations
from minigpt.errors import UserError
from minigpt.models import FAMILIES
from minigpt.params import Parameters
from minigpt.run import Run
from minigpt.tokenizers import Tokenizer
from minigpt.train.checkpoint import check_tokenizer, latest_checkpoint, load_state, load_weights
from minigpt.train.run_folder import find_run, load_config


@dataclass(frozen=True)
class Loaded:
    """A model ready for use: `.model`, `.params`, `.tokenizer` and the run's `.config`."""

    model: Any
    params: Parameters
    tokenizer: Tokenizer
    config: RunConfig

    @property
    def _run(self) -> Run:
        return Run(ops=operations("auto", backend_of(self.params.flat)))

    @property
    def _adapter(self) -> Any:
        return ADAPTERS[self.model.family]

    def logits(self, input_ids: Any, attention_mask: Any = None, **inputs: Any) -> Any:
        """Scores: for a decoder-only model (B, T, V) of the next token at every position.

        Args:
            input_ids: (B, T) token ids.
            attention_mask: (B, T), 1 at real tokens, 0 at padding; None when there is no padding.
            inputs: the further arrays that the model's family takes (see `minigpt.adapters`).
        """
        arrays = self._arrays(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        return self._adapter.logits(self.model, self.params, arrays, self._run)

    def loss_and_grads(
        self, input_ids: Any, labels: Any = None, attention_mask: Any = None, **inputs: Any
    ) -> tuple[float, Parameters]:
        """Mean loss of predicting `labels` (default: the input itself), and its gradient for every parameter.

        Args:
            labels: (B, T), −100 where a position does not count; shifted inside for causal models, so labels[:, t] is
                what the model should say after seeing input_ids[:, :t].
        """
        arrays = self._arrays(input_ids=input_ids, attention_mask=attention_mask, labels=labels, **inputs)
        batch = self._adapter.batch(arrays)
        loss, cache = self.model.forward(self.params, batch, self._run)
        grads = self.params.zeros_like()
        self.model.backward(self.params, grads, cache, self._run)
        return loss, grads

    def _arrays(self, **inputs: Any) -> dict[str, Array]:
        """The inputs that were given, on the model's backend.

        Raises:
            UserError: the family takes no input of that name, or the shapes do not fit.
        """
        backend = backend_of(self.params.flat)
        arrays = {name: backend.asarray(x) for name, x in inputs.items() if x is not None}
        known = self._adapter.INPUTS
        for name, x in arrays.items():
            if name not in known:
                raise UserError(f"a model of the family {self.model.family} takes no {name}: only {', '.join(known)}")
            if name == "input_ids" and x.ndim != 2:
                raise UserError(f"input_ids must be (rows, tokens), not of shape {x.shape}")
            if name == "attention_mask" and x.shape != arrays["input_ids"].shape:
                raise UserError(f"attention_mask has shape {x.shape}, input_ids {arrays['input_ids'].shape}")
        return arrays

    def generate(
        self,
        prompt: str = "",
        *,
        max_new_tokens: int = 200,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> str:
        """Continue `prompt` and return the new text (see `minigpt.generate` for the settings)."""
        ids = generation.generate(
            self.model,
            self.params,
            generation.prompt_ids(self.tokenizer, prompt),
            max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            vocab_size=self.tokenizer.vocab_size,
        )
        return self.tokenizer.decode(list(ids))


def load(path: str | Path, *, dtype: str = "float32", backend: str = "numpy") -> Loaded:
    """Open a run folder (its newest checkpoint), or one checkpoint folder of a run.

    Raises:
        UserError: it is not a run, its checkpoint is damaged, or tokenizer and model do not fit together.
    """
    path = Path(path).resolve()
    is_checkpoint = path.parent.name == "checkpoints" and path.is_dir()
    run = find_run(str(path.parent.parent if is_checkpoint else path))
    checkpoint = path if is_checkpoint else latest_checkpoint(run)
    config = load_config(run)
    model = FAMILIES[config.family][1](config.model)
    tokenizer = tokenizers.load(run)
    check_fit(tokenizer, config.model.vocab_size)
    check_tokenizer(load_state(checkpoint), tokenizer, run)
    return Loaded(model, load_weights(checkpoint, model, dtype=dtype, backend=get_backend(backend)), tokenizer, config)


def check_fit(tokenizer: Tokenizer, vocab_size: int) -> None:
    """Raise UserError if the tokenizer has ids that the model has no embedding for."""
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"the tokenizer does not fit the model: it has {tokenizer.vocab_size} tokens, "
            f"but model.vocab_size is {vocab_size}"
        )
