import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops import conv, conv_channels, conv_per_example, lowering_for, tally_macs
from resnet_jax.ops.conv_library import library_conv
from resnet_jax.ops.windows import padding


def direct(x, kernel, strides, dilation, groups):
    """The definition, one output value at a time, for any spatial rank."""
    *sides, per_group, features = kernel.shape
    pads = [(dilation * ((k - 1) // 2), dilation * (k // 2)) for k in sides]  # with an even kernel, more lies after
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    y = np.zeros((x.shape[0], *(-(-size // strides) for size in x.shape[1:-1]), features))
    for place in np.ndindex(y.shape[1:-1]):
        for tap in np.ndindex(*sides):
            value = padded[(slice(None), *(i * strides + a * dilation for i, a in zip(place, tap, strict=True)))]
            for g in range(groups):
                inputs = slice(g * per_group, (g + 1) * per_group)
                outputs = slice(g * features // groups, (g + 1) * features // groups)
                y[(slice(None), *place, outputs)] += value[:, inputs] @ kernel[tap][:, outputs]
    return y


@pytest.mark.parametrize(
    ("size", "k", "strides", "dilation", "groups"),
    [
        (6, 3, 1, 1, 1),
        (6, 3, 2, 1, 1),
        (7, 3, 2, 1, 1),
        (7, 3, 1, 2, 1),
        (6, 1, 2, 1, 1),
        (9, 7, 2, 1, 1),
        (6, 3, 2, 1, 2),
        # Even kernels: narrow, library, patches, dilated, depthwise and grouped.
        (8, 2, 1, 1, 1),
        (8, 4, 2, 1, 1),
        (4, 2, 1, 1, 1),
        (7, 2, 1, 2, 1),
        (8, 2, 2, 1, 4),
        (8, 4, 1, 1, 2),
    ],
)
def test_equals_its_definition(x64, size, k, strides, dilation, groups):
    rng = np.random.default_rng(0)
    features = 4 if groups == 4 else 6
    # A width of 4 or 8 takes the patches or the bands.
    x = rng.standard_normal((2, size, size + size % 2, 4))
    kernel = rng.standard_normal((k, k, 4 // groups, features))
    y = conv(jnp.asarray(x), jnp.asarray(kernel), strides=strides, dilation=dilation, groups=groups)
    np.testing.assert_allclose(y, direct(x, kernel, strides, dilation, groups), rtol=0, atol=1e-12)
    if k % 2 == 0:
        each = conv_per_example(
            jnp.asarray(x), jnp.stack([kernel] * 2), strides=strides, dilation=dilation, groups=groups
        )
        np.testing.assert_allclose(each, y, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "sides", "strides", "dilation", "groups"),
    [
        ((40,), (7,), 2, 1, 1),
        ((40,), (3,), 1, 1, 1),
        ((41,), (4,), 1, 2, 1),
        ((9,), (3,), 2, 1, 1),  # patches
        ((40,), (1,), 2, 1, 1),
        ((41,), (3,), 2, 1, 2),
        ((41,), (5,), 1, 2, 4),  # depthwise
        ((6, 7), (3, 1), 1, 1, 1),
        ((5, 6, 7), (3, 3, 3), 2, 1, 1),
        ((3, 4, 5), (2, 2, 2), 1, 1, 4),
    ],
)
def test_other_ranks_equal_the_definition_with_their_gradients(x64, size, sides, strides, dilation, groups):
    """Series, volumes, and images with an oblong kernel; the same with a kernel for each example."""
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(shape)) for shape in ((2, *size, 4), (*sides, 4 // groups, 4)))
    options = {"strides": strides, "dilation": dilation, "groups": groups}
    expected = direct(np.asarray(x), np.asarray(kernel), **options)
    np.testing.assert_allclose(conv(x, kernel, **options), expected, rtol=0, atol=1e-12)
    each = conv_per_example(x, jnp.stack([kernel, 2 * kernel]), **options)
    np.testing.assert_allclose(each, [expected[0], 2 * expected[1]], rtol=0, atol=1e-12)
    weight = rng.standard_normal(expected.shape)
    gradients = jax.grad(lambda x, kernel: (conv(x, kernel, **options) * weight).sum(), (0, 1))(x, kernel)
    library = partial(library_conv, pads=padding(x, sides, strides=strides, dilation=dilation, same=False), **options)
    theirs = jax.grad(lambda x, kernel: (library(x, kernel) * weight).sum(), (0, 1))(x, kernel)
    for a, b in zip(gradients, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "kernel", "message"),
    [
        ((4, 8), (3, 8, 8), r"expected \[N, L, C\], \[N, H, W, C\] or \[N, D, H, W, C\], got \[4, 8\]"),
        ((4, 9, 8), (3, 3, 8, 8), r"expected a kernel of 3 axes for \[4, 9, 8\], got \[3, 3, 8, 8\]"),
    ],
)
def test_a_wrong_rank_gets_one_message(x, kernel, message):
    with pytest.raises(ValueError, match=message):
        conv(jnp.zeros(x), jnp.zeros(kernel))


GROUPED = [  # channels in and out, groups, height and width, strides, dilation, kernel, same
    ((64, 64, 8), (9, 12), 1, 1, 3, False),
    ((64, 128, 32), (9, 12), 2, 1, 3, False),
    ((96, 48, 6), (8, 8), 2, 1, 3, True),
    ((8, 12, 2), (7, 7), 1, 2, 3, False),
    ((256, 256, 4), (4, 5), 2, 1, 3, False),  # products of patches
    ((64, 64, 16), (9, 8), 2, 2, 5, True),
    ((12, 24, 12), (6, 6), 1, 1, 3, False),  # depthwise, two outputs each
    ((80, 80, 5), (9, 9), 2, 1, 1, False),
]


@pytest.mark.parametrize(("channels", "size", "strides", "dilation", "k", "same"), GROUPED)
def test_grouped_convolutions_and_their_gradients_are_the_librarys(
    x64, strict_dtypes, channels, size, strides, dilation, k, same
):
    rng = np.random.default_rng(0)
    ins, outs, groups = channels
    x = jnp.asarray(rng.standard_normal((2, *size, ins)))
    kernel = jnp.asarray(rng.standard_normal((k, k, ins // groups, outs)))
    options = {"strides": strides, "dilation": dilation, "groups": groups}

    def one_by_one(x, kernel):
        return conv_per_example(x, jnp.stack([kernel, kernel]), same=same, **options)

    @partial(jax.jit, static_argnums=0)
    def derivatives(f, x, kernel):
        y, back = jax.vjp(f, x, kernel)
        return y, *back(jnp.cos(y))

    library = partial(library_conv, pads=padding(x, (k, k), strides=strides, dilation=dilation, same=same), **options)
    expected = derivatives(library, x, kernel)
    for f in (partial(conv, same=same, **options), one_by_one):
        for a, b in zip(derivatives(f, x, kernel), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [3, 5])
def test_a_convolution_along_the_channels_is_numpys(x64, size):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((3, 9)), rng.standard_normal(size)
    expected = [np.convolve(row, kernel[::-1], "same") for row in x]
    got = conv_channels(jnp.asarray(x), jnp.asarray(kernel).reshape(size, 1, 1))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)


def test_counts_its_multiply_adds(strict_dtypes):
    counts = []
    with tally_macs(lambda macs, other: counts.append((macs, other))):
        conv(jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 2, 6)), strides=2, groups=2)
        conv_per_example(jnp.ones((2, 8, 8, 4)), jnp.ones((2, 3, 3, 4, 6)))
    conv(jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 6)))
    assert counts == [(2 * 4 * 4 * 6 * 9 * 2, False), (2 * 8 * 8 * 6 * 9 * 4, False)]


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_causal_convolution_sees_nothing_later(dilation):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((2, 13, 3), (4, 3, 5)))
    y = conv(x, kernel, dilation=dilation, causal=True)
    expected = sum(
        jnp.pad(x, ((0, 0), (3 * dilation, 0), (0, 0)))[:, i * dilation : i * dilation + 13] @ kernel[i]
        for i in range(4)
    )
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    jacobian = jax.jacobian(lambda x: conv(x, kernel, dilation=dilation, causal=True)[0, :, 0])(x)[:, 0]
    reach = np.abs(jacobian).max(-1) > 0
    positions = np.arange(13)
    distance = positions[:, None] - positions
    np.testing.assert_array_equal(reach, (distance >= 0) & (distance <= 3 * dilation) & (distance % dilation == 0))


def test_convolutions_of_one_shape_are_traced_once(monkeypatch):
    module = importlib.import_module("resnet_jax.ops.conv")
    traces, choose = [], module.cpu_conv
    monkeypatch.setattr(module, "cpu_conv", lambda x, *a, **b: traces.append(x.shape) or choose(x, *a, **b))
    x, kernel = jnp.ones((2, 3, 5, 7)), jnp.ones((1, 1, 7, 7))
    gradient = jax.grad(lambda x: conv(conv(x, kernel), kernel).sum())
    jax.jit(lowering_for("cpu")(gradient)).lower(x)
    assert traces == [x.shape]
