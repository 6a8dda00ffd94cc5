import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.decoders.sampling import balanced_sample, choose, random_orders, takes_all

LABELS = jnp.array([1, 0, -1, 3, 0, 0, 2, -1, 0, 1] * 20)  # 80 positives, 80 negatives, 40 ignored


@pytest.mark.parametrize(
    ("size", "fraction", "positives", "negatives"),
    [(64, 0.5, 32, 32), (64, 0.25, 16, 48), (120, 1.0, 80, 40), (1000, 0.05, 50, 80), (1000, 1.0, 80, 80)],
)
def test_samples_are_balanced_and_no_larger_than_asked(size, fraction, positives, negatives):
    order = np.random.default_rng(0).permutation(len(LABELS)).astype(np.float32) / len(LABELS)
    sampled = balanced_sample(LABELS, jnp.asarray(order), size=size, positive_fraction=fraction)
    sampled, labels = np.asarray(sampled), np.asarray(LABELS)
    for is_kind, count in ((labels >= 1, positives), (labels == 0, negatives), (labels < 0, 0)):
        best = np.sort(order[is_kind])[:count]
        np.testing.assert_array_equal(np.sort(order[sampled & is_kind]), best)


def test_a_sample_that_takes_all_needs_no_random_numbers():
    assert takes_all(200, 400, 0.5) and not takes_all(200, 399, 0.5)
    order = random_orders(None, jnp.arange(1), (200,))[0]
    np.testing.assert_array_equal(balanced_sample(LABELS, order, size=400, positive_fraction=0.5), LABELS >= 0)


def test_random_numbers_are_those_of_the_example_and_candidate():
    key, index = jax.random.key(0), jnp.array([4, 9])
    short, long = (random_orders(key, index, (300, count)) for count in (2, 600))
    assert short.shape == (2, 302) and ((short >= 0) & (short < 1)).all()
    np.testing.assert_array_equal(short, long[:, :302])
    np.testing.assert_array_equal(random_orders(key, index[::-1], (300, 2)), short[::-1])
    assert len(np.unique(long)) > 1700


def test_chosen_are_in_ascending_order_and_the_rest_is_padding():
    is_sampled = jnp.array([False, True, True, False, True])
    for count, expected in ((2, [1, 2]), (4, [1, 2, 4]), (9, [1, 2, 4])):
        index, valid = choose(is_sampled, count)
        assert len(index) == min(count, 5)
        np.testing.assert_array_equal(index[valid], expected)
