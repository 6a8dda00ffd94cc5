"""Batches as a function of seed and step; balanced classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.data.loading.samplers import BalancedSampler, ShuffleSampler


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 100), batch_size=st.integers(1, 30), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_the_batches_of_an_epoch_are_a_permutation_without_its_rest(n, batch_size, seed, epoch):
    if batch_size > n:
        with pytest.raises(ValueError, match=f"a batch of {batch_size} from {n} examples; expected at most"):
            ShuffleSampler(n, seed, batch_size)
        return
    order, steps = ShuffleSampler(n, seed, batch_size), n // batch_size
    shown = np.concatenate([order.batch(epoch * steps + k) for k in range(steps)])
    assert len(set(shown)) == len(shown) == steps * batch_size and set(shown) <= set(range(n))
    permutation = np.random.default_rng((seed, epoch)).permutation(n)
    np.testing.assert_array_equal(shown, permutation[: len(shown)])


def test_the_order_is_the_same_by_example_and_in_any_sequence():
    order = ShuffleSampler(23, 1, 5)
    straight = np.concatenate([order.batch(k) for k in range(12)])
    for number in np.random.default_rng(0).permutation(60):  # as threads ask, also back across epochs
        assert ShuffleSampler(23, 1, 5).example(int(number)) == order.example(int(number)) == straight[number]


def test_what_an_epoch_leaves_over_is_shown_in_another():
    order = ShuffleSampler(23, 0, 5)
    shown = {int(i) for k in range(40) for i in order.batch(k)}
    assert shown == set(range(23))


def test_a_balanced_order_serves_each_class_equally_often():
    """Whatever their numbers, over any epochs; the examples of a class too; a function of seed and step."""
    labels = np.repeat([0, 1, 2], [70, 3, 30])
    order = BalancedSampler(labels, 5, 10)
    served = np.concatenate([order._epoch(e) for e in range(9)])
    for epochs in range(1, 10):
        counts = np.bincount(labels[served[: 103 * epochs]])
        assert counts.sum() == 103 * epochs and np.ptp(counts) <= 1
    for label, most in ((0, 70), (1, 3), (2, 30)):
        times = np.bincount(served, minlength=103)[labels == label]
        assert np.ptp(times) <= 1 and times.sum() == 309 and len(times) == most
    assert len(set(served[:10])) > 5 and (labels[served[:103]] != np.sort(labels[served[:103]])).any()
    again = BalancedSampler(labels, 5, 10)
    for step in (25, 3, 0, 11):
        np.testing.assert_array_equal(again.batch(step), order.batch(step))
        assert again.example(step * 10 + 7) == order.batch(step)[7]
    assert (BalancedSampler(labels, 6, 10).batch(0) != order.batch(0)).any()
    assert set(BalancedSampler(np.where(labels == 1, -1, labels), 5, 10)._epoch(0)).isdisjoint({70, 71, 72})
