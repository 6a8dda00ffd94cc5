from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops import conv2d, conv2d_per_example, tally_macs
from resnet_jax.ops.conv import banded_product, library_conv, narrow_conv, patch_product


def direct(x, kernel, strides, dilation, groups):
    """The definition, one output value at a time."""
    n, h, w, _ = x.shape
    k, _, per_group, out = kernel.shape
    pad = dilation * (k - 1) // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    y = np.zeros((n, -(-h // strides), -(-w // strides), out))
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            for a in range(k):
                for b in range(k):
                    pixel = padded[:, i * strides + a * dilation, j * strides + b * dilation]
                    for g in range(groups):
                        ins = slice(g * per_group, (g + 1) * per_group)
                        outs = slice(g * out // groups, (g + 1) * out // groups)
                        y[:, i, j, outs] += pixel[:, ins] @ kernel[a, b, :, outs]
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
    ],
)
def test_equals_its_definition(x64, size, k, strides, dilation, groups):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, size, size + 1, 4)), rng.standard_normal((k, k, 4 // groups, 6))
    y = conv2d(jnp.asarray(x), jnp.asarray(kernel), strides=strides, dilation=dilation, groups=groups)
    np.testing.assert_allclose(y, direct(x, kernel, strides, dilation, groups), rtol=0, atol=1e-12)


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


@pytest.mark.parametrize(("height", "width", "k"), [(5, 8, 3), (4, 6, 3), (3, 9, 3), (6, 8, 5)])
def test_the_narrow_convolution_and_its_derivatives_are_the_librarys(x64, height, width, k):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, height, width, 3)))
    kernel = jnp.asarray(rng.standard_normal((k, k, 3, 4)))

    @partial(jax.jit, static_argnums=0)
    def derivatives(f, x, kernel):
        y, back = jax.vjp(f, x, kernel)
        forward = jax.jvp(f, (x, kernel), (jnp.sin(x), jnp.cos(kernel)))[1]
        one_by_one = jax.vmap(jax.grad(lambda kernel, x: jnp.sum(f(x[None], kernel) ** 3)), (None, 0))(kernel, x)
        return y, *back(jnp.cos(y)), forward, one_by_one

    lowerings = (partial(library_conv, strides=1, dilation=1), narrow_conv, banded_product)
    results = [derivatives(f, x, kernel) for f in lowerings]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def test_counts_its_multiply_adds(strict_dtypes):
    counts = []
    with tally_macs(lambda macs, other: counts.append((macs, other))):
        conv2d(jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 2, 6)), strides=2, groups=2)
        conv2d_per_example(jnp.ones((2, 8, 8, 4)), jnp.ones((2, 3, 3, 4, 6)))
    conv2d(jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 6)))
    assert counts == [(2 * 4 * 4 * 6 * 9 * 2, False), (2 * 8 * 8 * 6 * 9 * 4, True)]
