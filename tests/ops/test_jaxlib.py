"""Programs that jaxlib 0.10.2 miscompiles on a CPU (jax-ml/jax#39103), and this package's reductions of such sizes."""

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import optax
import pytest

from resnet_jax.ops import avg_pool, batch_norm, dense, global_pool, group_norm


@pytest.mark.xfail(jaxlib.__version__ == "0.10.2", reason="pyproject.toml excludes it", strict=True)
@pytest.mark.parametrize(("dtype", "rows"), [(np.float64, 16_385), (np.float32, 32_769)])
def test_sums_of_squares_of_many_products_are_right(x64, dtype, rows):
    x = np.zeros((rows, 3), dtype)
    x[:, 0] = np.arange(rows)
    square = jax.jit(lambda x: jax.vmap(lambda row: jnp.sum(jnp.square(jnp.eye(3, dtype=dtype) @ row)))(x))
    np.testing.assert_allclose(square(x), np.square(np.arange(rows, dtype=float)), rtol=1e-6)


def test_reductions_of_as_many_rows_are_right():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((3, 107, 107, 4)) + 1).astype(np.float32)  # 34,347 pixels
    wide, ones = x.astype(np.float64), jnp.ones(4)

    @jax.jit
    def reduced(x):
        pooled = avg_pool(x, window=3, strides=1, padding=(1, 1), count_padding=True)
        return {
            "batch norm": batch_norm(x, ones, 0 * ones, epsilon=0.0)[0],
            "group norm": group_norm(x, ones, 0 * ones, groups=2, epsilon=0.0),
            "mean": global_pool(x),
            "largest": global_pool(x, "max"),
            "pooled": pooled[:, 1:-1, 1:-1],
            "dense": jnp.square(dense(x, jnp.eye(4))).sum(-1),
            "norm": optax.tree.norm(x),
        }

    grouped = wide.reshape(3, 107, 107, 2, 2)
    centred = grouped - grouped.mean((1, 2, 4), keepdims=True)
    window = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (1, 2))
    exact = {
        "batch norm": (wide - wide.mean((0, 1, 2))) / wide.std((0, 1, 2)),
        "group norm": (centred / grouped.std((1, 2, 4), keepdims=True)).reshape(x.shape),
        "mean": wide.mean((1, 2)),
        "largest": wide.max((1, 2)),
        "pooled": window.mean((-1, -2)),
        "dense": np.square(wide).sum(-1),
        "norm": np.sqrt(np.square(wide).sum()),
    }
    for name, value in reduced(x).items():
        np.testing.assert_allclose(value, exact[name], rtol=2e-5, atol=2e-5, err_msg=name)
