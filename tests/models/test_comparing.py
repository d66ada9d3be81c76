"""BERT's initial weights that compare two segments."""

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.lab.inspect import attention_maps
from minigpt.models import Bert, BertConfig

SHAPE = {"vocab_size": 400, "context": 64, "layers": 2, "heads": 2, "width": 128, "init_std": 0.05}


def across(init, seed=0):
    """How much of its attention a token of segment B gives to segment A: of tokens that A holds too, and of others."""
    model = Bert(BertConfig(**SHAPE, attention_init=init))
    params = model.init(seed=seed)
    ids = np.random.default_rng(seed).permutation(400)[:64]
    ids[40:50] = ids[10:20]  # ten tokens of A come again in B
    types = (np.arange(64) >= 32).astype(np.int64)
    maps = attention_maps(model, params, ids, token_types=types[None])["blocks.0.attention"][0]  # (H, T, T)
    to_a = maps[:, :, :32].sum(axis=-1).mean(axis=0)
    return to_a[40:50].mean(), np.delete(to_a[32:], range(8, 18)).mean()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_token_finds_itself_in_the_other_segment(seed):
    shared, alone = across("comparing", seed)
    assert shared > 0.8 and alone < 0.2
    shared, alone = across("normal", seed)
    assert abs(shared - alone) < 0.1


def test_values_say_which_segment_they_come_from():
    def told(init):
        model = Bert(BertConfig(**SHAPE, attention_init=init))
        params = model.init(seed=0)
        values = params["blocks.0.attention.qkv.weight"][:, 256:]
        return np.linalg.norm((params["token_types"][1] - params["token_types"][0]) @ values.reshape(128, 2, 64)[:, 0])

    assert told("comparing") > 2 * told("normal")


def test_everything_else_starts_as_ever():
    model = Bert(BertConfig(**SHAPE))
    ours, theirs = Bert(BertConfig(**SHAPE, attention_init="comparing")).init(seed=4), model.init(seed=4)
    changed = {name for name in ours if not np.array_equal(ours[name], theirs[name])}
    qkv, out = (f"blocks.{i}.attention.{name}.weight" for i, name in ((0, "qkv"), (1, "out")))
    assert changed == {"positions", "token_types", qkv, qkv.replace("0", "1"), out}


def test_it_depends_on_the_seed_alone():
    model = Bert(BertConfig(**SHAPE, attention_init="comparing"))
    assert np.array_equal(model.init(seed=2).flat, model.init(seed=2).flat)
    assert not np.array_equal(model.init(seed=2).flat, model.init(seed=3).flat)


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"attention_init": "same"}, 'choose "normal" or "comparing"'),
        ({"attention_init": "comparing", "pairs": False, "token_types": 1}, "2 segments to compare"),
    ],
)
def test_what_cannot_be_is_refused(changed, sentence):
    with pytest.raises(UserError, match=sentence):
        BertConfig(**SHAPE, **changed)


def test_how_much_the_weights_change():
    """Later layers' values and outputs are doubled, positions a tenth, token types a half."""
    ours = Bert(BertConfig(**SHAPE, attention_init="comparing")).init(seed=4)
    theirs = Bert(BertConfig(**SHAPE)).init(seed=4)
    for name, factor in (("blocks.1.attention.out.weight", 2.0), ("positions", 0.1), ("token_types", 0.5)):
        np.testing.assert_allclose(ours[name], factor * theirs[name], rtol=1e-6)
    qkv = "blocks.1.attention.qkv.weight"
    np.testing.assert_allclose(ours[qkv], theirs[qkv] * np.repeat([1.0, 1.0, 2.0], 128), rtol=1e-6)
    np.testing.assert_allclose(
        ours["blocks.0.attention.qkv.weight"][:, :128], 5 * theirs["blocks.0.attention.qkv.weight"][:, :128], rtol=1e-6
    )
