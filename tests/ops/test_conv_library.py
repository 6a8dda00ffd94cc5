"""XLA's convolution of every spatial rank."""

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops.conv_library import library_conv


@pytest.mark.parametrize("size", [(9,), (9, 6), (5, 4, 6)], ids=str)
@pytest.mark.parametrize(("k", "dilation"), [(1, 1), (2, 1), (3, 2)])
def test_the_default_padding_keeps_the_size(strict_dtypes, size, k, dilation):
    x, kernel = jnp.ones((2, *size, 3)), jnp.ones((*(k,) * len(size), 3, 4))
    y = library_conv(x, kernel, strides=1, dilation=dilation)
    assert y.shape == (2, *size, 4)
    middle = (0, *(side // 2 for side in size), 0)
    assert k == 3 or y[middle] == 3 * k ** len(size)  # a window inside the map, of ones


def test_a_group_sees_its_own_channels():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 5, 4)), jnp.float32)
    kernel = jnp.ones((1, 2, 2))
    np.testing.assert_allclose(
        library_conv(x, kernel, strides=2, dilation=1, groups=2),
        x[:, ::2].reshape(1, 3, 2, 2).sum(-1), rtol=1e-6,
    )  # fmt: skip
