"""BART's configuration: read back as it was written, and what is another model is refused by its key."""

import dataclasses

import pytest

from minigpt.core.errors import UserError
from minigpt.interop.hf import FAMILIES
from minigpt.interop.keys import Keys
from minigpt.models import BARTConfig

FAMILY = FAMILIES["bart"]
CONFIG = BARTConfig(
    vocab_size=50,
    context=9,
    encoder_layers=1,
    decoder_layers=3,
    heads=3,
    width=6,
    feed_forward=7,
    activation="gelu_tanh",
    dropout=0.2,
    attention_dropout=0.05,
    activation_dropout=0.01,
    head_dropout=0.3,
    init_std=0.03,
    bos=5,
    pad=6,
    eos=7,
    start=8,
)


def read(values):
    keys = Keys(values, "config.json", aliases=FAMILY.aliases)
    config = FAMILY.read_config(keys)
    assert keys.finish(FAMILY.harmless) == []
    return config


def test_written_and_read():
    assert read(FAMILY.write_config(CONFIG)) == CONFIG


def test_an_old_file_is_read():
    old = {"normalize_before": False, "normalize_embedding": True, "add_bias_logits": False, "classif_dropout": 0.1}
    assert read(FAMILY.write_config(CONFIG) | old | {"num_hidden_layers": 1, "scale_embedding": None}) == CONFIG


def test_stacks_of_different_shapes():
    uneven = dataclasses.replace(CONFIG, decoder_heads=1, decoder_feed_forward=5)
    assert read(FAMILY.write_config(uneven)) == uneven


def test_an_alias_counts_as_it_does_for_theirs():
    """transformers 5.23: BartConfig(encoder_layers=1, num_hidden_layers=2).encoder_layers == 2."""
    assert read(FAMILY.write_config(CONFIG) | {"num_hidden_layers": 2}).encoder_layers == 2


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"num_hidden_layers": "6"}, 'num_hidden_layers is "6", but it must be a whole number'),
        ({"decoder_attention_heads": 4}, "model.width 6 is not a multiple of model.decoder_heads 4"),
        ({"scale_embedding": True}, "scale_embedding is true, but minigpt can only do false"),
        ({"normalize_before": True}, "normalize_before is true"),
        ({"encoder_layerdrop": 0.1}, "encoder_layerdrop is 0.1"),
        ({"is_encoder_decoder": False}, "is_encoder_decoder is false"),
        ({"activation_function": "mish"}, 'activation_function is "mish"'),
        ({"vocab_size": None}, "vocab_size is null, but it must be a whole number"),
        ({"encoder_layers": None}, "encoder_layers is null, but it must be a whole number"),
        ({"dropout": None}, "dropout is null, but it must be a number"),
    ],
)
def test_another_model_is_refused(changed, sentence):
    with pytest.raises(UserError) as error:
        read(FAMILY.write_config(CONFIG) | changed)
    assert sentence in str(error.value)


def test_what_their_class_cannot_express():
    (problem,) = FAMILY.problems(BARTConfig(norm_eps=1e-6))
    assert problem == "norms with ε = 1e-06, not 1e-5"
