"""BERT (Devlin et al. 2019): an encoder in which every token sees every other, pretrained on two tasks at once.

Masked language modelling: some tokens are hidden, and the model says what they were. Next-sentence prediction: it says
whether the second segment follows the first in the text. The first task's output layer
shares the token embedding. The body that both stand on is in `minigpt.models.bert_body`.
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.blocks import linear_backward, linear_forward, norm_backward, norm_forward, norm_specs
from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array, array_module
from minigpt.core.errors import UserError
from minigpt.core.measures import Measures
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.data.bert_batch import BertBatch
from minigpt.models.bert_body import BertBody, BertConfig, BodyCache, PoolerCache
from minigpt.models.label_loss import right_answers
from minigpt.ops import Cache

__all__ = ["Bert", "BertConfig"]


class MaskedCache(NamedTuple):
    gather: Cache
    shape: tuple[int, ...]
    dense: Cache
    activation: Cache
    norm: Cache
    output: Cache


class BertCache(NamedTuple):
    body: BodyCache
    masked: MaskedCache
    masked_loss: Cache
    measures: Measures  # loss and accuracy of both tasks: masked language modelling (mlm), next sentences (nsp)
    pooler: PoolerCache | None = None
    pairs: Cache = None
    pairs_loss: Cache = None


class Bert(BertBody):
    """BERT as it is pretrained: the body with the heads of its two tasks (of the first only, without `pairs`)."""

    @property
    def has_pooler(self) -> bool:
        return self.config.pairs

    def head_specs(self) -> list[ParameterSpec]:
        c = self.config
        if c.headless:
            return []
        specs = [
            *self.linear_specs("masked.dense", c.width, c.width),
            *norm_specs("masked.norm", self.block),
            ParameterSpec("masked.bias", (c.vocab_size,)),  # of the output layer, whose weights are the embedding's
        ]
        return specs + self.linear_specs("pairs", c.width, 2) if c.pairs else specs

    def check_heads(self) -> None:
        """Raise UserError where the heads are missing."""
        if self.config.headless:
            raise UserError(
                "this BERT is an encoder without the heads that predict tokens and sentence pairs (cls.*); its "
                'hidden_states and embed work, and load(…, fresh=["cls."]) starts such heads anew'
            )

    def masked_forward(self, params: Parameters, x: Array, places: Array | None, run: Run) -> tuple[Array, MaskedCache]:
        """Scores of every possible token at some places: states (B, T, C) to (B, P, V).

        norm(gelu(W x + b)) Eᵀ + c. The head is applied to the chosen places only, a sixth or so of all tokens.

        Args:
            places: (B, P) in each row; None means everywhere.
        Raises:
            UserError: the model has no such head.
        """
        self.check_heads()
        shape, c_gather = x.shape, None
        if places is not None:
            start = array_module(places).arange(len(x))[:, None] * x.shape[1]  # of each row in x as a table
            x, c_gather = run.ops.embedding_forward(places + start, x.reshape(-1, x.shape[-1]))  # (B, P, C)
        activation_forward, _ = run.ops.ACTIVATIONS[self.block.activation]
        h, c_dense = linear_forward(x, params, "masked.dense", run)
        h, c_activation = activation_forward(h)
        h, c_norm = norm_forward(h, params, "masked.norm", self.block, run)
        logits, c_output = run.ops.linear_forward(h, params["tokens"].T, params["masked.bias"])  # tied: (C, V)
        return logits, MaskedCache(c_gather, shape, c_dense, c_activation, c_norm, c_output)

    def masked_backward(self, dlogits: Array, grads: Parameters, cache: MaskedCache, run: Run) -> Array:
        """dlogits (B, P, V) to the gradient of the states (B, T, C), zero where nothing was predicted."""
        _, activation_backward = run.ops.ACTIVATIONS[self.block.activation]
        dh = run.ops.linear_backward(dlogits, cache.output, grads.into("tokens").T, grads.into("masked.bias"))
        dh = norm_backward(dh, cache.norm, grads, "masked.norm", self.block, run)
        dh = activation_backward(dh, cache.activation)
        dh = linear_backward(dh, cache.dense, grads, "masked.dense", run)
        dx = run.ops.empty(cache.shape, like=dh)
        dx[...] = 0
        run.ops.embedding_backward(dh, cache.gather, dx.reshape(-1, dx.shape[-1]))  # x at some places
        return dx

    def scores_forward(
        self, params: Parameters, ids: Array, run: Run, token_types: Array | None, key_padding: Array | None
    ) -> tuple[Array, MaskedCache]:
        """Scores of every possible token at every position: (B, T) to (B, T, V)."""
        x, _ = self.body_forward(params, ids, run, token_types, key_padding)
        return self.masked_forward(params, x, None, run)

    def pair_logits(
        self,
        params: Parameters,
        ids: Array,
        run: Run = EVALUATION,
        key_padding: Array | None = None,
        token_types: Array | None = None,
    ) -> Array:
        """Scores of "B follows A" and "it does not": (B, T) to (B, 2)."""
        self.check_heads()
        x, _ = self.body_forward(params, ids, run, token_types, key_padding)
        return linear_forward(self.pooler_forward(params, x, run)[0], params, "pairs", run)[0]

    def forward(self, params: Parameters, batch: BertBatch, run: Run = EVALUATION) -> tuple[float, BertCache]:
        """Mean cross-entropy of the hidden tokens and, added to it where there are labels, that of the sentence pairs.

        Returns:
            the loss and the cache for `backward`.
        Raises:
            UserError: there are labels for sentence pairs, and the model has no head for them.
        """
        if batch.labels is not None and not self.config.pairs:
            raise UserError("this BERT was made without sentence pairs (model.pairs): it cannot learn their labels")
        x, c_body = self.body_forward(params, batch.inputs, run, batch.token_types, batch.key_padding)
        logits, c_masked = self.masked_forward(params, x, batch.places, run)  # (B, P, V)
        loss, c_loss, measures = _scored(logits, batch.targets, "tokens", "mlm", run)
        cache = BertCache(c_body, c_masked, c_loss, measures)
        if batch.labels is None:
            return loss, cache
        pooled, c_pooler = self.pooler_forward(params, x, run)
        logits, c_pairs = linear_forward(pooled, params, "pairs", run)  # (B, 2)
        pair_loss, c_loss, pair_measures = _scored(logits, batch.labels, "pairs", "nsp", run)
        cache = cache._replace(measures=measures | pair_measures, pooler=c_pooler, pairs=c_pairs, pairs_loss=c_loss)
        return loss + pair_loss, cache

    def backward(
        self, params: Parameters, grads: Parameters, cache: BertCache, run: Run = EVALUATION, scale: float = 1.0
    ) -> None:
        """Add scale times the gradient of the loss to `grads`.

        The states feed both heads, so the gradients of the two are summed before they go down.
        """
        dlogits = run.ops.cross_entropy_backward(scale, cache.masked_loss)
        dx = self.masked_backward(dlogits, grads, cache.masked, run)
        if cache.pooler is not None:
            dlogits = run.ops.cross_entropy_backward(scale, cache.pairs_loss)
            dpooled = linear_backward(dlogits, cache.pairs, grads, "pairs", run)
            self.pooler_backward(dpooled, dx, grads, cache.pooler, run)
        self.body_backward(dx, grads, cache.body, run)


def _scored(logits: Array, targets: Array, term: str, name: str, run: Run) -> tuple[float, Cache, Measures]:
    """One term of the loss, its cache, and its sum and the number of right answers for the log."""
    denominator = run.denominators.get(term)
    loss, cache = run.ops.cross_entropy_forward(logits, targets, denominator=denominator)
    right, count = right_answers(logits, targets)
    total = loss * (max(count, 1) if denominator is None else denominator)
    return loss, cache, {f"{name}_loss": (total, count), f"{name}_accuracy": (right, count)}
