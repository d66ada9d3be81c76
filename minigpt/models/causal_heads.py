"""GPT's heads for tasks (Radford et al. 2018, section 3.2 and 3.3), on any decoder-only body: GPT, GPT-2, GPT-3, Llama.

An example is told in one or several sequences of tokens (`minigpt.tasks.inputs`), each of which ends with a token that
the answer is read from. A linear layer on the last layer's state at that token says the class; the state has seen the
whole sequence. Where an example has several sequences, their states are added (both orders of a pair), or each gets a
score (options to choose from). Fine-tuning also goes on with language modelling, as an auxiliary task:

    L3 = L2 + λ L1,   L2 = −(1/B) Σ_examples log P(label),   L1 = −(1/S) Σ_sequences (1/n_s) Σ_t log P(token t | before)
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from minigpt.blocks import SITES_PER_BLOCK, linear_backward, linear_forward, linear_specs
from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array, Backend, array_module
from minigpt.core.errors import UserError
from minigpt.core.measures import Measures
from minigpt.core.params import Parameters, ParameterSpec, decayed_first, initialize, transfer
from minigpt.data.batch import AnyBatch, Batch
from minigpt.models.decoder_only import BodyCache, DecoderOnly
from minigpt.models.key_values import CausalState
from minigpt.models.label_loss import LabelCache, label_loss_backward, label_loss_forward
from minigpt.models.model import Model
from minigpt.ops import IGNORE, Cache, count_targets

HEAD_STD = 0.02


class _ExtractBatch(NamedTuple):
    inputs: Array
    ends: Array
    labels: Array
    targets: Array | None = None


class ExtractBatch(_ExtractBatch, AnyBatch):
    """B examples of N sequences of T tokens each, padded on the right (where nothing real looks).

    Attributes:
        inputs: (B, N, T) token ids.
        ends: (B, N) where each sequence has the token that the answer is read from.
        labels: (B,) the class or the number of the right sequence, or a score (floats); `ops.IGNORE` if unknown.
        targets: (B, N, T) the id that should follow each input, or `ops.IGNORE`; None leaves the auxiliary task out.
    """

    __slots__ = ()

    def counts(self) -> dict[str, int]:
        examples = {"examples": count_targets(self.labels)}
        return examples if self.targets is None else examples | {"sequences": self.ends.size}


class ScoresCache(NamedTuple):
    shape: tuple[int, ...]  # of the states, (B·N, T, C)
    ends: tuple[Array, Array]  # sequence and place of each extracted state
    mask: Array  # (B, C), what the dropout multiplies with
    linear: Cache


class LanguageCache(NamedTuple):
    at: tuple[Array, ...]  # the places of the predicted tokens
    output: Cache
    loss: Cache


class HeadCache(NamedTuple):
    body: BodyCache
    scores: ScoresCache
    labels: LabelCache
    language: LanguageCache | None
    measures: Measures  # how many labels were right, and L1


class CausalHead(Model):
    """A decoder-only body with a head of K scores, for classes, a score on a scale, or a choice. It holds no state.

    The body's parameters keep their names, so those of a pretrained model go in as they are.
    """

    def __init__(
        self,
        body: DecoderOnly,
        scores: int,
        *,
        choice: bool = False,
        regression: bool = False,
        auxiliary: float = 0.0,
        dropout: float = 0.0,
    ):
        """Put a head on a body.

        Args:
            body: a `GPT` or a `Llama`.
            scores: K, how many classes; 1 with `choice` or `regression`.
            choice: each of an example's sequences gets a score, with a softmax over them; otherwise states are added.
            regression: the score is a number to be met, by the squared error.
            auxiliary: λ.
            dropout: the rate on the extracted states; one draw for all sequences of an example.
        """
        self.body, self.config, self.block, self.family = body, body.config, body.block, body.family
        self.scores, self.choice, self.regression = scores, choice, regression
        self.auxiliary, self.dropout = auxiliary, dropout
        self.specs = decayed_first([*body.specs, *self.head_specs()])

    def head_specs(self) -> list[ParameterSpec]:
        return linear_specs("head", self.config.width, self.scores, std=HEAD_STD, bias=True)

    @property
    def head_site(self) -> int:
        """The first dropout site behind the body's."""
        return 1 + self.config.layers * SITES_PER_BLOCK

    def init(self, seed: int = 0, dtype: str = "float32", backend: Backend | str = "numpy") -> Parameters:
        """Draw initial parameters: the body's as the body draws them, the head N(0, 0.02²) with a bias of zero."""
        body = self.body.init(seed, dtype, backend)
        head = initialize(tuple(self.head_specs()), seed=seed, dtype=dtype, backend=backend)
        params = Parameters(self.specs, array_module(body.flat).empty(self.parameter_count, body.flat.dtype))
        transfer({**body, **head}, params)
        return params

    def logits(self, params: Parameters, ids: Array, run: Run = EVALUATION, *more: Any, **named: Any) -> Array:
        """The language model's scores of every possible next token: (B, T) to (B, T, V), see the body's `logits`."""
        return self.body.logits(params, ids, run, *more, **named)

    def start(self, params: Parameters, batch: Batch, max_len: int, run: Run = EVALUATION) -> CausalState:
        """Write on as the body does."""
        return self.body.start(params, batch, max_len, run)

    def step(self, params: Parameters, ids: Array, state: CausalState) -> tuple[Array, CausalState]:
        return self.body.step(params, ids, state)

    def head_forward(self, params: Parameters, x: Array, batch: ExtractBatch, run: Run) -> tuple[Array, ScoresCache]:
        """States (B·N, T, C) to scores (B, K), or (B, N) with `choice`."""
        xp, (b, n) = array_module(x), batch.ends.shape
        ends = xp.arange(b * n), batch.ends.reshape(-1)
        h = x[ends].reshape(b, n, -1)  # (B, N, C)
        if not self.choice:
            h = h.sum(axis=1, keepdims=True)  # (B, 1, C)
        ones = xp.ones((b, h.shape[2]), h.dtype)
        mask, _ = run.ops.dropout_forward(ones, self.dropout, run.dropout_key(self.head_site))
        h = h * mask[:, None]  # the same draw for every sequence of the example
        scores, c_linear = linear_forward(h, params, "head", run)  # (B, 1, K), or (B, N, 1)
        return scores.reshape(b, -1), ScoresCache(x.shape, ends, mask, c_linear)

    def head_backward(self, dscores: Array, grads: Parameters, cache: ScoresCache, sequences: int, run: Run) -> Array:
        """dscores (B, K) or (B, N) to the gradient of every extracted state, (B·N, C)."""
        b, c = cache.mask.shape
        dh = linear_backward(dscores.reshape(b, -1, self.scores), cache.linear, grads, "head", run)
        dh = dh * cache.mask[:, None]
        xp = array_module(dh)
        return xp.broadcast_to(dh, (b, sequences, c)).reshape(-1, c)  # h.sum(axis=1): each state gets all of it

    def forward(self, params: Parameters, batch: ExtractBatch, run: Run = EVALUATION) -> tuple[float, HeadCache]:
        """L2 + λ L1, or L2 alone where the batch has no targets, and the cache for `backward`."""
        b, n, t = batch.inputs.shape
        self._check(b, n, t)
        rows = dataclasses.replace(run, row=run.row * n)  # a sequence's dropout must not depend on the shard it is in
        x, c_body = self.body.body_forward(params, batch.inputs.reshape(-1, t), rows)  # (B·N, T, C)
        scores, c_scores = self.head_forward(params, x, batch, run)
        loss, c_labels = label_loss_forward(scores, batch.labels, run, regression=self.regression)
        cache = HeadCache(c_body, c_scores, c_labels, None, c_labels.measures)
        if batch.targets is None or not self.auxiliary:
            return loss, cache
        language, c_language = self.language_forward(params, x, batch.targets, run)
        total = language * run.denominators.get("sequences", b * n)
        measures = cache.measures | {"lm_loss": (total, b * n)}
        return loss + self.auxiliary * language, cache._replace(language=c_language, measures=measures)

    def language_forward(self, params: Parameters, x: Array, targets: Array, run: Run) -> tuple[float, LanguageCache]:
        """L1: every sequence's mean cost per token, then their mean over the whole step's sequences."""
        xp, targets = array_module(x), targets.reshape(-1, x.shape[1])  # (B·N, T)
        counted = targets != IGNORE
        at = xp.nonzero(counted)  # the M places where a token is predicted
        share = 1.0 / xp.maximum(counted.sum(axis=1), 1)  # 1/n_s
        logits, c_output = run.ops.linear_forward(x[at], self.body.output_weight(params))  # (M, C) @ (C, V)
        denominator = run.denominators.get("sequences", len(targets))
        loss, c_loss = run.ops.cross_entropy_forward(logits, targets[at], denominator=denominator, weights=share[at[0]])
        return loss, LanguageCache(at, c_output, c_loss)

    def _check(self, examples: int, sequences: int, tokens: int) -> None:
        if tokens > self.config.context:
            raise UserError(f"a text has {tokens} tokens, but the model's context is {self.config.context}; shorten it")
        if self.choice and sequences < 2:
            raise UserError(f"there is {sequences} option to choose from; at least 2 are needed")

    def backward(
        self, params: Parameters, grads: Parameters, cache: HeadCache, run: Run = EVALUATION, scale: float = 1.0
    ) -> None:
        """Add scale times the gradient of the loss to `grads`.

        The extracted states feed the head and, like all states, the output layer: their gradients are summed.
        """
        dscores = label_loss_backward(scale, cache.labels, run, regression=self.regression)
        scores = cache.scores
        sequences = len(scores.ends[0]) // len(scores.mask)
        dend = self.head_backward(dscores, grads, scores, sequences, run)  # (B·N, C)
        dx = run.ops.empty(scores.shape, like=dend)
        dx[...] = 0
        if cache.language is not None:
            at, c_output, c_loss = cache.language
            dlogits = run.ops.cross_entropy_backward(scale * self.auxiliary, c_loss)  # loss + λ language
            dweight, first = self.body.output_gradient(grads)
            dx[at] = run.ops.linear_backward(dlogits, c_output, dweight, first=first)  # x[at]
        dx[scores.ends] += dend  # x[ends]: one place of each sequence
        self.body.body_backward(dx, grads, cache.body, run)
