"""Lowerings for a CPU equal XLA's convolution, with their derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops.conv_cpu import banded_product, narrow_conv, patch_product, slice_count
from resnet_jax.ops.conv_library import library_conv


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


def test_slices_are_wide_few_and_of_whole_groups():
    sizes = {(128, 32): 4, (1024, 32): 8, (2048, 64): 8, (32, 8): 1, (96, 6): 3, (80, 5): 1, (4096, 3): 3, (16, 16): 1}
    assert {size: slice_count(*size) for size in sizes} == sizes


@pytest.mark.parametrize(("height", "width", "k"), [(5, 8, 3), (4, 6, 2), (3, 9, 3), (6, 8, 5)])
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
