"""BERT, RoBERTa and DistilBERT with their heads against transformers, randomly weighted: logits, loss, every gradient.

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
from minigpt.interop.adapters import BertAdapter
from minigpt.interop.hf import to_state_dict
from minigpt.lab.testing import random_parameters
from minigpt.models.bert import Bert, BertConfig
from minigpt.models.bert_heads import BertClassifier, BertMultipleChoice, BertSpans, ClassificationBatch, SpanBatch
from minigpt.ops import IGNORE

pytestmark = pytest.mark.parity

SIZES = [(1, 1, 7, 5), (2, 3, 12, 7), (3, 2, 10, 11)]  # layers, heads, width, context
VOCAB = 13
KINDS = {  # what each has other than BERT; RoBERTa's padding is 0 here, so that its positions begin at 1
    "bert": {},
    "roberta": {"token_types": 1, "pad": 0},
    "distilbert": {"token_types": 0, "pooler_activation": "relu"},
}


def padding(rows, context, side):
    if side == "none":
        return None
    real = np.arange(context) < np.array([context, max(3, context // 2), 2])[:, None]
    return real if side == "right" else real[:, ::-1].copy()


class Task:
    """One of the models of a kind, with what Hugging Face calls its inputs and makes of its logits."""

    def __init__(self, kind, name, size, side):
        layers, heads, width, context = size
        other = name == "masked" and kind != "roberta"
        activation, self.hidden_act = ("gelu_tanh", "gelu_new") if other else ("gelu_erf", "gelu")
        settings = {"pairs": name == "pairs", "activation": activation} | KINDS[kind]
        config = BertConfig(VOCAB, context, layers, heads, width, **settings)
        rng = np.random.default_rng(context)
        self.kind, self.name = kind, name
        self.ids = rng.integers(1, VOCAB, (3, context))
        self.types = rng.integers(0, config.token_types, (3, context)) if config.token_types else None
        self.real = padding(3, context, side)
        everywhere = np.ones((3, context), bool) if self.real is None else self.real
        if side == "right" and name != "spans":
            self.ids[~everywhere] = 0
        if name in ("pairs", "masked"):
            self.model = Bert(config)
            chosen = everywhere & (rng.random((3, context)) < 0.6)
            self.labels = np.where(chosen, rng.integers(0, VOCAB, (3, context)), IGNORE)
            self.labels[0, np.flatnonzero(everywhere[0])[0]] = 0  # a target like any other
            self.pairs = np.array([0, 1, 0]) if name == "pairs" else None
            inputs = {"input_ids": self.ids, "token_type_ids": self.types, "attention_mask": self.real}
            inputs |= {"labels": self.labels, "next_sentence_label": self.pairs}
            self.batch = BertAdapter(self.model, {k: v for k, v in inputs.items() if v is not None}).batch()
        elif name == "classifier":
            self.model = BertClassifier(config, 4)
            self.batch = ClassificationBatch(self.ids, np.array([3, 0, 1]), self.types, self.real)
        elif name == "choice":
            self.model = BertMultipleChoice(config)
            both = (None if x is None else np.stack([x, x[::-1]]) for x in (self.ids, self.types, self.real))
            self.ids, self.types, self.real = both  # (2, 3, T)
            self.batch = ClassificationBatch(self.ids, np.array([2, 0]), self.types, self.real)
        else:
            self.model = BertSpans(config)
            last = everywhere.shape[1] - 1
            self.batch = SpanBatch(self.ids, np.array([0, 1, last]), np.array([last, 0, 2]), self.types, self.real)
        self.params = random_parameters(self.model, seed=layers)

    def hf_model(self, params, dtype):
        more = {"num_labels": 4 if self.name == "classifier" else 2, "attn_implementation": "eager"}
        config, cls = their_classes(self.kind, HEADS[self.name], self.model.config, self.hidden_act, more)
        hf = cls(config).to(dtype)
        tensors = {k: torch.tensor(v, dtype=dtype) for k, v in to_state_dict(self.model, params).items()}
        missing, unexpected = hf.load_state_dict(tensors, strict=False)
        assert unexpected == [] and set(missing) <= TIED
        return hf

    def hf_results(self, params, dtype):
        """Logits, the loss computed from them in their own precision, and every gradient."""
        hf = self.hf_model(params, dtype)
        mask = None if self.real is None else torch.tensor(self.real.astype(int))
        inputs = {"input_ids": torch.tensor(self.ids)}
        inputs |= {} if self.types is None else {"token_type_ids": torch.tensor(self.types)}
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


HEADS = {
    **{"pairs": "PreTraining", "masked": "MaskedLM", "classifier": "SequenceClassification"},
    **{"choice": "MultipleChoice", "spans": "QuestionAnswering"},
}
TIED = {
    *("cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "vocab_projector.weight"),
    *("lm_head.decoder.weight", "lm_head.decoder.bias"),
}


def their_classes(kind, head, c, activation, more):
    """The configuration of theirs, and the class with that head."""
    name = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}[kind]
    sizes = {"hidden_size": c.width, "num_hidden_layers": c.layers, "num_attention_heads": c.heads}
    sizes |= {"intermediate_size": c.feed_forward, "type_vocab_size": c.token_types, "hidden_act": activation}
    sizes |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "pad_token_id": 0}
    if kind == "distilbert":
        sizes = {"dim": c.width, "n_layers": c.layers, "n_heads": c.heads, "hidden_dim": c.feed_forward}
        sizes |= {"activation": activation, "dropout": 0.0, "attention_dropout": 0.0, "qa_dropout": 0.0}
        sizes |= {"seq_classif_dropout": 0.0}
    sizes |= {"vocab_size": c.vocab_size, "max_position_embeddings": c.context + c.pad + 1}
    return getattr(transformers, f"{name}Config")(**sizes, **more), getattr(transformers, f"{name}For{head}")


CASES = [("bert", n, s, p) for n in HEADS for s in SIZES for p in ("none", "right", "left")]
CASES += [(k, n, SIZES[1], p) for k in list(KINDS)[1:] for n in list(HEADS)[1:] for p in ("none", "right", "left")]


@pytest.fixture(params=CASES, ids=str)
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
