from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops import batch_norm, group_norm, l2_normalize, lowering_for, norm, normalize
from resnet_jax.ops.norm import SERIES_PARTS


def test_batch_norm_and_its_gradient_equal_the_definition(x64):
    rng = np.random.default_rng(0)
    x, scale, bias = (jnp.asarray(rng.standard_normal(shape)) for shape in ((3, 4, 5, 6), (6,), (6,)))

    def definition(x, scale, bias):
        mean = x.mean((0, 1, 2), keepdims=True)
        var = ((x - mean) ** 2).mean((0, 1, 2), keepdims=True)
        return (x - mean) / jnp.sqrt(var + 1e-5) * scale.reshape(1, 1, 1, -1) + bias.reshape(1, 1, 1, -1)

    y, mean, var = batch_norm(x, scale, bias, epsilon=1e-5)
    np.testing.assert_allclose(y, definition(x, scale, bias), rtol=0, atol=1e-13)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(var, x.var((0, 1, 2)), rtol=1e-13)
    weight = jnp.asarray(rng.standard_normal(x.shape))
    ours = jax.grad(lambda *a: (batch_norm(*a, epsilon=1e-5)[0] * weight).sum(), (0, 1, 2))(x, scale, bias)
    theirs = jax.grad(lambda *a: (definition(*a) * weight).sum(), (0, 1, 2))(x, scale, bias)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 12, 10, 16), (2, 1, 1, 16), (4, 3, 3, 16), (4, 640, 16)], ids=str)
def test_the_variance_keeps_its_digits_far_from_zero(shape):
    """Also with an outlier among the first rows, whose mean shifts the values."""
    rng, axes = np.random.default_rng(0), tuple(range(len(shape) - 1))
    ones = jnp.ones(16)
    norm = jax.jit(lambda x: batch_norm(x, ones, ones, epsilon=0.0))
    for ratio in (0, 10, 100, 1000, 10_000):
        x = (rng.standard_normal(shape) + ratio * rng.choice([-1, 1], 16)).astype(np.float32)
        exact = x.astype(np.float64)
        y, mean, var = norm(x)
        np.testing.assert_allclose(var, exact.var(axes), rtol=5e-6)
        np.testing.assert_allclose(mean, exact.mean(axes), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(y, 1 + (exact - exact.mean(axes)) / exact.std(axes), rtol=0, atol=1e-5)
    outlying = np.array(rng.standard_normal(shape), np.float32)
    outlying[(slice(None), *(0,) * (len(shape) - 2))] += 1e4
    bound = 32 * np.finfo(np.float32).eps * min(shape[1], SERIES_PARTS)
    np.testing.assert_allclose(norm(outlying)[2], outlying.astype(np.float64).var(axes), rtol=bound)


def test_shared_statistics_equal_those_of_one_device(strict_dtypes):
    """Devices with distant values, in groups of all eight and of four."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((8, 2, 3, 4, 5)) + 1000 + 10 * np.arange(8).reshape(8, 1, 1, 1, 1)).astype(np.float32)
    ones = np.ones(5, np.float32)
    for sharing in (8, 4):
        groups = [list(range(first, first + sharing)) for first in range(0, 8, sharing)]
        norm = partial(batch_norm, epsilon=1e-5, axis_name="data", axis_index_groups=None if sharing == 8 else groups)
        mapped = (
            jax.vmap(norm, (0, None, None), axis_name="data")
            if sharing == 8
            else jax.pmap(norm, "data", in_axes=(0, None, None))
        )
        results = mapped(x, ones, ones)
        for device in range(8):
            shared = x[device // sharing * sharing :][:sharing].reshape(-1, 3, 4, 5).astype(np.float64)
            np.testing.assert_allclose(results[1][device], shared.mean((0, 1, 2)), rtol=1e-6)
            np.testing.assert_allclose(results[2][device], shared.var((0, 1, 2)), rtol=2e-6)


def test_the_gradient_of_shared_statistics_is_that_of_one_device_with_unequal_weights(x64):
    """Three devices with 3, 1 and no rows of weight 1; twice differentiated."""
    rng = np.random.default_rng(0)
    x, target = (jnp.asarray(rng.standard_normal((9, 2, 2, 3))) for _ in range(2))
    weights, scale = jnp.asarray([1, 1, 1, 0, 1, 0, 0, 0, 0.0]), jnp.asarray(rng.standard_normal(3))

    def loss(x, weights, target, axis_name=None):
        y = batch_norm(x, scale, scale, epsilon=1e-3, axis_name=axis_name, weights=weights)[0]
        return (jnp.tanh(y) * target * weights[:, None, None, None]).sum()

    def derivatives(loss, x, weights, target):
        first = jax.grad(loss)
        return first(x, weights, target), jax.jvp(lambda x: first(x, weights, target), (x,), (target,))[1]

    split = [value.reshape(3, 3, *value.shape[1:]) for value in (x, weights, target)]
    ours = jax.pmap(partial(derivatives, partial(loss, axis_name="data")), "data")(*split)
    for a, b in zip(ours, derivatives(loss, x, weights, target), strict=True):
        np.testing.assert_allclose(a.reshape(b.shape), b, rtol=0, atol=1e-12)


def test_norms_of_one_shape_are_traced_once(monkeypatch):
    traces, first_rows = [], norm._first_rows
    monkeypatch.setattr(norm, "_first_rows", lambda x: traces.append(x.shape) or first_rows(x))
    x, ones = jnp.ones((2, 3, 5, 7)), jnp.ones(7)

    def three_norms(x):
        return sum(batch_norm(x * i, ones, ones, epsilon=1e-5)[0].sum() for i in range(3))

    jax.jit(jax.grad(lowering_for("cpu")(three_norms))).lower(x)
    assert traces == [x.shape]


def test_arithmetic_is_in_the_dtype_of_the_scale(strict_dtypes):
    x = jnp.full((1, 2, 2, 3), 7, jnp.bfloat16)
    ones = jnp.ones(3, jnp.float32)
    y, mean, var = batch_norm(x, ones, ones, epsilon=1e-5)
    assert y.dtype == mean.dtype == var.dtype == jnp.float32
    assert normalize(x, mean, var, ones, ones, epsilon=1e-5).dtype == jnp.float32
    np.testing.assert_array_equal(var, 0)  # rounding cannot make it negative


def test_positions_of_weight_0_change_no_statistics():
    """Statistics are those of the valid positions alone, where NaN lies behind them."""
    lengths, rng = (70, 3, 0), np.random.default_rng(0)
    weights = jnp.asarray(np.arange(70) < np.array(lengths)[:, None])
    scale, bias = (jnp.asarray(rng.standard_normal(4), jnp.float32) for _ in range(2))
    for others in ((), (3,)):
        x = rng.standard_normal((3, 70, *others, 4)).astype(np.float32) * 2 + 5
        for example, length in zip(x, lengths, strict=True):
            example[length:] = np.nan
        valid = np.concatenate([example[:length].reshape(-1, 4) for example, length in zip(x, lengths, strict=True)])
        y, mean, var = batch_norm(jnp.asarray(x), scale, bias, epsilon=1e-3, weights=weights)
        np.testing.assert_allclose(mean, valid.mean(0), rtol=1e-6)
        np.testing.assert_allclose(var, valid.var(0), rtol=1e-5)
        expected = (x[0] - valid.mean(0)) / np.sqrt(valid.var(0) + 1e-3) * np.asarray(scale) + np.asarray(bias)
        np.testing.assert_allclose(y[0], expected, rtol=1e-4, atol=1e-4)
        y = group_norm(jnp.asarray(x), scale, bias, groups=2, epsilon=1e-3, weights=weights)
        alone = group_norm(jnp.asarray(x[1:2, :3]), scale, bias, groups=2, epsilon=1e-3)
        np.testing.assert_allclose(y[1, :3], alone[0], rtol=1e-5, atol=1e-5)
    assert not np.isfinite(y[2]).any()  # behind a length the values stay what they are

    parts = jax.vmap(
        lambda x, weights: batch_norm(x, scale, bias, epsilon=1e-3, axis_name="data", weights=weights)[1:],
        axis_name="data",
    )(jnp.asarray(x)[:, None], weights[:, None])  # three devices with one example each
    np.testing.assert_allclose(parts, [[valid.mean(0)] * 3, [valid.var(0)] * 3], rtol=1e-5)
    _, mean, var = batch_norm(jnp.ones((3, 70, 4)), scale, bias, epsilon=1e-3, weights=weights & False)
    np.testing.assert_array_equal([mean, var], 0)


def test_rows_of_norm_1_and_zeros_with_a_gradient_of_zero():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(l2_normalize(x), [[0.6, 0.8], [0, 0]], rtol=1e-6)
    gradient = jax.grad(lambda x: (l2_normalize(x) @ jnp.array([1.0, 2.0])).sum())(x)
    np.testing.assert_allclose(gradient, [[-0.064, 0.048], [0, 0]], rtol=1e-5)
    assert l2_normalize(x.astype(jnp.bfloat16)).dtype == jnp.float32
