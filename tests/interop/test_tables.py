"""The naming tables: theirs cover ours exactly once, and what they cannot express is refused by name."""

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.interop import hf
from minigpt.interop.hf import windows
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
    "gpt_neo": GPT(
        GPTConfig(
            **dict(vocab_size=11, context=7, layers=2, heads=2, width=6, window=3, qkv_bias=False, scaled_scores=False)
        )
    ),
    "mistral": Llama(LlamaConfig(vocab_size=11, context=7, layers=2, heads=4, kv_heads=2, width=8, window=3)),
    "qwen2": Llama(LlamaConfig(vocab_size=11, context=7, layers=2, heads=4, width=8, attention_bias="qkv")),
    "roberta": Bert(BertConfig(vocab_size=11, context=7, layers=2, width=6, pairs=False, token_types=1, pad=1)),
    "distilbert": Bert(BertConfig(vocab_size=11, context=7, layers=2, width=6, pairs=False, token_types=0)),
    "bert": Bert(BertConfig(vocab_size=11, context=7, layers=2, heads=2, width=6, feed_forward=10)),
}
HEADS = [
    BARTClassifier(MODELS["bart"].config, classes=3),
    BARTQuestionAnswering(MODELS["bart"].config),
    BertClassifier(MODELS["bert"].config, classes=3),
    BertMultipleChoice(MODELS["bert"].config),
    BertSpans(MODELS["bert"].config),
    Bert(BertConfig(vocab_size=11, context=7, layers=1, width=6, pairs=False)),
    Llama(LlamaConfig(vocab_size=11, context=7, heads=4, width=8, attention_bias="all")),
    *[head(MODELS["roberta"].config) for head in (BertMultipleChoice, BertSpans)],
    *[BertClassifier(MODELS[name].config, classes=3) for name in ("roberta", "distilbert")],
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
        (
            {"qkv_bias": False},
            "GPT2LMHeadModel cannot express this model: it has no biases of queries, keys and values",
        ),
        ({"scaled_scores": False}, "GPTNeoForCausalLM cannot express this model: it has biases of queries, keys and"),
        ({"norm": "post", "scaled_scores": False}, "it has scores that are not scaled"),
        ({"bias": False, "window": 3}, "it has no biases and banded attention (window 3)"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(changed, sentence):
    model = GPT(GPTConfig(**{"vocab_size": 11, "context": 7, "layers": 1, "heads": 2, "width": 6, **changed}))
    with pytest.raises(UserError) as error:
        hf.to_state_dict(model, model.init())
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    "model, sentence",
    [
        (Llama(LlamaConfig(11, 7, heads=2, width=8, window=3, window_layers="fw")), "in some layers only"),
        (Llama(LlamaConfig(11, 7, heads=2, width=8, window=3, attention_bias="all")), "it has biases in attention"),
        (Bert(BertConfig(11, 7, width=6, pad=1)), "RobertaForMaskedLM cannot express this model: it has a head for"),
        (
            Bert(BertConfig(11, 7, width=6, pairs=False, token_types=0, norm_eps=1e-5)),
            "norms with ε = 1e-05, not 1e-12",
        ),
    ],
)
def test_what_one_of_a_kind_cannot_express(model, sentence):
    with pytest.raises(UserError) as error:
        hf.family_of(model)
    assert sentence in str(error.value)


@pytest.mark.parametrize("layers", ["w", "f", "fw", "wf", "ffw", "fffw"])
def test_windows_are_the_shortest_pattern_of_their_list(layers):
    """Six layers, one after the other, are the pattern that they repeat."""
    c = LlamaConfig(11, 7, layers=6, width=8, window=3, window_layers=layers)
    listed = [letter == "w" for letter in (layers * 6)[:6]]
    assert windows.windowed(c) == listed and windows.pattern(listed) == layers
    assert windows.windowed(LlamaConfig(11, 7, layers=6, width=8, window_layers=layers)) == [False] * 6
