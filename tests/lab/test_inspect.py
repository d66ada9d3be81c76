"""Attention maps are the probabilities that the model's own attention uses."""

import numpy as np
import pytest

from minigpt import ops
from minigpt.blocks.run import EVALUATION
from minigpt.lab.gradcheck.cases import MODEL_CASES
from minigpt.lab.inspect import attention_maps, attention_names

NAMES = ["gpt", "gpt2-padded", "gpt3", "llama-grouped", "bert", "bart", "transformer"]


def inputs(case):
    batch = case.batch
    if hasattr(batch, "source"):
        return {"ids": batch.source, "target": batch.inputs, "key_padding": batch.source_padding}
    types = {"token_types": batch.token_types} if hasattr(batch, "token_types") else {}
    return {"ids": batch.inputs, "key_padding": batch.key_padding, **types}


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_those_of_the_forward_pass(name):
    """Each map, applied to the values that attention was given, is what attention returned, in the model's order."""
    case = MODEL_CASES[name]()
    seen = []

    class Watched:
        def __getattr__(self, name):
            return getattr(ops, name)

        def attention_forward(self, q, k, v, **options):
            y, cache = ops.attention_forward(q, k, v, **options)
            seen.append((v, y))
            return y, cache

    from dataclasses import replace

    case.model.forward(case.params, case.batch, replace(EVALUATION, ops=Watched()))
    maps = attention_maps(case.model, case.params, **inputs(case))
    assert list(maps) == attention_names(case.model)
    for probabilities, (v, y) in zip(maps.values(), seen, strict=True):
        heads, groups = y.shape[2], v.shape[2]
        values = np.repeat(v, heads // groups, axis=2)  # (B, S, H, D)
        assert np.allclose(np.einsum("bhts,bshd->bthd", probabilities, values), y, atol=1e-12)
        total = probabilities.sum(axis=-1)
        assert np.allclose(total[total > 0], 1.0)


def test_a_causal_model_sees_nothing_that_comes_later():
    case = MODEL_CASES["gpt2"]()
    ((first, *_),) = [list(attention_maps(case.model, case.params, [3, 1, 4, 1, 5]).values())]
    assert first.shape == (1, 2, 5, 5)
    assert (first[0] * np.triu(np.ones((5, 5)), 1) == 0).all() and (first[0, :, 0, 0] == 1).all()


def test_cross_attention_looks_from_the_target_at_the_source():
    case = MODEL_CASES["bart"]()
    maps = attention_maps(case.model, case.params, [1, 2, 3, 4, 5, 6], target=[2, 3])
    shapes = {name: x.shape[2:] for name, x in maps.items()}
    assert shapes["encoder.blocks.0.attention"] == (6, 6)
    assert shapes["decoder.blocks.0.attention"] == (2, 2)
    assert shapes["decoder.blocks.0.cross"] == (2, 6)


@pytest.mark.parametrize(("name", "target"), [("bart", None), ("gpt2", [1, 2])])
def test_a_target_belongs_to_an_encoder_decoder(name, target):
    case = MODEL_CASES[name]()
    with pytest.raises(ValueError, match="an encoder–decoder needs a source and a target"):
        attention_maps(case.model, case.params, [1, 2, 3], target=target)
