import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from resnet_jax.models.layers import BatchNorm, Conv, Dense

X = np.random.default_rng(0).standard_normal((8, 4, 4, 3)) * 3 + 1


def moved(norm, x, devices=1):
    """Output and statistics after one training pass over `devices` shards."""
    variables = norm.init(jax.random.key(0), jnp.asarray(x), use_batch_statistics=False)

    def step(x):
        y, updated = norm.apply(variables, x, use_batch_statistics=True, mutable=["batch_stats"])
        return y, jax.tree.map(lambda s: s[None], updated["batch_stats"])

    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    y, stats = jax.shard_map(step, mesh=mesh, in_specs=P("data"), out_specs=P("data"), check_vma=False)(jnp.asarray(x))
    return np.asarray(y), jax.tree.map(np.asarray, stats)


def test_running_statistics_move_by_a_tenth_and_hold_the_biased_variance(x64):
    norm = BatchNorm(dtype=jnp.float64, param_dtype=jnp.float64)
    _, stats = moved(norm, X)
    np.testing.assert_allclose(stats["mean"][0], 0.1 * X.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(stats["var"][0], 0.9 + 0.1 * X.var((0, 1, 2)), rtol=1e-12)


def test_epsilon_is_pytorchs(x64):
    norm = BatchNorm(dtype=jnp.float64, param_dtype=jnp.float64)
    y, _ = moved(norm, X * 1e-3)  # small values, so that the constant shows
    np.testing.assert_allclose(y, (X - X.mean((0, 1, 2))) / np.sqrt(X.var((0, 1, 2)) + 1e-5 * 1e6), rtol=1e-9)


@pytest.mark.parametrize(("group", "sharing"), [(None, 4), (2, 2), (1, 1)])
def test_statistics_are_shared_by_the_group(x64, group, sharing):
    norm = BatchNorm(axis_name="data", group_size=group, dtype=jnp.float64, param_dtype=jnp.float64)
    y, stats = moved(norm, X, devices=4)
    groups = X.reshape(4 // sharing, -1, 3)
    mean, var = groups.mean(1, keepdims=True), groups.var(1, keepdims=True)
    np.testing.assert_allclose(y.reshape(groups.shape), (groups - mean) / np.sqrt(var + 1e-5), rtol=1e-9)
    np.testing.assert_allclose(stats["mean"], np.repeat(0.1 * mean[:, 0], sharing, 0), rtol=1e-9)


def test_a_group_that_does_not_divide_the_axis_is_refused():
    with pytest.raises(ValueError, match="bn_group_size=3 does not divide the 4 devices"):
        moved(BatchNorm(axis_name="data", group_size=3), X, devices=4)


def test_statistics_stay_float32_under_bfloat16():
    norm = BatchNorm(dtype=jnp.bfloat16)
    x = jnp.asarray(X, jnp.bfloat16)
    variables = norm.init(jax.random.key(0), x, use_batch_statistics=False)
    y, updated = norm.apply(variables, x, use_batch_statistics=True, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert {s.dtype for s in jax.tree.leaves((variables, updated))} == {jnp.dtype("float32")}
    exact = np.asarray(x, np.float64).var((0, 1, 2))
    np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * exact, rtol=1e-6)


def test_convolutions_start_with_variance_2_over_fan_out():
    kernel = Conv(256, 3).init(jax.random.key(0), jnp.zeros((1, 4, 4, 64)))["params"]["kernel"]
    assert kernel.shape == (3, 3, 64, 256)
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 256)), rtol=0.01)
    assert abs(kernel.mean()) < 5 * kernel.std() / np.sqrt(kernel.size)


def test_dense_starts_as_pytorchs_linear():
    params = Dense(100).init(jax.random.key(0), jnp.zeros((1, 400)))["params"]
    assert np.abs(params["kernel"]).max() <= 1 / np.sqrt(400)
    np.testing.assert_allclose(params["kernel"].std(), 1 / np.sqrt(3 * 400), rtol=0.01)
    np.testing.assert_array_equal(params["bias"], 0)


def test_layers_are_plain_linen_modules():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return BatchNorm()(Conv(5, strides=2)(x), use_batch_statistics=False)

    y, variables = Net().init_with_output(jax.random.key(0), jnp.asarray(X, jnp.float32))
    assert y.shape == (8, 2, 2, 5)
    assert set(variables) == {"params", "batch_stats"}
