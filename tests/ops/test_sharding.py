"""Batches and parameters on a mesh of explicit axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from resnet_jax.ops import is_sharded, shard_like, split_batch, swap_neighbours, unshard
from resnet_jax.ops.sharding import gather_like, shard_count

DEVICES = 4


def mesh(kind=AxisType.Explicit):
    return jax.make_mesh((DEVICES,), ("data",), axis_types=(kind,), devices=jax.devices()[:DEVICES])


def sharded(x, *spec, kind=AxisType.Explicit):
    return jax.device_put(x, NamedSharding(mesh(kind), PartitionSpec(*spec)))


def test_a_parameter_is_whole_after_unshard_and_its_gradient_is_sharded():
    kernel = sharded(np.arange(8.0).reshape(2, 4), None, "data")
    assert is_sharded(kernel) and not is_sharded(unshard(kernel))
    gradient = jax.jit(jax.grad(lambda kernel: (unshard(kernel) ** 2).sum()))(kernel)
    assert tuple(jax.typeof(gradient).sharding.spec) == (None, "data")
    np.testing.assert_array_equal(gradient, 2 * np.arange(8.0).reshape(2, 4))


def test_only_explicit_axes_are_gathered():
    for x in (jnp.ones((4, 2)), sharded(np.ones((4, 2)), "data", kind=AxisType.Auto)):
        assert not is_sharded(x) and unshard(x) is x


def test_examples_go_to_the_devices_of_the_batch():
    batch = sharded(np.zeros((8, 3)), "data")
    y = shard_like(sharded(np.arange(8.0)), batch)
    assert tuple(jax.typeof(y).sharding.spec) == ("data",) and shard_count(y) == shard_count(batch) == DEVICES
    np.testing.assert_array_equal(y, np.arange(8.0))
    x = jnp.arange(8.0)
    assert shard_like(x, jnp.zeros((8, 3))) is x and shard_count(x) == 1


def test_gathered_examples_are_on_the_devices_of_the_batch():
    x, which, places = np.arange(12.0).reshape(3, 4), np.arange(8)[:, None] % 3, np.arange(16).reshape(8, 2) % 4

    @jax.jit
    def gather(batch):
        return (
            gather_like(jnp.asarray(x), tuple(shard_like(jnp.asarray(i), batch) for i in (which, places)), batch)
            + batch
        )

    for batch in (jnp.zeros((8, 1)), sharded(np.zeros((8, 1)), "data")):
        y = gather(batch)
        assert jax.typeof(y).sharding.spec[0] == jax.typeof(batch).sharding.spec[0]
        np.testing.assert_array_equal(y, x[which, places])


def test_parts_of_a_batch_stay_sharded_where_the_devices_divide_them():
    x = np.arange(16.0).reshape(8, 2)
    for parts in (2, 4, 8):
        y = jax.jit(split_batch, static_argnums=1)(sharded(x, "data"), parts)
        assert jax.typeof(y).sharding.spec[:2] == (None, "data" if parts == 2 else None)
        np.testing.assert_array_equal(y, x.reshape(parts, -1, 2))


@pytest.mark.parametrize("n", [DEVICES, 2 * DEVICES])
def test_neighbours_swap_within_a_device_and_between_two(n):
    x = np.arange(3.0 * n).reshape(n, 3)
    y = jax.jit(swap_neighbours)(sharded(x, "data"))
    assert jax.typeof(y).sharding.spec[0] == "data"
    np.testing.assert_array_equal(y, x[np.arange(n) ^ 1])
