import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops import global_pool, max_pool


@pytest.mark.parametrize("size", [6, 7])
def test_max_pool_pads_both_sides_with_minus_infinity(strict_dtypes, size):
    x = -1 - np.random.default_rng(0).random((1, size, size, 2)).astype(np.float32)  # a zero pad would win
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    out = (size + 1) // 2
    wanted = [[padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2)) for j in range(out)] for i in range(out)]
    np.testing.assert_array_equal(max_pool(jnp.asarray(x)), np.moveaxis(np.array(wanted), 2, 0))


def test_global_pool_is_at_least_float32(strict_dtypes):
    x = jnp.asarray(np.random.default_rng(0).random((2, 3, 4, 5)), jnp.bfloat16)
    exact = np.asarray(x, np.float64)
    np.testing.assert_allclose(global_pool(x), exact.mean((1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(global_pool(x, "max"), exact.max((1, 2)))
    assert global_pool(x).dtype == jnp.float32
