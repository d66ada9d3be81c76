"""GPT's weights as they were released: ten files that cut one long array anywhere."""

import json

import numpy as np
import pytest

import minigpt
from minigpt.core.errors import UserError
from minigpt.interop.hf import to_state_dict
from minigpt.models import GPT, GPTConfig

MODEL = GPT(GPTConfig(vocab_size=23, context=7, layers=2, heads=2, width=128, norm="post"))
BLOCK = ["attn.c_attn", "attn.c_proj", "ln_1", "mlp.c_fc", "mlp.c_proj", "ln_2"]


@pytest.fixture
def released(tmp_path):
    """A folder like the released one, and the parameters in it."""
    params = MODEL.init(seed=5)
    params.flat[:] = np.random.default_rng(5).normal(0, 0.3, params.flat.shape)
    theirs = to_state_dict(MODEL, params)
    names = ["positions_embed.weight", "tokens_embed.weight"]
    names += [f"h.{i}.{name}.{part}" for i in range(2) for name in BLOCK for part in ("weight", "bias")]
    arrays = [theirs[f"transformer.{name}"] for name in names]
    arrays = [x[None] if x.ndim == 2 and n > 1 else x for n, x in enumerate(arrays)]
    (tmp_path / "params_shapes.json").write_text(json.dumps([x.shape for x in arrays]))
    flat = np.concatenate([x.ravel() for x in arrays])
    for n, part in enumerate(np.array_split(flat, 10)):
        np.save(tmp_path / f"params_{n}.npy", part)
    return tmp_path, params


def test_they_are_read_bit_for_bit(released):
    folder, params = released
    loaded = minigpt.load(folder)
    assert np.array_equal(loaded.params.flat, params.flat) and loaded.tokenizer is None
    c = loaded.config.model
    assert (c.norm, c.heads, c.width, c.context, c.vocab_size) == ("post", 2, 128, 7, 23)
    ids = np.arange(14).reshape(2, 7)
    assert np.allclose(loaded.logits(ids), MODEL.logits(params, ids), atol=1e-4)


def test_the_tokenizer_beside_them_fits(released, tmp_path):
    """Fine-tuning appends three tokens to the vocabulary, which the released weights have no embeddings for."""
    folder, _ = released
    letters = [c + end for c in "abcdefghijk" for end in ("", "</w>")]
    (folder / "encoder_bpe_40000.json").write_text(json.dumps({t: i for i, t in enumerate([*letters, "<unk>"])}))
    (folder / "vocab_40000.bpe").write_text("#version: 0.2\n")
    loaded = minigpt.load(folder)
    assert loaded.tokenizer.vocab_size == 23 and loaded.tokenizer.decode(loaded.tokenizer.encode("Bad")) == "bad"


def test_damage(released):
    folder, _ = released
    last = folder / "params_9.npy"
    content = last.read_bytes()

    def sentence():
        with pytest.raises(UserError) as error:
            minigpt.load(folder)
        return str(error.value)

    last.write_bytes(content[:-40])
    assert "params_9.npy is damaged: it should have" in sentence()
    last.unlink()
    assert "hold" in sentence() and "but params_shapes.json needs" in sentence()
    np.save(last, np.zeros(3, dtype=object), allow_pickle=True)
    assert "params_9.npy is not a flat array of float32, but one of |O and shape (3,)" in sentence()
    np.save(last, np.zeros((3, 3)))
    assert "params_9.npy is not a flat array of float32, but one of <f8 and shape (3, 3)" in sentence()
    last.write_bytes(content)
    (folder / "params_3.npy").unlink()
    assert f"there is no file {folder / 'params_3.npy'}" in sentence()
    for damaged in ("[[1, 2]]", "5", "[[1, 2], [3, 4], [5]]", "{", '[["a", 2], [3, 4]]'):
        (folder / "params_shapes.json").write_text(damaged)
        assert "params_shapes.json is damaged: it should list 2 shapes, and 12 for every block" in sentence()
    (folder / "params_shapes.json").write_text("[[7, 100], [23, 100]]")
    assert "the width 100 is not a multiple of 64" in sentence()
