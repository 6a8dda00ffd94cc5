from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from resnet_jax import ops
from resnet_jax.ops.conv_library import library_conv
from resnet_jax.ops.conv_series import MANY_POSITIONS, WIDE_SERIES, row_conv, series_conv, wide_conv, window_product


@partial(jax.jit, static_argnums=0)
def derivatives(f, x, kernel):
    y, back = jax.vjp(f, x, kernel)
    forward = jax.jvp(f, (x, kernel), (jnp.sin(x), jnp.cos(kernel)))[1]
    one_by_one = jax.vmap(jax.grad(lambda kernel, x: jnp.sum(f(x[None], kernel) ** 3)), (None, 0))(kernel, x)

    def slope(kernel):
        return jax.grad(lambda k: jnp.sum(jnp.sin(f(x, k))))(kernel).sum()

    in_scan = jax.lax.scan(lambda total, x: (total + jax.checkpoint(f)(x[None], kernel).sum(), 0), 0.0, x)[0]
    return y, *back(jnp.cos(y)), forward, one_by_one, jax.grad(slope)(kernel), in_scan


@pytest.mark.parametrize(("length", "k", "low"), [(9, 2, 0), (8, 3, 2), (7, 5, 2), (10, 8, 3), (3, 8, 7)])
def test_the_convolution_and_its_derivatives_are_the_librarys(x64, length, k, low):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.standard_normal((2, length, 3))), jnp.asarray(rng.standard_normal((k, 3, 4)))
    library = partial(library_conv, strides=1, dilation=1, pads=[(low, k - 1 - low)])
    expected = derivatives(library, x, kernel)
    for f in (lambda x, kernel: wide_conv(x, kernel, low), partial(window_product, low=low)):
        for a, b in zip(derivatives(f, x, kernel), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1, np.abs(b).max()))


@pytest.mark.parametrize(
    ("shape", "channels", "k", "options", "is_wide"),
    [
        ((64, 64), WIDE_SERIES, 8, {}, True),
        ((64, 63), WIDE_SERIES, 8, {}, False),
        ((64, 64), WIDE_SERIES - 1, 8, {}, False),
        ((64, 64), WIDE_SERIES, 9, {}, False),
        ((64, 64), WIDE_SERIES, 3, {"strides": 2}, False),
        ((64, 64), WIDE_SERIES, 3, {"dilation": 2}, False),
    ],
)
def test_wide_and_long_series_take_products_for_the_kernel_gradient(shape, channels, k, options, is_wide):
    assert MANY_POSITIONS == 64 * 64
    x, kernel = jax.ShapeDtypeStruct((*shape, channels), "float32"), jax.ShapeDtypeStruct((k, channels, 64), "float32")
    program = jax.make_jaxpr(jax.grad(lambda x, kernel: ops.conv(x, kernel, **options).sum(), 1))(x, kernel)
    assert ("dot_general" in str(program)) == is_wide


def test_other_convolutions_are_rows():
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((2, 9, 3), (3, 3, 4)))
    options = {"strides": 2, "dilation": 1, "pads": [(1, 1)]}
    np.testing.assert_array_equal(series_conv(x, kernel, **options), row_conv(x, kernel, **options))


def test_a_symbolic_batch_is_exported():
    (n,) = export.symbolic_shape("n")
    x, kernel = jax.ShapeDtypeStruct((n, 500, WIDE_SERIES), jnp.float32), jnp.ones((3, WIDE_SERIES, WIDE_SERIES))
    program = export.export(jax.jit(ops.conv))(x, kernel)
    assert [str(size) for size in program.out_avals[0].shape] == ["n", "500", str(WIDE_SERIES)]
