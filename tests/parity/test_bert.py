"""BERT and its heads against transformers on random weights of order one: logits, loss and every gradient.

Hugging Face makes id 0 `padding_idx`: as an input it gives its row of the embedding no gradient. So here it stands only
where no gradient arrives anyway: at padding that nothing looks at. (A softmax over the places of a row looks at padding
too, and a first token that is padding feeds the pooler; there padding has other ids.) In the tied output layer the row
is like any other.
"""

import numpy as np
import pytest
import torch
import transformers

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.interop.adapters import bert as adapter
from minigpt.interop.hf import to_state_dict
from minigpt.lab.testing import random_parameters
from minigpt.models.bert import Bert, BertConfig
from minigpt.models.bert_heads import BertClassifier, BertMultipleChoice, BertSpans, ClassificationBatch, SpanBatch
from minigpt.ops import IGNORE

pytestmark = pytest.mark.parity

SIZES = [(1, 1, 7, 5), (2, 3, 12, 7), (3, 2, 10, 11)]  # layers, heads, width, context
VOCAB = 13


def padding(rows, context, side):
    if side == "none":
        return None
    real = np.arange(context) < np.array([context, max(3, context // 2), 2])[:, None]
    return real if side == "right" else real[:, ::-1].copy()


class Task:
    """One of the models, with what Hugging Face calls its inputs and makes of its logits."""

    def __init__(self, name, size, side):
        layers, heads, width, context = size
        activation, self.hidden_act = ("gelu_tanh", "gelu_new") if name == "masked" else ("gelu_erf", "gelu")
        config = BertConfig(VOCAB, context, layers, heads, width, pairs=name == "pairs", activation=activation)
        rng = np.random.default_rng(context)
        self.name = name
        self.ids = rng.integers(1, VOCAB, (3, context))
        self.types = rng.integers(0, 2, (3, context))
        self.real = padding(3, context, side)
        everywhere = np.ones((3, context), bool) if self.real is None else self.real
        if side == "right" and name != "spans":
            self.ids[~everywhere] = 0
        if name in ("pairs", "masked"):
            self.model = Bert(config)
            self.cls = transformers.BertForPreTraining if name == "pairs" else transformers.BertForMaskedLM
            chosen = everywhere & (rng.random((3, context)) < 0.6)
            self.labels = np.where(chosen, rng.integers(0, VOCAB, (3, context)), IGNORE)
            self.labels[0, np.flatnonzero(everywhere[0])[0]] = 0  # a target like any other
            self.pairs = np.array([0, 1, 0]) if name == "pairs" else None
            inputs = {"input_ids": self.ids, "token_type_ids": self.types, "attention_mask": self.real}
            inputs |= {"labels": self.labels, "next_sentence_label": self.pairs}
            self.batch = adapter.batch(None, {k: v for k, v in inputs.items() if v is not None})
        elif name == "classifier":
            self.model, self.cls = BertClassifier(config, 4), transformers.BertForSequenceClassification
            self.batch = ClassificationBatch(self.ids, np.array([3, 0, 1]), self.types, self.real)
        elif name == "choice":
            self.model, self.cls = BertMultipleChoice(config), transformers.BertForMultipleChoice
            self.ids, self.types = (np.stack([x, x[::-1]]) for x in (self.ids, self.types))  # (2, 3, T)
            self.real = None if self.real is None else np.stack([self.real, self.real[::-1]])
            self.batch = ClassificationBatch(self.ids, np.array([2, 0]), self.types, self.real)
        else:
            self.model, self.cls = BertSpans(config), transformers.BertForQuestionAnswering
            last = everywhere.shape[1] - 1
            self.batch = SpanBatch(self.ids, np.array([0, 1, last]), np.array([last, 0, 2]), self.types, self.real)
        self.params = random_parameters(self.model, seed=layers)

    def hf_model(self, params, dtype):
        c = self.model.config
        config = transformers.BertConfig(
            vocab_size=c.vocab_size,
            hidden_size=c.width,
            num_hidden_layers=c.layers,
            num_attention_heads=c.heads,
            intermediate_size=c.feed_forward,
            max_position_embeddings=c.context,
            hidden_act=self.hidden_act,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            num_labels=4 if self.name == "classifier" else 2,
            attn_implementation="eager",
        )
        hf = self.cls(config).to(dtype)
        tensors = {k: torch.tensor(v, dtype=dtype) for k, v in to_state_dict(self.model, params).items()}
        missing, unexpected = hf.load_state_dict(tensors, strict=False)
        tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
        assert unexpected == [] and set(missing) <= tied
        return hf

    def hf_results(self, params, dtype):
        """Logits, the loss computed from them in their own precision, and every gradient."""
        hf = self.hf_model(params, dtype)
        mask = None if self.real is None else torch.tensor(self.real.astype(int))
        inputs = {"input_ids": torch.tensor(self.ids), "token_type_ids": torch.tensor(self.types)}
        out = hf(**inputs, attention_mask=mask)
        cross_entropy = torch.nn.functional.cross_entropy
        if self.name in ("pairs", "masked"):
            scores = out.prediction_logits if self.name == "pairs" else out.logits
            loss = cross_entropy(scores.flatten(0, 1), torch.tensor(self.labels).flatten(), ignore_index=IGNORE)
            logits = {"logits": scores[slice(None) if self.real is None else self.real]}
            if self.name == "pairs":
                loss = loss + cross_entropy(out.seq_relationship_logits, torch.tensor(self.pairs))
                logits["pair logits"] = out.seq_relationship_logits
        elif self.name == "spans":
            starts, ends = out.start_logits, out.end_logits
            logits = {"logits": torch.stack([starts, ends], -1)}
            loss = cross_entropy(starts, torch.tensor(self.batch.starts)) / 2
            loss = loss + cross_entropy(ends, torch.tensor(self.batch.ends)) / 2
        else:
            logits = {"logits": out.logits}
            loss = cross_entropy(out.logits, torch.tensor(self.batch.labels))
        loss.backward()
        gradients = {k: p.grad.numpy() for k, p in hf.named_parameters()}
        return {k: v.detach().numpy() for k, v in logits.items()} | {"loss": loss.item()} | gradients

    def our_results(self, params, implementation=ops):
        model, run = self.model, Run(ops=implementation)
        loss, cache = model.forward(params, self.batch, run)
        grads = params.zeros_like()
        model.backward(params, grads, cache, run)
        scores = model.logits(params, self.ids, run, self.real, self.types)
        if self.name in ("pairs", "masked") and self.real is not None:
            scores = scores[self.real]
        logits = {"logits": scores}
        if self.name == "pairs":
            logits["pair logits"] = model.pair_logits(params, self.ids, run, self.real, self.types)
        return logits | {"loss": loss} | to_state_dict(model, grads)


TASKS = ["pairs", "masked", "classifier", "choice", "spans"]


@pytest.fixture(params=[(n, s, p) for n in TASKS for s in SIZES for p in ("none", "right", "left")], ids=str)
def task(request):
    return Task(*request.param)


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_double_precision(task, implementation):
    ours, theirs = task.our_results(task.params, implementation), task.hf_results(task.params, torch.float64)
    assert theirs["logits"].dtype == np.float64 and ours.keys() == theirs.keys()
    for name in theirs:
        a, b = ours[name], theirs[name]
        assert np.abs(a - b).max() <= 1e-9 * max(1.0, np.abs(b).max()), name


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_single_precision(task, implementation):
    """Our float32 results are at most three times as far from the float64 ones as transformers' own."""
    single = task.params.astype("float32")
    exact, ours = task.our_results(single.astype("float64")), task.our_results(single, implementation)
    theirs = task.hf_results(single, torch.float32)
    for name, value in exact.items():
        ours_off, theirs_off = np.abs(ours[name] - value).max(), np.abs(theirs[name] - value).max()
        assert ours_off <= 3 * theirs_off + 1e-6, name
