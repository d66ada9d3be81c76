"""Log-probabilities of completions against transformers' logits, on random models, each row alone there."""

import numpy as np
import pytest
import torch

import minigpt
from minigpt.evaluate.scoring import Row, score_rows

from .hf_models import CASES, CAUSAL, CONTEXT, VOCAB, random_model

pytestmark = pytest.mark.parity


def rows(seed=0):
    """30 texts, some longer than the context; what is scored is 1 to 12 tokens long."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(30):
        length = int(rng.integers(2, CONTEXT + 8))
        start = int(rng.integers(max(1, length - 12), length))
        found.append(Row(tuple(rng.integers(0, VOCAB, length).tolist()), start))
    return found


def theirs(model, row):
    """What log_softmax of their logits says of the scored ids, given at most a context of others."""
    ids = torch.tensor([row.ids[-CONTEXT - 1 :]])
    count = len(row.ids) - row.start
    with torch.no_grad():
        logits = model(input_ids=ids[:, :-1]).logits[0, -count:]
    targets = ids[0, -count:]
    log_p = torch.log_softmax(logits.double(), -1)[torch.arange(count), targets]
    return log_p.numpy(), bool((logits.argmax(-1) == targets).all())


@pytest.mark.parametrize("name", CAUSAL)
def test_equal_in_both_precisions(name, tmp_path):
    model = random_model(name)
    model.save_pretrained(tmp_path)
    single = score_rows(minigpt.load(tmp_path, tokenizer=False), rows())
    double = score_rows(minigpt.load(tmp_path, dtype="float64", tokenizer=False), rows())
    model = model.double()
    for row, (in_single, _), (in_double, greedy) in zip(rows(), single, double, strict=True):
        exact, exactly_greedy = theirs(model, row)
        assert np.abs(in_double - exact).max() <= CASES[name].bound * max(1.0, np.abs(exact).max())
        assert np.abs(in_single - exact).max() <= 1e-4 * max(1.0, np.abs(exact).max())
        assert greedy == exactly_greedy
