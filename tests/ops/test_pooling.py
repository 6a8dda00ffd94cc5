import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from resnet_jax.ops import avg_pool, global_pool, max_pool


def xla_max_pool(x, window=3, strides=2, padding=1):
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, window, window, 1), (1, strides, strides, 1), pads)


def gradient_by_hand(x, g, window, strides, padding):
    """One window at a time: its whole gradient goes to the first of its largest pixels."""
    out = np.zeros_like(x)
    for n, i, j, c in np.ndindex(g.shape):
        rows, columns = (np.arange(start, start + window) for start in (i * strides - padding, j * strides - padding))
        inside = [(h, w) for h in rows for w in columns if 0 <= h < x.shape[1] and 0 <= w < x.shape[2]]
        best = max(inside, key=lambda at: x[n, *at, c])
        out[n, *best, c] += g[n, i, j, c]
    return out


@pytest.mark.parametrize("size", [6, 7])
def test_max_pool_pads_both_sides_with_minus_infinity(strict_dtypes, size):
    x = -1 - np.random.default_rng(0).random((1, size, size, 2)).astype(np.float32)  # a zero pad would win
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    out = (size + 1) // 2
    expected = [[padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2)) for j in range(out)] for i in range(out)]
    np.testing.assert_array_equal(max_pool(jnp.asarray(x)), np.moveaxis(np.array(expected), 2, 0))


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(
    ("size", "window", "strides", "padding"),
    [(6, 3, 2, 1), (7, 3, 2, 1), (6, 3, 1, 1), (7, 2, 2, 0), (8, 3, 3, 0), (7, 2, 3, 1), (6, 5, 2, 2), (5, 1, 1, 0)],
)
def test_the_gradient_goes_to_the_first_of_the_largest(x64, strict_dtypes, size, window, strides, padding, ties):
    rng = np.random.default_rng(0)
    x = rng.integers(-1, 2, (2, size, size + 1, 3)) * 1.0 if ties else rng.standard_normal((2, size, size + 1, 3))
    options = {"window": window, "strides": strides, "padding": padding}
    out = xla_max_pool(x, **options).shape
    whole, any_ = rng.integers(-9, 10, out) * 1.0, rng.standard_normal(out)

    @partial(jax.jit, static_argnums=0)
    def derivatives(pool, x, *gradients):
        y, back = jax.vjp(lambda x: pool(x, **options), x)
        return y, *(back(g)[0] for g in gradients)

    ours, theirs = (derivatives(pool, x, whole, any_) for pool in (max_pool, xla_max_pool))
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])  # whole numbers add up to the same in any order
    np.testing.assert_array_equal(ours[1], gradient_by_hand(x, whole, **options))
    np.testing.assert_allclose(ours[2], theirs[2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours[2], gradient_by_hand(x, any_, **options), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_other_derivatives_are_xlas(x64, strict_dtypes, dtype):
    rng = np.random.default_rng(0)
    x, dx = (jnp.asarray(rng.integers(-4, 5, (2, 3, 6, 7, 2)), dtype) for _ in range(2))

    @partial(jax.jit, static_argnums=0)
    def derivatives(pool, x, dx):
        def cubed(x):
            return jnp.sum(pool(x) ** 3)

        forward = jax.vmap(lambda x, dx: jax.jvp(pool, (x,), (dx,))[1])(x, dx)
        mapped = jax.vmap(jax.grad(cubed))(x)
        again = jax.grad(jax.checkpoint(cubed))(x[0])
        second = jax.jvp(jax.grad(cubed), (x[0],), (dx[0],))[1]
        twice = jax.grad(lambda x: jnp.sum(jax.grad(cubed)(x) * dx[0]))(x[0])
        return forward, mapped, again, second, twice

    for a, b in zip(derivatives(max_pool, x, dx), derivatives(xla_max_pool, x, dx), strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)


def test_the_gradient_is_the_same_on_every_device(x64):
    """Under `shard_map` with its checks and under `pmap`: eight images on eight devices."""
    rng = np.random.default_rng(0)
    x, g = jnp.asarray(rng.standard_normal((8, 6, 6, 2))), jnp.asarray(rng.standard_normal((8, 3, 3, 2)))

    def gradient(x, g):
        return jax.vjp(max_pool, x)[1](g)[0]

    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=(P("data"), P("data")), out_specs=P("data")))
    np.testing.assert_array_equal(sharded(x, g), gradient(x, g))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        mapped = jax.pmap(gradient)(x[:, None], g[:, None])
    np.testing.assert_array_equal(mapped[:, 0], gradient(x, g))


def test_the_gradient_scatters_nothing():
    """Additions by scatter have no fixed order on a GPU."""

    def programs(pool):
        gradient = jax.grad(lambda x: pool(x).sum())
        images = jnp.ones((1, 6, 6, 1))
        return str(jax.make_jaxpr(gradient)(images)), jax.jit(gradient).lower(images).as_text()

    assert all("scatter" in program for program in programs(xla_max_pool))
    assert not any("scatter" in program for program in programs(max_pool))


def test_rounding_of_the_input_loses_no_gradient():
    """If x were compared with a maximum rounded elsewhere, a window might have no element equal to it."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 4)), jnp.float32)

    @jax.jit
    def gradient(x):
        return jax.grad(lambda x: max_pool((x * 1.001).astype(jnp.bfloat16)).astype(jnp.float32).sum())(x)

    assert np.asarray(gradient(x)).sum() == pytest.approx(2 * 4 * 4 * 4 * 1.001, rel=1e-2)


def test_a_nan_stays_one_and_its_gradient_goes_to_it():
    x = np.zeros((1, 6, 6, 1), np.float32)
    x[0, 2, 2] = np.nan
    y, back = jax.vjp(max_pool, jnp.asarray(x))
    assert np.argwhere(np.isnan(y)).tolist() == [[0, 1, 1, 0]]
    assert back(jnp.where(jnp.isnan(y), 5.0, 0.0))[0][0, 2, 2, 0] == 5


def test_global_pool_is_at_least_float32(strict_dtypes):
    x = jnp.asarray(np.random.default_rng(0).random((2, 3, 4, 5)), jnp.bfloat16)
    exact = np.asarray(x, np.float64)
    np.testing.assert_allclose(global_pool(x), exact.mean((1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(global_pool(x, "max"), exact.max((1, 2)))
    assert global_pool(x).dtype == jnp.float32


@pytest.mark.parametrize("size", [(1, 10), (10, 1), (1, 1, 10), (3, 1, 7), (1,)], ids=str)
def test_windows_over_one_pixel_and_padding_are_averaged_right(strict_dtypes, size):
    """XLA's sums of such windows are wrong on a CPU where there are many channels."""
    x = np.random.default_rng(0).standard_normal((2, *size, 256)).astype(np.float32)
    means = x
    for axis in range(1, x.ndim - 1):
        starts = range(0, x.shape[axis], 2)
        means = np.stack([np.take(means, range(i, min(i + 2, x.shape[axis])), axis).mean(axis) for i in starts], axis)
    for dilation in (1, 3):
        if dilation == 1 or set(size) == {1}:
            pooled = avg_pool(jnp.asarray(x), window=2, strides=2, padding=(0, 1), dilation=dilation)
            np.testing.assert_allclose(pooled, means, rtol=0, atol=1e-6)
    halves = avg_pool(jnp.asarray(x), window=2, strides=2, padding=(0, 1), count_padding=True)
    whole = [slice(0, n // 2) if n > 1 else slice(None) for n in size]
    share = 0.5 ** size.count(1)
    np.testing.assert_allclose(halves[(slice(None), *whole)], share * means[(slice(None), *whole)], rtol=0, atol=1e-6)
