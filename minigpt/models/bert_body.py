"""What every BERT has, whatever head stands on it: configuration, embeddings, blocks and pooler.

Token, position and segment embeddings are summed and normalised; the blocks are post-norm. RoBERTa (Liu et al. 2019)
and DistilBERT (Sanh et al. 2019) are configurations: the one counts positions from behind its padding's id and has no
pairs of sentences, the other has no segments either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from minigpt import ops
from minigpt.blocks import (
    SITES_PER_BLOCK,
    BlockConfig,
    StackCache,
    block_specs,
    linear_backward,
    linear_forward,
    linear_specs,
    norm_backward,
    norm_forward,
    norm_specs,
    stack_backward,
    stack_forward,
)
from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array, Backend, array_module
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.core.settings import at_least, choice, multiple, one_of, rates, require
from minigpt.models.comparing import begin_comparing
from minigpt.models.model import Model
from minigpt.ops import Cache


@dataclass(frozen=True)
class BertConfig:
    """The shape of a BERT.

    Attributes:
        vocab_size: V; 0 in a preset means "as many as the tokenizer has".
        context: the largest number of tokens the model sees at once, and of learned positions.
        layers, heads, width: L, H, C; H divides C.
        feed_forward: F; 0 means 4 C.
        token_types: how many kinds of segments there are; 0 has no embedding of them (DistilBERT).
        pairs: whether the model also learns next-sentence prediction, for which it has a pooler and a second head.
        activation: "gelu_erf" (the first release, and Hugging Face), "gelu_tanh" (the released code since), "relu",
            "silu" or "tanh".
        dropout: the rate on embeddings and sub-layer outputs while training; attention_dropout: on attention
            probabilities.
        norm_eps: ε of the norms.
        init_std: standard deviation of initial weights.
        truncated_init: whether no initial weight is further than 2 init_std from 0 (BERT's code), or any may be
            (Hugging Face's).
        attention_init: "normal" (BERT's), or "comparing": the first layer starts by looking for the same token in the
            other segment (ours, for sentence pairs of little text; see `minigpt.models.comparing`).
        headless: whether the heads of both tasks are missing, as in most published encoders: the model gives states,
            for embeddings, and predicts nothing. `pairs` then says whether it has the pooler.
        pad: −1, and the n-th column of a row has position n; or the id of RoBERTa's padding, and the n-th token of a
            row that is no padding has position pad + 1 + n, padding itself position pad.
        pooler_activation: "tanh", or "relu" (DistilBERT's, of which the pooler is a part of the head for a task).
    """

    vocab_size: int = 0
    context: int = 128
    layers: int = 2
    heads: int = 2
    width: int = 128
    feed_forward: int = 0
    token_types: int = 2
    pairs: bool = True
    activation: str = "gelu_erf"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_eps: float = 1e-12
    init_std: float = 0.02
    truncated_init: bool = True
    attention_init: str = "normal"
    headless: bool = False
    pad: int = -1
    pooler_activation: str = "tanh"

    def __post_init__(self) -> None:
        if not self.feed_forward:
            object.__setattr__(self, "feed_forward", 4 * self.width)
        at_least(1, "model", self, "layers", "heads", "width", "feed_forward")
        require(self.context >= 5, f"model.context is {self.context}; [CLS] A [SEP] B [SEP] needs at least 5")
        segments, types = self.token_types >= 2, f"model.token_types is {self.token_types}"
        require(segments or not self.pairs or self.headless, f"{types}; sentence pairs need 2")
        choice("model.attention_init", self.attention_init, "normal", "comparing")
        require(segments or self.attention_init == "normal", f"{types}; there must be 2 segments to compare")
        at_least(0, "model", self, "vocab_size", "token_types")
        at_least(-1, "model", self, "pad")
        choice("model.pooler_activation", self.pooler_activation, "tanh", "relu")
        multiple("model", self, "width", "heads")
        one_of("model.activation", self.activation, ops.ELEMENTWISE, "choose from")
        rates("model", self, "dropout", "attention_dropout")
        require(self.norm_eps > 0 and self.init_std > 0, "model.norm_eps and model.init_std must be positive")

    @property
    def pooler_is_new(self) -> bool:
        """Whether the pooler belongs to a task's head, and none was pretrained (RoBERTa, DistilBERT)."""
        return self.pad >= 0 or not self.token_types

    def block(self) -> BlockConfig:
        """The blocks' part of the configuration."""
        return BlockConfig.of(self, residual_std=self.init_std)


class BodyCache(NamedTuple):
    tokens: Cache
    positions: Cache
    token_types: Cache
    norm: Cache
    dropout: Cache
    blocks: StackCache


class PoolerCache(NamedTuple):
    shape: tuple[int, ...]
    linear: Cache
    activation: Cache


class BertBody(Model):
    """What all of BERT's heads stand on: embeddings, blocks, and for some of them the pooler. It holds no state.

    A subclass adds its head's tensors in `head_specs` and its own forward and backward.
    """

    family = "bert"

    @property
    def has_pooler(self) -> bool:
        return True

    def __init__(self, config: BertConfig):
        super().__init__(config)
        self.specs = tuple(spec._replace(truncated=config.truncated_init) for spec in self.specs)

    def body_specs(self) -> list[ParameterSpec]:
        c = self.config
        specs = [
            ParameterSpec("tokens", (c.vocab_size, c.width), c.init_std),
            ParameterSpec("positions", (c.pad + 1 + c.context, c.width), c.init_std),
            *[ParameterSpec("token_types", (c.token_types, c.width), c.init_std)] * (c.token_types > 0),
            *norm_specs("embedding_norm", self.block),
        ]
        for layer in range(c.layers):
            specs += block_specs(f"blocks.{layer}", self.block)
        return specs + self.linear_specs("pooler", c.width, c.width) if self.has_pooler else specs

    def linear_specs(self, name: str, inputs: int, outputs: int) -> list[ParameterSpec]:
        return linear_specs(name, inputs, outputs, std=self.config.init_std, bias=True)

    def init(self, seed: int = 0, dtype: str = "float32", backend: Backend | str = "numpy") -> Parameters:
        """Draw initial parameters: (truncated) normal weights, zero biases, unit gains."""
        c, params = self.config, super().init(seed, dtype, backend)
        if c.attention_init == "comparing":
            begin_comparing(params, layers=c.layers, heads=c.heads, seed=seed)
        return params

    def body_forward(
        self,
        params: Parameters,
        ids: Array,
        run: Run,
        token_types: Array | None = None,
        key_padding: Array | None = None,
        layers: int | None = None,
    ) -> tuple[Array, BodyCache]:
        """Token ids (B, T) to the last layer's states (B, T, C).

        Args:
            token_types: (B, T) the segment of each token; None means that all are of type 0. A model without
                segments looks at none.
            key_padding: (B, T), True at real tokens, which are the only ones that any token looks at; None when all
                are. States at padding mean nothing.
            layers: stop behind so many blocks; None goes to the end.
        """
        c = self.config
        x, c_tokens = run.ops.embedding_forward(ids, params["tokens"])  # (B, T, C)
        x, c_positions = run.ops.position_forward(x, params["positions"], positions=counted_positions(ids, c.pad))
        c_types = None
        if c.token_types:
            kinds = array_module(ids).zeros_like(ids) if token_types is None else token_types
            types, c_types = run.ops.embedding_forward(kinds, params["token_types"])
            x = run.ops.add(x, types)
        x, c_norm = norm_forward(x, params, "embedding_norm", self.block, run)
        x, c_dropout = run.ops.dropout_forward(x, c.dropout, run.dropout_key(0))
        masks = [ops.Mask(key_padding=key_padding)] * (c.layers if layers is None else layers)
        x, c_blocks = stack_forward(x, params.scope("blocks"), self.block, run, 1, masks)
        return x, BodyCache(c_tokens, c_positions, c_types, c_norm, c_dropout, c_blocks)

    def body_backward(self, dx: Array, grads: Parameters, cache: BodyCache, run: Run) -> None:
        """Gradient of the last states (B, T, C) back to every parameter of the body."""
        dx = stack_backward(dx, cache.blocks, grads.scope("blocks"), self.block, run)
        dx = run.ops.dropout_backward(dx, cache.dropout)
        dx = norm_backward(dx, cache.norm, grads, "embedding_norm", self.block, run)
        if cache.token_types is not None:
            run.ops.embedding_backward(dx, cache.token_types, grads.into("token_types"))  # x + types
        dx = run.ops.position_backward(dx, cache.positions, grads.into("positions"))
        run.ops.embedding_backward(dx, cache.tokens, grads.into("tokens"))

    def scores_forward(
        self, params: Parameters, ids: Array, run: Run, token_types: Array | None, key_padding: Array | None
    ) -> tuple[Array, object]:
        """What the head says of token ids (B, T), and the cache."""
        raise NotImplementedError

    def logits(
        self,
        params: Parameters,
        ids: Array,
        run: Run = EVALUATION,
        key_padding: Array | None = None,
        token_types: Array | None = None,
    ) -> Array:
        """The scores alone (see `scores_forward`)."""
        return self.scores_forward(params, ids, run, token_types, key_padding)[0]

    def pooler_forward(self, params: Parameters, x: Array, run: Run) -> tuple[Array, PoolerCache]:
        """tanh(W x₀ + b) of the state of [CLS], the first token: (B, T, C) to (B, C); or ReLU's."""
        activation_forward, _ = run.ops.ACTIVATIONS[self.config.pooler_activation]
        h, c_linear = linear_forward(x[:, 0], params, "pooler", run)  # (B, C)
        h, c_activation = activation_forward(h)
        return h, PoolerCache(x.shape, c_linear, c_activation)

    def pooler_backward(self, dh: Array, dx: Array, grads: Parameters, cache: PoolerCache, run: Run) -> None:
        """Add the gradient of [CLS]'s state into dx (B, T, C)."""
        _, activation_backward = run.ops.ACTIVATIONS[self.config.pooler_activation]
        dh = activation_backward(dh, cache.activation)
        dx[:, 0] += linear_backward(dh, cache.linear, grads, "pooler", run)  # x[:, 0]

    @property
    def head_site(self) -> int:
        """The first dropout site behind the body's."""
        return 1 + self.config.layers * SITES_PER_BLOCK


def counted_positions(ids: Array, pad: int) -> int | Array:
    """Positions of the tokens of ids (B, T) in the table; 0 where they are the columns' numbers (see `BertConfig`)."""
    if pad < 0:
        return 0
    real = ids != pad
    return real.cumsum(axis=1) * real + pad
