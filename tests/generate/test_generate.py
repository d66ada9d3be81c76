"""From scores to tokens: temperature, top-k, top-p, and the window of the context."""

from itertools import islice

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.generate.sampling import Kept, continuation, generate, next_token_probabilities, prompt_ids
from minigpt.generate.settings import Generation
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig
from minigpt.tokenizers import ByteTokenizer, CharTokenizer

LOGITS = np.log([0.5, 0.2, 0.2, 0.08, 0.02])


def test_plain_softmax_and_temperature():
    np.testing.assert_allclose(next_token_probabilities(LOGITS), [0.5, 0.2, 0.2, 0.08, 0.02])
    sharp = next_token_probabilities(LOGITS, temperature=0.5)
    np.testing.assert_allclose(sharp, np.square(np.exp(LOGITS)) / np.square(np.exp(LOGITS)).sum())
    with np.errstate(all="raise"):
        for coldest in (0, 1e-320):
            assert next_token_probabilities(LOGITS, temperature=coldest).tolist() == [1, 0, 0, 0, 0]


def test_top_k_keeps_the_largest_and_ties():
    assert (next_token_probabilities(LOGITS, top_k=1) > 0).tolist() == [True, False, False, False, False]
    assert (next_token_probabilities(LOGITS, top_k=2) > 0).tolist() == [True, True, True, False, False]
    assert (next_token_probabilities(LOGITS, top_k=99) > 0).all()


def test_top_p_includes_the_token_that_crosses():
    assert (next_token_probabilities(LOGITS, top_p=0.49) > 0).sum() == 1
    assert (next_token_probabilities(LOGITS, top_p=0.6) > 0).sum() == 2
    assert (next_token_probabilities(LOGITS, top_p=0.95) > 0).sum() == 4
    assert next_token_probabilities(LOGITS, top_p=0.95).sum() == pytest.approx(1)


def model_and_params():
    model = GPT(GPTConfig(vocab_size=7, context=6, layers=1, heads=2, width=8))
    return model, random_parameters(model)


def test_greedy_takes_the_most_probable_token_of_the_last_window():
    model, params = model_and_params()
    ids = [1, 2]
    for token in generate(model, params, [1, 2], 12, temperature=0):
        assert token == model.logits(params, np.array([ids[-6:]]))[0, -1].argmax()
        ids.append(token)
    assert len(ids) == 14


@pytest.mark.parametrize("kind", ["gpt", "llama"])
def test_what_two_prompts_begin_with_is_read_once(kind, monkeypatch):
    """Prompts that go on, that differ early, that are the same again, and shorter; one continuation is left early."""
    c = {"vocab_size": 7, "context": 14, "layers": 2, "heads": 2, "width": 8}
    model = GPT(GPTConfig(**c)) if kind == "gpt" else Llama(LlamaConfig(kv_heads=1, **c))
    params, kept, read, g = random_parameters(model), Kept(), [], Generation(do_sample=False)
    step = type(model).step
    first, (other,) = (list(continuation(model, params, *asked, g)) for asked in (([1, 2, 3], 4), ([1, 2, 4], 1)))
    prompts = [[1, 2, 3], [1, 2, 3, *first, 5], [1, 2, 3, *first, 5], [1, 2, 4], [1, 2, 4, 6 - other, 0, 1, 3], [1, 2]]
    alone = [list(continuation(model, params, prompt, 4, g)) for prompt in prompts]
    monkeypatch.setattr(type(model), "step", lambda s, p, ids, state: read.append(ids.size) or step(s, p, ids, state))
    for n, (prompt, ids) in enumerate(zip(prompts, alone, strict=True)):
        taken = 2 if n == 3 else 4
        assert list(islice(continuation(model, params, prompt, 4, g, kept=kept), taken)) == ids[:taken]
    assert read == [3, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4 - (other == 3), 1, 1, 1, 1, 1, 1, 1]
    assert kept.read == [1, 2, *alone[-1][:3]] and kept.state.own.keys[0].shape[1] == 6  # no more than it needs


def test_the_seed_decides():
    model, params = model_and_params()
    texts = [list(generate(model, params, [1], 30, seed=seed)) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_draws_follow_the_distribution():
    model, params = model_and_params()
    expected = next_token_probabilities(model.logits(params, np.array([[3]]))[0, -1])
    drawn = [next(generate(model, params, [3], 1, seed=seed)) for seed in range(2000)]
    observed = np.bincount(drawn, minlength=7) / 2000
    assert np.abs(observed - expected).max() < 4 * 0.5 / np.sqrt(2000)


def test_prompts_that_do_not_fit_are_refused():
    model, params = model_and_params()
    with pytest.raises(UserError, match="the prompt has 7 tokens, but the model's context is 6"):
        next(generate(model, params, [0] * 7, 1))
    with pytest.raises(UserError, match="the prompt is empty"):
        next(generate(model, params, [], 1))


def test_an_empty_prompt_starts_from_a_line_break_where_there_is_one():
    assert prompt_ids(ByteTokenizer(), "") == [10]
    assert prompt_ids(CharTokenizer("ab"), "") == [0]
    assert prompt_ids(CharTokenizer("ab"), "b") == [1]
