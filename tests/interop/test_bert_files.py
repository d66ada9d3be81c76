"""BERT's folders as they were saved over the years: old spellings, buffers, a class that config.json does not name."""

import numpy as np
import pytest

import minigpt
from minigpt.core.errors import UserError
from minigpt.interop.hf.writing import write_model
from minigpt.models import Bert, BertConfig

from .files import change_config, change_tensors

MODEL = Bert(BertConfig(vocab_size=11, context=8, layers=1, heads=2, width=6, truncated_init=False))


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "hf", MODEL, MODEL.init(seed=3), None)
    return tmp_path / "hf"


def refused(folder, **options):
    with pytest.raises(UserError) as error:
        minigpt.load(folder, **options)
    return str(error.value)


def test_old_spellings(folder):
    def old(tensors):
        for name in list(tensors):
            renamed = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            tensors[renamed] = tensors.pop(name)
        tensors["bert.embeddings.position_ids"] = ("I64", (1, 8), bytes(64))
        tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]

    change_tensors(folder, old)
    change_config(
        folder, architectures=["BertForMaskedLM"], position_embedding_type="absolute", gradient_checkpointing=0
    )
    loaded = minigpt.load(folder)
    assert loaded.config.model.pairs and np.array_equal(loaded.params.flat, MODEL.init(seed=3).flat)


def test_the_encoder_alone(folder):
    """`BertModel` has no prefix and no heads; they start anew only when that is asked for."""

    def bare(tensors):
        for name in list(tensors):
            value = tensors.pop(name)
            if name.startswith("bert."):
                tensors[name.removeprefix("bert.")] = value

    change_tensors(folder, bare)
    alone, original = minigpt.load(folder), MODEL.init(seed=3)
    assert alone.config.model.headless and alone.config.model.pairs
    assert all(np.array_equal(x, original[name]) for name, x in alone.params.items())
    assert [
        name for name in original if name not in alone.params and name.split(".")[0] not in ("masked", "pairs")
    ] == []
    with pytest.raises(UserError, match="this BERT is an encoder without the heads that predict tokens"):
        alone.logits([[1, 2, 3]])
    params = minigpt.load(folder, fresh=["cls."]).params
    assert np.array_equal(params["pooler.weight"], original["pooler.weight"])
    assert not np.array_equal(params["masked.dense.weight"], original["masked.dense.weight"])


def test_what_is_not_computed_is_refused_by_name(folder):
    for changed, sentence in [
        ({"position_embedding_type": "relative_key"}, 'position_embedding_type is "relative_key"'),
        ({"is_decoder": True}, "is_decoder is true"),
        ({"hidden_act": "mish"}, 'hidden_act is "mish"'),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is false"),
    ]:
        before = (folder / "config.json").read_text()
        change_config(folder, **changed)
        assert sentence in refused(folder)
        (folder / "config.json").write_text(before)
