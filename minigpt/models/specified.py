"""What every model says of itself by its specification: how many parameters, how wide its heads, how it starts."""

from __future__ import annotations

from minigpt.blocks import BlockConfig
from minigpt.core.backend import Backend
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters, ParameterSpec, initialize


class Specified:
    """A model with a specification. It holds no state.

    Attributes:
        specs: the tensors, in the order of the buffer.
        block: of which kind its blocks are, for one with two stacks the encoder's.
    """

    specs: tuple[ParameterSpec, ...]
    block: BlockConfig

    @property
    def parameter_count(self) -> int:
        return sum(spec.size for spec in self.specs if spec.trained)

    @property
    def head_width(self) -> int:
        """Numbers in an attention head, which decides which kernels can run."""
        return self.block.head_width

    def init(self, seed: int = 0, dtype: str = "float32", backend: Backend | str = "numpy") -> Parameters:
        """Draw initial parameters: normal weights, zero biases, unit gains."""
        return initialize(self.specs, seed=seed, dtype=dtype, backend=backend)


def check_vocabulary(size: int) -> None:
    """Raise UserError for a model of no tokens: a preset says 0, and the tokenizer is to say how many."""
    if size < 1:
        raise UserError("model.vocab_size is 0; give the size of the vocabulary")
