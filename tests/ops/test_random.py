import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.ops import drop_path, dropout

KEY = jax.random.key(3)


def test_samples_depend_on_the_index_in_the_global_batch_alone(strict_dtypes):
    x = jnp.ones((8, 2, 2, 3))
    for drop in (drop_path, dropout):
        whole = drop(x, 0.5, KEY, jnp.arange(8))
        halves = [drop(x[:4], 0.5, KEY, jnp.arange(first, first + 4)) for first in (0, 4)]
        np.testing.assert_array_equal(whole, jnp.concatenate(halves))


def test_drop_path_drops_whole_examples_and_keeps_the_mean(strict_dtypes):
    y = np.asarray(drop_path(jnp.ones((4096, 1, 2, 2)), 0.2, KEY, jnp.arange(4096)))
    assert set(np.unique(y)) == {0, np.float32(1 / 0.8)}
    assert (y == y[:, :1, :1, :1]).all()
    assert abs(y.mean() - 1) < 0.03  # five standard deviations


def test_dropout_drops_single_values_and_keeps_the_mean(strict_dtypes):
    y = np.asarray(dropout(jnp.ones((64, 64)), 0.2, KEY, jnp.arange(64)))
    assert abs(y.mean() - 1) < 0.04
    assert 0 < (y[0] == 0).mean() < 1
