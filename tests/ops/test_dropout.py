"""Dropout's draws: the right rate, and a function of seed, step, site and global row alone."""

import numpy as np
import pytest

from minigpt import ops
from minigpt.ops.dropout import DropoutKey, dropout_slice

KEY = ops.DropoutKey(seed=1, step=2, site=3, row=0)
X = np.ones((8, 33, 7), dtype=np.float32)


def kept(x=X, rate=0.25, **changed):
    return ops.dropout_multiplier(x, rate, KEY._replace(**changed)) != 0


def test_rate_and_scale():
    x = np.ones((16, 1000, 25), dtype=np.float32)
    for rate in (0.1, 0.5, 0.9):
        y, _ = ops.dropout_forward(x, rate, KEY)
        assert (y == 0).mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / x.size))
        assert set(np.unique(y)) == {0, np.float32(1 / (1 - rate))}


def test_the_same_key_draws_the_same_and_any_other_does_not():
    assert (kept() == kept()).all()
    for changed in ({"seed": 2}, {"step": 3}, {"site": 4}, {"row": 8}):
        agreement = (kept() == kept(**changed)).mean()
        assert agreement == pytest.approx(0.25**2 + 0.75**2, abs=0.05)


def test_a_shard_drops_what_the_whole_batch_would():
    whole = kept()
    for cut in (1, 3, 5):
        parts = [kept(X[:cut]), kept(X[cut:], row=cut)]
        assert (np.concatenate(parts) == whole).all()


def test_neighbouring_entries_are_independent():
    keep = kept(np.ones((4, 20000), dtype=np.float32), rate=0.5).astype(float)
    for lag in (1, 2, 3):
        assert abs(np.corrcoef(keep[:, :-lag].ravel(), keep[:, lag:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(keep)[np.triu_indices(4, 1)]).max() < 0.04


def test_evaluation_and_rate_zero_change_nothing():
    assert ops.dropout_forward(X, 0.5, None)[0] is X
    assert ops.dropout_forward(X, 0.0, KEY)[0] is X


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match="dropout rate"):
        ops.dropout_forward(X, rate, KEY)


@pytest.mark.parametrize("first, last", [(0, 3), (3, 5), (4, 9)])
def test_a_part_of_the_positions_is_drawn_as_in_the_whole(first, last):
    x = np.ones((2, 9, 5))
    whole, _ = ops.dropout_forward(x, 0.4, KEY)
    part, cache = ops.dropout_forward(x[:, first:last], 0.4, KEY._replace(position=first))
    assert np.array_equal(part, whole[:, first:last])
    assert np.array_equal(ops.dropout_backward(x[:, first:last], cache), part)


def test_a_rate_just_below_one_still_keeps_something():
    """The threshold is a 32-bit number: 2³² would not fit, and would drop every entry."""
    assert ops.dropout.drop_threshold(1 - 1e-12) == 2**32 - 1 and ops.dropout.drop_threshold(0.5) == 2**31


def test_draws_are_those_that_runs_were_made_with():
    """A run that resumes drops the same entries as before: the generator's states, and what it keeps of two rows."""
    key = ops.DropoutKey(1, 2, 3, 4)
    assert ops.dropout.dropout_states(key, range(2)) == [10633590883234796973, 4201654297956184964]
    kept = ops.dropout_forward(np.ones((2, 16)), 0.4, key)[0] > 0
    assert np.packbits(kept).tolist() == [191, 79, 196, 153]


def test_a_slice_of_nothing_is_nothing():
    assert dropout_slice(0.5, DropoutKey(1, 2, 3, 4), 2, 1, 0, np.float32).shape == (0,)
