"""Every operation on series and volumes equals the one on images, of which a series is a row."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax import ops

POOLS = {
    "max": partial(ops.max_pool, window=3, strides=2, padding=1),
    "average": partial(ops.avg_pool, window=2, strides=2, padding=(0, 1)),
    "dilated average": partial(ops.avg_pool, window=2, strides=1, padding=(0, 1), dilation=2),
    "blur": partial(ops.blur_pool, strides=2),
    "global average": ops.global_pool,
    "global maximum": partial(ops.global_pool, kind="max"),
    "batch norm": lambda x: ops.batch_norm(x, 1 + jnp.arange(4.0), jnp.arange(4.0), epsilon=1e-5)[0],
    "group norm": lambda x: ops.group_norm(x, 1 + jnp.arange(4.0), jnp.arange(4.0), groups=2, epsilon=1e-5),
    "subsample": lambda x: ops.subsample(x, 3),
}


@pytest.mark.parametrize("name", POOLS)
def test_a_series_is_an_image_of_one_row_and_an_image_a_volume_of_one_slice(x64, strict_dtypes, name):
    rng = np.random.default_rng(0)

    def values_and_gradient(x, weights):
        y, back = jax.vjp(POOLS[name], x)
        return y, back(weights[: y.size].reshape(y.shape))[0]

    @jax.jit
    def both(x, weights):
        return values_and_gradient(x, weights), values_and_gradient(x[:, None], weights)

    for size in ((9,), (10, 7)):
        x, weights = jnp.asarray(rng.standard_normal((2, *size, 4))), jnp.asarray(rng.standard_normal(600))
        (y, gradient), (row, row_gradient) = both(x, weights)
        np.testing.assert_allclose(y, row.reshape(y.shape), rtol=0, atol=1e-14)
        np.testing.assert_allclose(gradient, row_gradient[:, 0], rtol=0, atol=1e-13)


def test_padding_counts_in_every_window_of_a_series(x64):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 3)))
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    expected = np.stack([padded[:, i : i + 3].mean(1) for i in (0, 2, 4, 6)], 1)
    got = ops.avg_pool(x, window=3, strides=2, padding=(1, 1), count_padding=True)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-15)


def test_vectors_are_no_maps():
    for name in ("max", "average", "blur", "global average"):
        with pytest.raises(ValueError, match=r"expected \[N, L, C\], \[N, H, W, C\] or .*, got \[2, 4\]"):
            POOLS[name](jnp.zeros((2, 4)))
