"""k-max pooling against a loop over channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops.k_max import k_max_pool

X = np.random.default_rng(0).permutation(60).reshape(2, 10, 3).astype(np.float64)


def looped(x, k):
    """[L, C] -> [k, C]."""
    y = np.zeros((k, x.shape[1]))
    for c in range(x.shape[1]):
        places = sorted(np.argsort(-x[:, c], kind="stable")[:k])
        y[: len(places), c] = x[places, c]
    return y


@pytest.mark.parametrize("k", [1, 4, 10, 13])
def test_the_largest_come_in_the_order_of_their_positions(x64, k):
    np.testing.assert_array_equal(k_max_pool(jnp.asarray(X), k), [looped(x, k) for x in X])


def test_values_behind_a_length_do_not_count(x64):
    lengths = np.array([3, 7])
    mask = jnp.asarray(np.arange(10) < lengths[:, None])
    spoilt = np.where(mask[..., None], X, [np.nan, np.inf, 1e9])
    expected = [looped(x[:n] - 100, 4) for x, n in zip(X, lengths, strict=True)]  # all negative
    np.testing.assert_array_equal(jax.jit(k_max_pool, static_argnums=1)(spoilt - 100, 4, mask=mask), expected)


def test_the_first_of_equals_has_the_gradient(x64):
    x = jnp.asarray([[[1.0], [2.0], [1.0], [1.0]]])
    mask = jnp.asarray([[True, True, True, False]])

    def weighted(x, mask=None):
        return (k_max_pool(x, 2, mask=mask)[0, :, 0] * jnp.array([10.0, 20.0])).sum()

    np.testing.assert_array_equal(jax.grad(weighted)(x)[0, :, 0], [10, 20, 0, 0])
    np.testing.assert_array_equal(jax.grad(weighted)(-x, mask)[0, :, 0], [10, 0, 20, 0])


def test_a_nan_counts_as_largest():
    x = jnp.asarray([[[1.0], [np.inf], [np.nan], [3.0]]])
    np.testing.assert_array_equal(k_max_pool(x, 2)[0, :, 0], [np.inf, np.nan])
    np.testing.assert_array_equal(jax.jit(k_max_pool, static_argnums=1)(x, 1)[0, :, 0], [np.nan])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"expected \[N, L, C\], got \[2, 3\]"):
        k_max_pool(jnp.ones((2, 3)), 1)
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        k_max_pool(jnp.ones((2, 3, 1)), 0)
