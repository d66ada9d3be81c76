"""What one row of text passes through, in numbers: stacks of equal blocks, and the output layers behind them.

This is all that arithmetic and memory depend on, for every family: a GPT or Llama is one causal stack, BERT one stack
that sees everything, an encoder–decoder two stacks of which the second also looks at the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from minigpt.blocks import BlockConfig
from minigpt.core.errors import UserError
from minigpt.core.params import ParameterSpec
from minigpt.ops import Mask
from minigpt.train.families import FAMILIES
from minigpt.train.settings import RunConfig


class Stack(NamedTuple):
    """Equal blocks, one after the other.

    Attributes:
        layers: L.
        block: the kind of block.
        tokens: T, the tokens of one row that pass through.
        masks: of each layer's self-attention, as {mask: how many layers have it}.
        memory: S, the tokens of the encoder's output that each block looks at; 0 without cross-attention.
        norms: how many norms stand before and behind the blocks (of embeddings, or a final one).
        embedding_dropout: whether there is dropout on embeddings.
        remembered: whether the stack's output is kept because another stack looks at it.
    """

    layers: int
    block: BlockConfig
    tokens: int
    masks: dict[Mask, int]
    memory: int = 0
    norms: int = 0
    embedding_dropout: bool = False
    remembered: bool = False

    @property
    def matrices(self) -> int:
        """Weights of one block's linear layers that its own tokens pass through."""
        c = self.block
        attention = c.width * (c.heads + 2 * c.kv_heads) * c.head_width + c.heads * c.head_width * c.width
        cross = 2 * c.width * c.heads * c.head_width if self.memory else 0  # q and the output
        up = 2 if c.activation == "swiglu" else 1
        return attention + cross + (up + 1) * c.width * c.feed_forward

    @property
    def memory_matrices(self) -> int:
        """Weights of one block's linear layer that the encoder's output passes through: cross-attention's k and v."""
        return 2 * self.block.width * self.block.kv_heads * self.block.head_width if self.memory else 0


class Output(NamedTuple):
    """A linear layer behind the stacks.

    Attributes:
        weights: numbers of its matrix, which `places` positions of a row pass through.
        inputs: numbers of one row that are kept as its input.
        activation, norm: what stands behind it, "" and False for nothing.
        logits: V, where it gives the scores that the loss is taken of.
    """

    weights: int
    places: int
    inputs: int
    activation: str = ""
    norm: bool = False
    logits: int = 0


class Workload(NamedTuple):
    """One row of a batch, and the parameters that it meets.

    Attributes:
        parameters: trained numbers; embedding: those of them that are only looked up (token and position tables; a
            tied table counts here).
        groups: see `parameter_groups`.
        row_tokens: D counts these: the tokens of a row that the model is asked to predict or to read.
    """

    family: str
    parameters: int
    embedding: int
    groups: dict[str, int]
    stacks: tuple[Stack, ...]
    outputs: tuple[Output, ...]
    row_tokens: int

    @property
    def non_embedding(self) -> int:
        """N of Kaplan et al. (2020): without token and position tables, and without an output layer of its own."""
        return sum(self.groups[name] for name in ("attention", "feed-forward", "norms"))

    @property
    def width(self) -> int:
        return self.stacks[0].block.width

    @property
    def layers(self) -> int:
        return sum(stack.layers for stack in self.stacks)


def pairs(mask: Mask, queries: int, keys: int) -> int:
    """How many (query, key) pairs of one head the mask allows.

    Everything: T S. Causal: 1 + 2 + … + T = T (T + 1)/2. Causal with a window w < T: query i sees min(i, w) keys, in
    all w (w + 1)/2 + (T − w) w.
    """
    if not mask.causal:
        return queries * keys
    window = min(mask.window or queries, queries)
    return window * (window + 1) // 2 + (queries - window) * window


def parameter_groups(specs: Iterable[ParameterSpec]) -> dict[str, int]:
    """Trained numbers by what they are part of, from the model's own specification, so exactly.

    "output and heads" is what stands behind the blocks: an output layer of its own (Llama), BERT's two heads with the
    pooler. An output layer that shares the token embedding has no numbers of its own.
    """
    groups = dict.fromkeys(
        ("token embedding", "positions and segments", "attention", "feed-forward", "norms", "output and heads"), 0
    )
    for spec in specs:
        if spec.trained:
            groups[_group(spec.name)] += spec.size
    return groups


def _group(name: str) -> str:
    parts = name.split(".")
    if name == "tokens":
        return "token embedding"
    if parts[-1] in ("positions", "token_types"):
        return "positions and segments"
    if parts[0] in ("masked", "pairs", "pooler", "output"):
        return "output and heads"
    if "mlp" in parts:
        return "feed-forward"
    return "attention" if "attention" in parts or "cross" in parts else "norms"


def workload(config: RunConfig) -> Workload:
    """The workload of a configuration.

    Raises:
        UserError: the size of the vocabulary depends on a text, or plans know nothing of the family.
    """
    if config.family not in _DESCRIBED:
        raise UserError(f"there is no plan for the family {config.family}: it is known of {', '.join(_DESCRIBED)}")
    model = FAMILIES[config.family].model(config.model)  # its specification only; no weights are drawn
    groups = parameter_groups(model.specs)
    stacks, outputs, row_tokens = _DESCRIBED[config.family](config, model)
    embedding = groups["token embedding"] + groups["positions and segments"]
    return Workload(config.family, sum(groups.values()), embedding, groups, stacks, outputs, row_tokens)


Description = tuple[tuple[Stack, ...], tuple[Output, ...], int]


def _causal(config: RunConfig, model: Any) -> Description:
    c = config.model
    masks: dict[Mask, int] = {}
    for layer in range(c.layers):
        mask = model.mask(layer, None)
        masks[mask] = masks.get(mask, 0) + 1
    stack = Stack(
        c.layers,
        model.block,
        c.context,
        masks,
        norms=int(model.block.pre_norm),
        embedding_dropout=getattr(c, "dropout", 0) > 0,
    )
    output = Output(c.width * c.vocab_size, c.context, c.width * c.context, logits=c.vocab_size)
    return (stack,), (output,), c.context


def _bert(config: RunConfig, model: Any) -> Description:
    """Scores are worked out at the hidden places only; the pooler and the second head see one place of a row."""
    c, places = config.model, config.objective.max_predictions
    stack = Stack(c.layers, model.block, c.context, {Mask(): c.layers}, norms=1, embedding_dropout=c.dropout > 0)
    square, inputs = c.width * c.width, places * c.width
    outputs = [
        Output(square, places, inputs, activation=c.activation, norm=True),
        Output(c.width * c.vocab_size, places, inputs, logits=c.vocab_size),
    ]
    if c.pairs:  # [CLS]'s state is a view, which keeps all states of the row; the second layer's input is the first's y
        outputs += [Output(square, 1, c.context * c.width, activation="tanh"), Output(2 * c.width, 1, 0, logits=2)]
    return (stack,), tuple(outputs), c.context


def _encoder_decoder(config: RunConfig, model: Any) -> Description:
    """A source and a target of equal length; D counts the target's tokens, which are those predicted."""
    c = config.model
    tokens = getattr(config.objective, "length", 0) or c.context
    ends = {"norms": int(model.embedding_norm), "embedding_dropout": c.dropout > 0}
    encoder = Stack(c.encoder_layers, model.block, tokens, {Mask(): c.encoder_layers}, remembered=True, **ends)
    causal = {Mask(causal=True): c.decoder_layers}
    decoder = Stack(c.decoder_layers, model.decoder_block, tokens, causal, memory=tokens, **ends)
    output = Output(c.width * c.vocab_size, tokens, tokens * c.width, logits=c.vocab_size)
    return (encoder, decoder), (output,), tokens


_DESCRIBED = {
    "gpt": _causal,
    "llama": _causal,
    "bert": _bert,
    "transformer": _encoder_decoder,
    "bart": _encoder_decoder,
}


def vocabulary(config: RunConfig) -> int:
    """V of a configuration that leaves it to the tokenizer, where the tokenizer's name says it.

    Raises:
        UserError: it depends on the text.
    """
    kind, _, size = config.data.tokenizer.partition(":")
    if config.model.vocab_size:
        return config.model.vocab_size
    if kind == "byte":
        return 256
    if size.isascii() and size.isdigit():
        return int(size)
    raise UserError(
        f"how many tokens a {config.data.tokenizer} tokenizer has depends on the text; give it with "
        "--set model.vocab_size=N"
    )
