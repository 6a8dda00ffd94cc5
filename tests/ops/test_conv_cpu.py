"""Lowerings for a CPU equal XLA's convolution, with their derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from resnet_jax.ops.conv import conv
from resnet_jax.ops.conv_cpu import (
    conv_on_larger_map,
    cpu_conv,
    inside_part,
    joined_product,
    patch_product,
    plane_product,
    product_conv,
    series_product_conv,
    shifted_products,
    slice_count,
    sliced_conv,
)
from resnet_jax.ops.conv_library import library_conv
from resnet_jax.ops.conv_series import series_conv


@pytest.mark.parametrize(("size", "k", "strides", "dilation"), [(2, 3, 1, 1), (7, 3, 2, 1), (5, 3, 1, 2), (6, 1, 2, 1)])
def test_both_lowerings_and_their_gradients_agree(x64, size, k, strides, dilation):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.standard_normal((2, size, size, 4))), jnp.asarray(rng.standard_normal((k, k, 4, 6)))
    results = []
    for lowering in (library_conv, patch_product):
        y, back = jax.vjp(lambda x, kernel, f=lowering: f(x, kernel, strides=strides, dilation=dilation), x, kernel)
        results.append((y, *back(jnp.cos(y))))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("k", "dilation", "pads"), [(3, 3, None), (3, 5, None), (3, 7, None), (2, 4, None), (2, 4, [(1, 3), (2, 2)])]
)
def test_products_of_a_dilated_kernel_and_their_gradients_are_the_convolutions(x64, k, dilation, pads):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.standard_normal((2, 5, 6, 4))), jnp.asarray(rng.standard_normal((k, k, 4, 3)))
    options = {"dilation": dilation, "pads": pads or [(dilation * ((k - 1) // 2), dilation * (k // 2))] * 2}
    chosen = cpu_conv(x, kernel, strides=1, groups=1, **options)
    assert chosen.func is shifted_products and 0 < inside_part(x, (k, k), **options) < 0.6

    @partial(jax.jit, static_argnums=0)
    def derivatives(f, x, kernel):
        y, back = jax.vjp(f, x, kernel)
        one_by_one = jax.vmap(jax.grad(lambda kernel, x: jnp.sum(f(x[None], kernel) ** 3)), (None, 0))(kernel, x)
        return y, *back(jnp.cos(y)), one_by_one

    expected = derivatives(partial(library_conv, strides=1, **options), x, kernel)
    for a, b in zip(derivatives(chosen, x, kernel), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
    low = [jnp.asarray(a, jnp.bfloat16) for a in (x, kernel)]
    assert chosen(*low).dtype == jax.grad(lambda x: chosen(x, low[1]).astype(float).sum())(low[0]).dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(chosen(*low), float), expected[0], rtol=0.02, atol=0.1)


def test_slices_are_wide_few_and_of_whole_groups():
    sizes = {(128, 32): 4, (1024, 32): 8, (2048, 64): 8, (32, 8): 1, (96, 6): 3, (80, 5): 1, (4096, 3): 3, (16, 16): 1}
    assert {size: slice_count(*size) for size in sizes} == sizes


@pytest.mark.parametrize(
    ("sizes", "channels", "sides", "strides", "pads"),
    [
        ((5, 6), 16, (3, 3), 1, [(1, 1), (1, 1)]),
        ((6, 4), 16, (4, 2), 1, [(1, 2), (1, 0)]),
        ((20, 1), 16, (5, 3), 1, [(4, 0), (1, 1)]),
        ((7, 7), 16, (3, 3), 2, [(1, 1), (1, 1)]),
        ((10, 9), 16, (4, 4), 3, [(1, 2), (0, 3)]),
        ((5, 6), 1, (3, 4), 1, [(1, 1), (1, 2)]),
        ((9, 12), 3, (7, 7), 2, [(3, 3), (3, 3)]),
        ((18,), 1, (8,), 1, [(3, 4)]),
        ((23,), 3, (5,), 4, [(4, 0)]),
    ],
)
def test_products_for_kernel_gradients_have_the_derivatives_of_the_convolution(
    x64, sizes, channels, sides, strides, pads
):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(s)) for s in ((2, *sizes, channels), (*sides, channels, 3)))
    chosen = partial(series_product_conv if len(sizes) == 1 else product_conv, strides=strides, pads=tuple(pads))

    @partial(jax.jit, static_argnums=0)
    def derivatives(f, x, kernel):
        def loss(x, kernel):
            return jnp.sum(jnp.tanh(jax.checkpoint(f)(x, kernel)) ** 3)

        first = jax.grad(loss, (0, 1))
        second = jax.jvp(first, (x, kernel), (jnp.sin(x), jnp.cos(kernel)))[1]
        forward = jax.jvp(f, (x, kernel), (jnp.sin(x), jnp.cos(kernel)))[1]
        one_by_one = jax.vmap(jax.grad(lambda kernel, x: loss(x[None], kernel)), (None, 0))(kernel, x)
        return f(x, kernel), first(x, kernel), second, forward, one_by_one

    expected = derivatives(partial(library_conv, strides=strides, dilation=1, pads=pads), x, kernel)
    for a, b in zip(jax.tree.leaves(derivatives(chosen, x, kernel)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("lowering", [joined_product, partial(plane_product, strides=1)])
def test_products_of_low_precision_are_rounded_once(lowering):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(s), jnp.bfloat16) for s in ((2, 5, 6, 16), (3, 3, 16, 4)))
    y, back = jax.vjp(partial(lowering, x, pads=[(1, 1), (1, 1)]), kernel)
    exact = library_conv(x.astype(jnp.float32), kernel.astype(jnp.float32), strides=1, dilation=1)
    assert y.dtype == back(y)[0].dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "k", "channels", "strides", "products"),
    [
        (12, 3, 16, 2, 9),
        (12, 3, 3, 2, 1),
        (12, 3, 16, 1, 1),
        (12, 3, 3, 1, 1),
        (12, 4, 2, 1, 1),  # as many values as the planes may have
        (12, 5, 3, 1, 0),
        (12, 7, 3, 2, 0),
        (12, 5, 16, 1, 0),
    ],
)
def test_kernel_gradients_take_products_but_those_of_large_kernels(size, k, channels, strides, products):
    x, kernel = jnp.zeros((2, size, size, channels)), jnp.zeros((k, k, channels, 8))
    chosen = cpu_conv(x, kernel, strides=strides, dilation=1, groups=1, pads=[((k - 1) // 2, k // 2)] * 2)
    assert (chosen is not None) == (products > 0)
    if chosen is not None:
        gradient = jax.grad(lambda kernel: chosen(x, kernel).sum())
        assert jax.jit(gradient).lower(kernel).as_text().count("stablehlo.dot_general") == products


@pytest.mark.parametrize(("sizes", "lowering"), [((9, 6), product_conv), ((20,), series_product_conv)])
def test_gradients_of_a_narrow_symbolic_batch_are_those_of_a_known_one(sizes, lowering):
    rng = np.random.default_rng(0)
    shapes = (3, *sizes, 3), (*[3] * len(sizes), 3, 8)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)
    chosen = cpu_conv(x, kernel, strides=1, dilation=1, groups=1, pads=[(1, 1)] * len(sizes))
    assert chosen.func is lowering
    gradients = jax.jit(jax.grad(lambda x, kernel: jnp.sum(chosen(x, kernel) ** 3), (0, 1)))
    (n,) = export.symbolic_shape("n")
    program = export.export(gradients)(jax.ShapeDtypeStruct((n, *sizes, 3), jnp.float32), kernel)
    for a, b in zip(program.call(x, kernel), gradients(x, kernel), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("channels", "k", "options", "takes_planes"),
    [
        # as many values as the planes may have
        (1, 80, {"strides": 4}, True),
        (2, 40, {}, True),
        (2, 41, {}, False),
        (15, 3, {}, True),
        (16, 3, {}, False),
        (3, 3, {"dilation": 2}, False),
    ],
)
def test_series_of_few_channels_take_planes_for_the_kernel_gradient(channels, k, options, takes_planes):
    x, kernel = jnp.zeros((2, 100, channels)), jnp.zeros((k, channels, 20))
    chosen = cpu_conv(
        x, kernel, **{"strides": 1, "dilation": 1, "groups": 1, "pads": [((k - 1) // 2, k // 2)]} | options
    )
    assert (chosen.func is series_product_conv) == takes_planes
    gradient = jax.grad(lambda kernel: chosen(x, kernel).sum())
    assert jax.jit(gradient).lower(kernel).as_text().count("stablehlo.dot_general") == takes_planes


@pytest.mark.parametrize(("k", "lowering"), [(160, series_product_conv), (161, series_conv)])
def test_series_take_planes_up_to_160_elements_of_the_kernel(k, lowering):
    x, kernel = jnp.zeros((2, 1000, 1)), jnp.zeros((k, 1, 512))
    assert cpu_conv(x, kernel, strides=4, dilation=1, groups=1, pads=[((k - 1) // 2, k // 2)]).func is lowering


def test_no_channels_have_gradients_of_no_values():
    x, kernel = jnp.zeros((2, 20, 0)), jnp.zeros((3, 0, 8))
    gradients = jax.grad(lambda x, kernel: conv(x, kernel).sum(), (0, 1))(x, kernel)
    assert [gradient.shape for gradient in gradients] == [x.shape, kernel.shape]


def test_grouped_convolutions_of_narrow_series_take_no_planes():
    x, kernel = jnp.zeros((2, 100, 8)), jnp.zeros((3, 4, 20))
    chosen = cpu_conv(x, kernel, strides=1, dilation=1, groups=2, pads=[(1, 1)])
    assert chosen.keywords["conv"].func is series_conv


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize(("sizes", "lowering"), [((9, 6), product_conv), ((20,), series_product_conv)])
def test_the_kernel_gradient_of_a_narrow_sharded_batch_gathers_no_batch(kind, sizes, lowering):
    rng = np.random.default_rng(0)
    shapes = (4, *sizes, 3), (*[3] * len(sizes), 3, 8)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(kind,), devices=jax.devices()[:4])
    chosen = cpu_conv(x, kernel, strides=1, dilation=1, groups=1, pads=[(1, 1)] * len(sizes))
    assert chosen.func is lowering
    gradient = jax.jit(jax.grad(lambda kernel, x: jnp.sum(jnp.tanh(chosen(x, kernel)))))
    sharded = (jax.device_put(kernel, NamedSharding(mesh, P())), jax.device_put(x, NamedSharding(mesh, P("data"))))
    compiled = gradient.lower(*sharded).compile()
    assert "all-gather" not in compiled.as_text()
    np.testing.assert_allclose(compiled(*sharded), gradient(kernel, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("channels", "groups"), [(3, 1), (16, 1), (4, 4)])
def test_maps_that_are_split_in_space_keep_xlas_convolution(channels, groups):
    mesh = jax.make_mesh((4,), ("rows",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:4])
    x = jax.device_put(jnp.ones((2, 8, 8, channels)), NamedSharding(mesh, P(None, "rows")))
    kernel = jax.device_put(jnp.ones((3, 3, channels // groups, 4)), NamedSharding(mesh, P()))
    gradient = jax.jit(jax.grad(lambda kernel, x: conv(x, kernel, groups=groups).sum()))
    np.testing.assert_array_equal(gradient(kernel, x)[:, :, 0, 0], 2 * np.outer([7, 8, 7], [7, 8, 7]))


def test_slices_of_grouped_convolutions_take_the_same_products():
    x, kernel = jnp.zeros((2, 12, 12, 64)), jnp.zeros((3, 3, 4, 64))
    chosen = cpu_conv(x, kernel, strides=1, dilation=1, groups=16, pads=[(1, 1), (1, 1)])
    assert chosen.func is sliced_conv and chosen.keywords["conv"].func is product_conv


@pytest.mark.parametrize(
    ("sizes", "k", "strides", "dilation", "groups"),
    [((17,), 19, 1, 1, 1), ((18,), 21, 1, 2, 1), ((34,), 39, 2, 1, 1), ((17,), 18, 1, 1, 2), ((3, 6), 5, 1, 1, 1)],
)
def test_a_kernel_of_more_elements_than_the_map_meets_a_larger_map(x64, sizes, k, strides, dilation, groups):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, *sizes, 4)))
    kernel = jnp.asarray(rng.standard_normal((*[k] * len(sizes), 4 // groups, 6)))
    pads = [(dilation * ((k - 1) // 2), dilation * (k // 2))] * len(sizes)
    options = {"strides": strides, "dilation": dilation, "groups": groups, "pads": pads}
    results = []
    for f in (partial(library_conv, **options), cpu_conv(x, kernel, **options)):
        y, back = jax.vjp(f, x, kernel)
        results.append((y, *back(jnp.cos(y))))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_only_a_kernel_that_is_larger_than_the_map_meets_a_larger_map():
    kernel, options = jnp.zeros((19, 4, 4)), {"strides": 1, "dilation": 1, "groups": 1, "pads": [(9, 9)]}
    assert cpu_conv(jnp.zeros((2, 18, 4)), kernel, **options).func is conv_on_larger_map
    narrow = jnp.zeros((19, 1, 8))  # few enough planes for a product, but of a kernel that is larger
    assert cpu_conv(jnp.zeros((2, 18, 1)), narrow, **options).func is conv_on_larger_map
    assert cpu_conv(jnp.zeros((2, 19, 4)), kernel, **options).func is not conv_on_larger_map
