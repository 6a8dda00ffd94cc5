import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.ops import batch_norm, normalize


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


def test_arithmetic_is_in_the_dtype_of_the_scale(strict_dtypes):
    x = jnp.full((1, 2, 2, 3), 7, jnp.bfloat16)
    ones = jnp.ones(3, jnp.float32)
    y, mean, var = batch_norm(x, ones, ones, epsilon=1e-5)
    assert y.dtype == mean.dtype == var.dtype == jnp.float32
    assert normalize(x, mean, var, ones, ones, epsilon=1e-5).dtype == jnp.float32
    np.testing.assert_array_equal(var, 0)  # rounding cannot make it negative
