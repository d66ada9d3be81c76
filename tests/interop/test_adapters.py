"""BERT in Hugging Face's terms: labels are not shifted, −100 is ignored, 0 is a label like any other."""

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.interop.adapters import BertAdapter
from minigpt.interop.loaded import Loaded
from minigpt.lab.testing import random_parameters
from minigpt.models.bert import Bert, BertConfig
from minigpt.ops import IGNORE

IDS = np.array([[2, 4, 7, 3, 5, 3], [2, 8, 3, 6, 3, 0]])
TYPES = np.array([[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]])
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]])
LABELS = np.array([[IGNORE, 9, IGNORE, IGNORE, 0, IGNORE], [IGNORE, IGNORE, IGNORE, 6, IGNORE, IGNORE]])
INPUTS = {"token_type_ids": TYPES, "attention_mask": MASK}


def loaded(**changed):
    model = Bert(BertConfig(vocab_size=11, context=8, layers=1, heads=2, width=8, **changed))
    return Loaded(model, random_parameters(model), None, None)


def log_softmax(scores, label):
    scores = scores - scores.max()
    return scores[label] - np.log(np.exp(scores).sum())


def test_labels_say_what_stands_at_their_own_place():
    batch = BertAdapter(loaded().model, {"input_ids": IDS, "labels": LABELS} | INPUTS).batch()
    assert batch.places[0].tolist() == [1, 4] and batch.targets.tolist() == [[9, 0], [6, IGNORE]]
    assert batch.places[1, 0] == 3 and batch.labels is None and batch.key_padding.dtype == bool


def test_the_loss_is_that_of_the_logits():
    m = loaded()
    scores = m.logits(IDS, **INPUTS)
    assert scores.prediction_logits.shape == (2, 6, 11) and scores.seq_relationship_logits.shape == (2, 2)
    masked = -np.mean([log_softmax(scores.prediction_logits[r, t], LABELS[r, t]) for r, t in np.argwhere(LABELS >= 0)])
    pairs = -np.mean([log_softmax(scores.seq_relationship_logits[r], label) for r, label in enumerate((0, 1))])
    loss, grads = m.loss_and_grads(IDS, LABELS, **INPUTS, next_sentence_label=np.array([0, 1]))
    assert loss == pytest.approx(masked + pairs, rel=1e-12) and grads["pairs.bias"].any()
    loss, grads = m.loss_and_grads(IDS, LABELS, **INPUTS)
    assert loss == pytest.approx(masked, rel=1e-12) and not grads["pairs.bias"].any()
    assert m.loss_and_grads(IDS, LABELS, **INPUTS, next_sentence_label=[[0], [0]])[0] > masked  # 0 is not ignored


def test_without_pairs_the_logits_are_one_array():
    m = loaded(pairs=False)
    assert m.logits(IDS, **INPUTS).shape == (2, 6, 11)
    assert m.logits(IDS, MASK).shape == (2, 6, 11)
    with pytest.raises(UserError, match="made without sentence pairs"):
        m.loss_and_grads(IDS, LABELS, next_sentence_label=[0, 1])


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"labels": None}, "needs labels"),
        ({"labels": LABELS[:, :5]}, r"labels has shape \(2, 5\)"),
        ({"token_type_ids": TYPES[:1]}, r"token_type_ids has shape \(1, 6\)"),
        ({"next_sentence_label": [1, 0, 1]}, r"next_sentence_label has shape \(3,\)"),
        ({"attention_mask": MASK[:, 1:]}, r"attention_mask has shape \(2, 5\)"),
        ({"decoder_input_ids": IDS}, "takes no decoder_input_ids"),
    ],
)
def test_what_does_not_fit_is_refused(changed, sentence):
    with pytest.raises(UserError, match=sentence):
        loaded().loss_and_grads(IDS, **{"labels": LABELS, **INPUTS, **changed})


def test_a_model_without_segments_takes_no_token_types():
    m = loaded(pairs=False, token_types=0)
    assert m.logits(IDS, MASK).shape == (2, 6, 11)
    with pytest.raises(UserError, match="this model has no token types: leave token_type_ids out"):
        m.logits(IDS, **INPUTS)


def test_bert_does_not_continue_a_text():
    with pytest.raises(UserError, match=r"fills in \[MASK\]"):
        loaded().generate_ids(IDS)
