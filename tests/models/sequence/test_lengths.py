"""Masks from lengths, and pools that ignore what lies behind a length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax import ops
from resnet_jax.models.sequence.lengths import (
    LengthMasks,
    last_position,
    length_mask,
    masked_avg_pool,
    masked_max,
    masked_max_pool,
    masked_mean,
    strided_lengths,
    zero_behind,
)

LENGTHS = np.array([11, 6, 1])


def batch(*others):
    """[3, 11, *others, 2], with NaN behind each length."""
    x = np.random.default_rng(0).standard_normal((3, 11, *others, 2)).astype(np.float32) - 2
    for example, length in zip(x, LENGTHS, strict=True):
        example[length:] = np.nan
    return jnp.asarray(x), length_mask(jnp.asarray(LENGTHS), 11)


def alone(x):
    return [x[i : i + 1, :length] for i, length in enumerate(LENGTHS)]


def test_a_mask_counts_the_positions_of_each_example():
    mask = length_mask(jnp.array([2, 0, 3, 9]), 3)
    np.testing.assert_array_equal(mask, [[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(strided_lengths(jnp.array([0, 1, 4, 5]), 4), [0, 1, 1, 2])


@pytest.mark.parametrize("others", [(), (3,)], ids=["series", "spectrogram"])
def test_global_pools_are_those_of_each_example_alone(others):
    x, mask = batch(*others)
    for pool, kind in ((masked_mean, "avg"), (masked_max, "max")):
        expected = np.concatenate([ops.global_pool(one, kind) for one in alone(x)])
        np.testing.assert_allclose(pool(x, mask), expected, rtol=1e-6)
        np.testing.assert_array_equal(pool(x, mask.at[1].set(False))[1], 0)


@pytest.mark.parametrize("others", [(), (3,)], ids=["series", "spectrogram"])
def test_pools_are_those_of_each_example_alone(others):
    x, mask = batch(*others)
    for masked, pool, options in (
        (masked_max_pool, ops.max_pool, {}),
        (masked_max_pool, ops.max_pool, {"window": 3, "strides": 1, "padding": 1}),
        (masked_avg_pool, ops.avg_pool, {"window": 2, "strides": 2, "padding": (0, 1)}),
        (masked_avg_pool, ops.avg_pool, {"window": 3, "strides": 2, "padding": (1, 1), "count_padding": True}),
        (masked_avg_pool, ops.avg_pool, {"window": 3, "strides": 1, "padding": (1, 1)}),
    ):
        pooled = masked(x, mask, **options)
        for y, one in zip(pooled, alone(x), strict=True):
            expected = pool(one, **options)[0]
            np.testing.assert_allclose(y[: len(expected)], expected, rtol=1e-6)
            np.testing.assert_array_equal(y[len(expected) :], 0)


def test_gradients_behind_a_length_are_zero_and_others_finite():
    x, mask = batch()
    for pool in (masked_mean, masked_max, masked_max_pool, lambda x, mask: last_position(x, mask)):
        gradient = jax.grad(lambda x, pool=pool: (pool(x, mask) ** 2).sum())(x)
        np.testing.assert_array_equal(np.asarray(gradient)[~np.asarray(mask)], 0)
        assert np.isfinite(gradient).all() and (np.abs(gradient).max((1, 2)) > 0).all()


def test_the_last_position_is_that_of_each_example():
    x, mask = batch()
    expected = [one[0, -1] for one in alone(x)]
    np.testing.assert_array_equal(last_position(x, mask), expected)
    np.testing.assert_array_equal(last_position(x[:1]), x[:1, -1])
    np.testing.assert_array_equal(last_position(x, mask & False), 0)


def test_masks_of_strided_maps():
    masks = LengthMasks.of(jnp.array([11, 6, 1]), jnp.zeros((3, 11, 2)))
    for strides in (1, 2, 4, 8, 16, 32):
        size = -(-11 // strides)
        expected = length_mask(strided_lengths(jnp.array([11, 6, 1]), strides), size)
        np.testing.assert_array_equal(masks.at(jnp.zeros((3, size, 5))), expected)
    assert jnp.isfinite(masks.zero_behind(batch()[0])).all()
    np.testing.assert_array_equal(zero_behind(batch()[0], masks.mask)[2, 1:], 0)
    with pytest.raises(ValueError, match=r"^lengths: expected a map of ceil\(11 / s\) positions, where s is a power"):
        masks.at(jnp.zeros((3, 4, 2)))


def test_lengths_that_no_batch_has_are_refused():
    x = jnp.zeros((3, 11, 2))
    with pytest.raises(ValueError, match=r"^lengths: expected int \[3\], one for each example, got \[2\]$"):
        LengthMasks.of(jnp.array([1, 2]), x)
    with pytest.raises(TypeError, match=r"^lengths: expected int \[3\], one for each example, got float32 \[3\]$"):
        LengthMasks.of(jnp.ones(3), x)
