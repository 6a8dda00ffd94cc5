"""Depthwise convolutions for a CPU equal XLA's convolution, with their derivatives and under transformations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from resnet_jax.ops.conv_cpu import cpu_conv
from resnet_jax.ops.conv_depthwise import depthwise_bands, depthwise_conv, depthwise_sum, placed_sum, spread_sum
from resnet_jax.ops.conv_library import library_conv

SHORT_KERNELS = [  # size, kernel, strides, dilation, pads
    ((6, 7), (3, 3), 1, 1, [(1, 1), (1, 1)]),
    ((7, 6), (5, 5), 2, 1, [(2, 2), (1, 2)]),  # an odd size, and TensorFlow's padding of an even one
    ((7, 8), (2, 2), 1, 3, [(0, 3), (3, 0)]),
    ((9, 5), (3, 3), 3, 2, [(2, 2), (2, 2)]),
    ((5, 4), (1, 1), 2, 1, [(0, 0), (0, 0)]),  # inputs that no output sees
    ((70,), (5,), 1, 1, [(4, 0)]),  # causal; longer than two runs
    ((3, 4, 5), (3, 3, 3), 2, 1, [(1, 1)] * 3),
]


@pytest.mark.parametrize(("size", "sides", "strides", "dilation", "pads"), SHORT_KERNELS)
def test_sums_of_shifts_and_their_derivatives_are_the_librarys(
    x64, strict_dtypes, size, sides, strides, dilation, pads
):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.standard_normal((2, *size, 3))), jnp.asarray(rng.standard_normal((*sides, 1, 3)))
    options = {"strides": strides, "dilation": dilation, "pads": pads}
    assert cpu_conv(x, kernel, groups=3, **options).func is depthwise_conv

    @partial(jax.jit, static_argnums=0)
    def derivatives(f, x, kernel):
        y, back = jax.vjp(f, x, kernel)
        return y, *back(jnp.cos(y)), jax.jvp(f, (x, kernel), (jnp.sin(x), jnp.cos(kernel)))[1]

    expected = derivatives(partial(library_conv, groups=3, **options), x, kernel)
    for f in (depthwise_conv, placed_sum, spread_sum):
        for a, b in zip(derivatives(partial(f, **options), x, kernel), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


LONG_KERNELS = [  # length, kernel, strides, dilation, pads
    (41, 9, 1, 1, (4, 4)),
    (70, 33, 1, 1, (16, 16)),
    (71, 12, 3, 1, (5, 6)),  # an even kernel
    (20, 33, 2, 1, (16, 16)),  # longer than the series
    (50, 15, 1, 3, (21, 21)),
    (33, 10, 1, 2, (18, 0)),  # causal
    (16, 9, 9, 1, (4, 4)),  # strides as long as the kernel
]


@pytest.mark.parametrize(("length", "k", "strides", "dilation", "pads"), LONG_KERNELS)
def test_bands_of_a_long_depthwise_kernel_and_their_derivatives_are_the_librarys(
    x64, strict_dtypes, length, k, strides, dilation, pads
):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.standard_normal((2, length, 3))), jnp.asarray(rng.standard_normal((k, 1, 3)))
    chosen = cpu_conv(x, kernel, strides=strides, dilation=dilation, groups=3, pads=[pads])
    assert chosen.func is depthwise_bands

    @partial(jax.jit, static_argnums=0)
    def derivatives(f, x, kernel):
        y, back = jax.vjp(f, x, kernel)
        return y, *back(jnp.cos(y)), jax.jvp(f, (x, kernel), (jnp.sin(x), jnp.cos(kernel)))[1]

    library = partial(library_conv, strides=strides, dilation=dilation, groups=3, pads=[pads])
    for a, b in zip(derivatives(chosen, x, kernel), derivatives(library, x, kernel), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("lowering", "k"), [(depthwise_bands, 9), (depthwise_conv, 4)])
def test_transformations_of_both_are_the_librarys(x64, lowering, k):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.standard_normal((3, 40, 2))), jnp.asarray(rng.standard_normal((k, 1, 2)))
    options = {"strides": 1, "dilation": 1, "pads": [((k - 1) // 2, k // 2)]}

    @partial(jax.jit, static_argnums=0)
    def transformed(f, x, kernel):
        def loss(x, kernel):
            y, _ = jax.lax.scan(lambda x, _: (jnp.tanh(jax.checkpoint(f)(x, kernel)), None), x, length=2)
            return jnp.sum(y**3)

        one_by_one = jax.vmap(jax.grad(lambda kernel, x: loss(x[None], kernel)), (None, 0))(kernel, x)
        second = jax.jvp(jax.grad(loss, (0, 1)), (x, kernel), (jnp.sin(x), jnp.cos(kernel)))[1]
        return one_by_one, *second

    expected = transformed(partial(library_conv, groups=2, **options), x, kernel)
    for a, b in zip(transformed(partial(lowering, **options), x, kernel), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def test_bands_of_low_precision_are_rounded_once():
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((3, 40, 2), (9, 1, 2)))
    options = {"strides": 1, "dilation": 1, "pads": [(4, 4)]}
    low = [jnp.asarray(a, jnp.bfloat16) for a in (x, kernel)]
    y = depthwise_bands(*low, **options)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(float), depthwise_sum(*(a.astype(float) for a in low), **options), rtol=0.004)


@pytest.mark.parametrize("strides", [1, 2])
def test_sums_of_shifts_of_low_precision_and_their_gradients_are_rounded_once(strict_dtypes, strides):
    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(rng.random(shape), jnp.bfloat16) for shape in ((2, 40, 40, 2), (3, 3, 1, 2))]
    options = {"strides": strides, "dilation": 1, "pads": [(1, 1), (1, 1)]}

    def derivatives(f, x, kernel):
        y, back = jax.vjp(f, x, kernel)
        return y, *back(jnp.ones_like(y))

    exact = derivatives(partial(library_conv, groups=2, **options), *(a.astype(jnp.float32) for a in arrays))
    for a, b in zip(derivatives(partial(depthwise_conv, **options), *arrays), exact, strict=True):
        assert a.dtype == jnp.bfloat16
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize(("k", "strides", "dilation"), [(7, 1, 1), (9, 2, 3)])
def test_a_short_kernel_and_one_with_strides_and_dilation_take_shifts(k, strides, dilation):
    x, kernel = jnp.zeros((2, 40, 3)), jnp.zeros((k, 1, 3))
    pads = [(dilation * (k // 2),) * 2]
    assert cpu_conv(x, kernel, strides=strides, dilation=dilation, groups=3, pads=pads).func is depthwise_conv


def test_gradients_of_a_symbolic_batch_are_those_of_a_known_one():
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((3, 7, 6, 4), (3, 3, 1, 4)))
    f = partial(depthwise_conv, strides=2, dilation=1, pads=[(1, 1), (1, 1)])
    gradients = jax.jit(jax.grad(lambda x, kernel: jnp.sum(f(x, kernel) ** 3), (0, 1)))
    (n,) = export.symbolic_shape("n")
    program = export.export(gradients)(jax.ShapeDtypeStruct((n, 7, 6, 4), jnp.float32), kernel)
    for a, b in zip(program.call(x, kernel), gradients(x, kernel), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("first", [np.nan, 0.0, -0.0, np.inf])
def test_gradients_by_the_kernel_are_computed_whatever_the_first_value_is(first):
    x = jnp.ones((2, 4, 4, 2)).at[0, 0, 0, 0].set(first)
    f = jax.jit(partial(depthwise_conv, strides=1, dilation=1, pads=[(1, 1), (1, 1)]))
    gradient = jax.jit(jax.grad(lambda kernel: f(x, kernel)[..., 1].sum()))(jnp.ones((3, 3, 1, 2)))
    np.testing.assert_array_equal(gradient[:, :, 0, 1], 2 * np.outer([3, 4, 3], [3, 4, 3]))


def test_gradients_inside_shard_map_with_its_checks_are_those_outside():
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((4, 5, 4, 2), (3, 3, 1, 2)))
    conv = partial(depthwise_conv, strides=1, dilation=1, pads=[(1, 1), (1, 1)])

    def gradients(x, kernel):
        return jax.grad(lambda x, kernel: jnp.sum(conv(x, kernel) ** 2), (0, 1))(x, kernel)

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    mapped = jax.shard_map(gradients, mesh=mesh, in_specs=(P("data"), P()), out_specs=(P("data"), P()))
    for a, b in zip(jax.jit(mapped)(x, kernel), gradients(x, kernel), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_in_training_the_convolution_and_both_gradients_are_fused_with_nothing():
    """Else XLA computes the convolution again in each sum of the norm behind it. Inference stays one computation."""
    x, kernel = jnp.zeros((2, 8, 8, 4)), jnp.zeros((3, 3, 1, 4))
    conv = partial(depthwise_conv, strides=1, dilation=1, pads=[(1, 1), (1, 1)])

    def conditions(f):
        return jax.jit(f).lower(x, kernel).as_text().count("stablehlo.case")

    assert conditions(conv) == 0
    # The output, two gradients, and what these two keep of the forward pass: the kernel, and the map.
    assert conditions(jax.value_and_grad(lambda x, kernel: jnp.sum(conv(x, kernel) ** 2), (0, 1))) == 5
