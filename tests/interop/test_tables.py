"""The naming tables: theirs cover ours exactly once, and what they cannot express is refused by name."""

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.interop import hf
from minigpt.interop.tables import columns, their_tensors, transposed
from minigpt.models import (
    BART,
    GPT,
    BARTClassifier,
    BARTConfig,
    BARTQuestionAnswering,
    GPTConfig,
    Llama,
    LlamaConfig,
)
from minigpt.models.bert import Bert, BertConfig
from minigpt.models.bert_heads import BertClassifier, BertMultipleChoice, BertSpans

MODELS = {
    "openai-gpt": GPT(GPTConfig(vocab_size=11, context=7, layers=2, heads=2, width=6, norm="post")),
    "gpt2": GPT(GPTConfig(vocab_size=11, context=7, layers=2, heads=2, width=6, feed_forward=10)),
    "llama": Llama(LlamaConfig(vocab_size=11, context=7, layers=2, heads=4, kv_heads=2, width=8, feed_forward=5)),
    "bart": BART(BARTConfig(vocab_size=11, context=7, encoder_layers=1, decoder_layers=2, width=6, feed_forward=10)),
    "bert": Bert(BertConfig(vocab_size=11, context=7, layers=2, heads=2, width=6, feed_forward=10)),
}
HEADS = [
    BARTClassifier(MODELS["bart"].config, classes=3),
    BARTQuestionAnswering(MODELS["bart"].config),
    BertClassifier(MODELS["bert"].config, classes=3),
    BertMultipleChoice(MODELS["bert"].config),
    BertSpans(MODELS["bert"].config),
    Bert(BertConfig(vocab_size=11, context=7, layers=1, width=6, pairs=False)),
]


def test_every_family_is_here():
    assert MODELS.keys() == hf.FAMILIES.keys()


@pytest.mark.parametrize("model", [*MODELS.values(), *HEADS], ids=lambda model: type(model).__name__)
def test_their_tensors_cover_ours_exactly_once(model):
    assert hf.family_of(model).family == model.family
    tree = model.init()
    tree.flat[:] = 0
    for tensor in hf.to_state_dict(model, tree).values():
        assert np.shares_memory(tensor, tree.flat)
        tensor += 1
    assert (tree.flat == 1).all()


def test_views_are_theirs_by_columns_and_transposed():
    fused = np.arange(12.0).reshape(2, 6)
    bias = np.arange(6.0)
    table = {"q": ("w", columns(0, 3)), "k": ("w", columns(3, 6)), "b": ("b", columns(3, 6)), "t": ("w", transposed)}
    theirs = their_tensors(table, {"w": fused, "b": bias})
    assert theirs["q"].tolist() == [[0, 6], [1, 7], [2, 8]] and theirs["k"].tolist() == [[3, 9], [4, 10], [5, 11]]
    assert theirs["b"].tolist() == [3, 4, 5] and theirs["t"].shape == (6, 2)


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"bias": False}, "GPT2LMHeadModel cannot express this model: it has no biases"),
        ({"window": 3}, "it has banded attention (window 3)"),
        (
            {"norm": "post", "activation": "gelu_erf"},
            "OpenAIGPTLMHeadModel cannot express this model: it has the activation",
        ),
        ({"norm": "post", "feed_forward": 5}, "it has feed-forward layers 5 wide, not 4 times 6"),
        ({"bias": False, "window": 3}, "it has no biases and banded attention (window 3)"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(changed, sentence):
    model = GPT(GPTConfig(**{"vocab_size": 11, "context": 7, "layers": 1, "heads": 2, "width": 6, **changed}))
    with pytest.raises(UserError) as error:
        hf.to_state_dict(model, model.init())
    assert sentence in str(error.value)
