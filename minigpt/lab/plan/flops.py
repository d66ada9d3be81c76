"""How much arithmetic training is: the estimate 6 N D, and the matrix products counted one by one.

A multiply-add is two floating-point operations. Only matrix products are counted; norms, activations, softmax and the
optimizer are a few operations a number, where a product with C columns is 2 C of them.
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.lab.plan.workload import Stack, Workload, pairs

PF_DAY = 1e15 * 24 * 3600  # floating-point operations: 8.64e19


def six_n_d(parameters: float, tokens: float) -> float:
    """C ≈ 6 N D (Kaplan et al. 2020, section 2.1; GPT-3's table D.1, where N is all parameters).

    A weight of a linear layer is used once for each token: one multiply-add forward, two backward (for the gradient of
    the input and for its own), so 2 + 4 operations. Attention's own products are left out, and embeddings, which
    are looked up and not multiplied, are counted as if they were.
    """
    return 6.0 * parameters * tokens


class Flops(NamedTuple):
    """Floating-point operations of one row, forward.

    Attributes:
        linear: the blocks' linear layers.
        attention: Q Kᵀ and A V, for the pairs that the masks allow: what is needed.
        attention_full: the same for all T × S pairs: what is done where a masked pair is worked out and thrown away,
            and what most published counts say.
        output: the layers behind the blocks.
    """

    linear: float
    attention: float
    attention_full: float
    output: float

    @property
    def forward(self) -> float:
        return self.linear + self.attention + self.output

    @property
    def training(self) -> float:
        """Forward and backward: three times forward, as every product y = x W has two behind it, dy Wᵀ and xᵀ dy.

        Attention's likewise: Z = Q Kᵀ has dQ and dK, O = A V has dA and dV. This is what a step needs (the
        "model FLOPs" of utilisation), whatever is computed again to save memory.
        """
        return 3.0 * self.forward

    def computed(self, recompute: str = "none", *, full: bool = False, flash: bool = True) -> float:
        """What a step does ("hardware FLOPs").

        Args:
            recompute: "none"; "selective": attention's scores again in the backward pass (Korthikanti et al. 2022);
                "full": the blocks' whole forward pass again (Chen et al. 2016), which makes 6 N D into about 8 N D.
            full: count all T × S pairs.
            flash: kernels that never keep the scores: one product more, Q Kᵀ, where nothing else recomputes it
                (Dao et al. 2022).
        """
        attention = self.attention_full if full else self.attention
        again = {"none": 0.0, "selective": attention, "full": self.linear + attention}[recompute]
        scores = attention / 2 if flash else 0.0
        return 3.0 * (self.linear + attention + self.output) + again + scores


def row_flops(w: Workload) -> Flops:
    """Count one row.

    A linear layer of W weights that T tokens pass through: 2 T W. Attention: each allowed pair of a query and a key
    costs 2 D for its score and 2 D for its share of the output, in each of H heads: 4 H D · pairs. (Keys and values
    that several heads share save memory, not arithmetic.)
    """
    attention = attention_full = 0.0
    for stack in w.stacks:
        attention += _attention(stack, full=False)
        attention_full += _attention(stack, full=True)
    linear = sum(2.0 * s.layers * (s.tokens * s.matrices + s.memory * s.memory_matrices) for s in w.stacks)
    output = sum(2.0 * layer.weights * layer.places for layer in w.outputs)
    return Flops(linear, attention, attention_full, output)


def _attention(stack: Stack, *, full: bool) -> float:
    """Self-attention of all layers, dense and banded ones as they are, and cross-attention, which sees everything."""
    t, each = stack.tokens, 4.0 * stack.block.heads * stack.block.head_width
    own = sum(count * (t * t if full else pairs(mask, t, t)) for mask, count in stack.masks.items())
    return each * (own + stack.layers * t * stack.memory)
