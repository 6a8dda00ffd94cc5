import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops import batch_norm, plain_lowering
from resnet_jax.ops.channel_sums import SLICES, channel_mean, spread


@pytest.mark.parametrize("shape", [(2, 4, 3, 5), (3, 5, 2), (7, 11, 3), (1, 1, 4), (0, 2, 3)], ids=str)
def test_the_mean_and_the_transpose_of_spread_are_those_of_jax(x64, shape):
    rng = np.random.default_rng(0)
    x, values = jnp.asarray(rng.standard_normal(shape)), jnp.asarray(rng.standard_normal(shape[-1]))
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_array_equal(spread(values, x), np.broadcast_to(values, shape))
    (total,) = jax.linear_transpose(lambda values: spread(values, x), values)(x)
    np.testing.assert_allclose(total, x.sum(axes), rtol=1e-13, atol=1e-13)
    if x.size:
        np.testing.assert_allclose(channel_mean(x), x.mean(axes), rtol=1e-13, atol=1e-13)


def test_slices_are_added_on_a_cpu_and_no_other_platform():
    x = jnp.zeros((2, 4, 4, 3))
    part = f"tensor<{x.size // 3 // SLICES}x3xf32>"
    for platform in ("cpu", "cuda"):
        program = jax.jit(channel_mean).trace(x).lower(lowering_platforms=(platform,)).as_text()
        assert ("optimization_barrier" in program and part in program) == (platform == "cpu")


def test_derivatives_of_batch_norm_under_transformations_are_those_of_the_plain_formula(x64):
    rng = np.random.default_rng(0)
    x, scale, bias, weight = (
        jnp.asarray(rng.standard_normal(shape)) for shape in ((3, 2, 4, 5), (5,), (5,), (3, 2, 4, 5))
    )
    x = x + 3

    def plain(x, scale, bias):
        mean = x.mean((0, 1, 2))
        var = ((x - mean.reshape(1, 1, 1, -1)) ** 2).mean((0, 1, 2))
        y = (x - mean.reshape(1, 1, 1, -1)) / jnp.sqrt(var + 1e-3).reshape(1, 1, 1, -1)
        return y * scale.reshape(1, 1, 1, -1) + bias.reshape(1, 1, 1, -1), mean, var

    @partial(jax.jit, static_argnums=0)
    def derivatives(norm, x, scale, bias):
        def loss(x, scale, bias):
            y, mean, var = jax.checkpoint(norm)(x, scale, bias)
            return (jnp.tanh(y) * weight).sum() + (mean * var).sum()

        first = jax.grad(loss, (0, 1, 2))
        second = jax.jvp(first, (x, scale, bias), (jnp.sin(x), jnp.cos(scale), jnp.sin(bias)))[1]
        twice = jax.grad(lambda *a: sum(jnp.sum(g**2) for g in first(*a)), (0, 1, 2))(x, scale, bias)
        forward = jax.jvp(norm, (x, scale, bias), (jnp.sin(x), jnp.cos(scale), jnp.sin(bias)))[1]
        each = jax.vmap(first, (0, None, None))(jnp.stack([x, x**2]), scale, bias)
        _, scanned = jax.lax.scan(lambda _, x: (0, loss(x, scale, bias)), 0, jnp.stack([x, x**2]))
        return first(x, scale, bias), second, twice, forward, each, scanned

    expected = derivatives(plain, x, scale, bias)
    ours = derivatives(partial(batch_norm, epsilon=1e-3), x, scale, bias)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_the_gradient_of_shared_statistics_takes_one_collective_each_way(x64):
    """Two devices have the gradient of one that has all examples; forward is an all-gather, backward an all-reduce."""
    rng = np.random.default_rng(0)
    x, weight = (jnp.asarray(rng.standard_normal((4, 2, 4, 3))) for _ in range(2))
    scale = bias = jnp.asarray(rng.standard_normal(3))

    def loss(x, weight, axis_name=None):
        return (jnp.tanh(batch_norm(x, scale, bias, epsilon=1e-3, axis_name=axis_name)[0]) * weight).sum()

    halves = x.reshape(2, 2, 2, 4, 3), weight.reshape(2, 2, 2, 4, 3)
    gradient = jax.pmap(partial(jax.grad(loss), axis_name="data"), "data")
    np.testing.assert_allclose(gradient(*halves).reshape(x.shape), jax.grad(loss)(x, weight), rtol=0, atol=1e-12)
    program = gradient.lower(*halves).compile().as_text()
    assert [len(re.findall(rf" {name}(?:-start)?\(", program)) for name in ("all-gather", "all-reduce")] == [1, 1]


def test_a_program_for_export_has_no_barriers():
    x, ones = jnp.zeros((2, 4, 4, 3)), jnp.ones(3)
    with plain_lowering():
        program = jax.jit(lambda x: batch_norm(x, ones, ones, epsilon=1e-3)[0]).lower(x).as_text()
    assert "optimization_barrier" not in program
