"""Arrays on a mesh of explicit axes (`jax.make_mesh`), whose shardings are part of their types."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from resnet_jax.types import Array


def gathered(parameter: Array) -> Array:
    """A parameter as every device needs it: whole, whatever the axes it is sharded over (FSDP).

    On axes that are not explicit it is the compiler that gathers, and nothing is done here. The gradient is sharded as
    the parameter is.
    """
    if not is_sharded(parameter):
        return parameter
    return jax.sharding.reshard(parameter, NamedSharding(jax.typeof(parameter).sharding.mesh, PartitionSpec()))


def is_sharded(x: Array) -> bool:
    """Whether `x` is sharded over an explicit axis."""
    return any(axes is not None for axes in jax.typeof(x).sharding.spec)


def sharded_with(x: Array, batch: Array) -> Array:
    """`x` [N, ...], its examples on the devices of those of `batch` [N, ...]; `jax.vmap` over both asks for it."""
    own = jax.typeof(batch).sharding
    if own.spec[0] is None:
        return x
    return jax.sharding.reshard(x, NamedSharding(own.mesh, PartitionSpec(own.spec[0])))


def split_batch(x: Array, parts: int) -> Array:
    """[N, ...] -> [parts, N / parts, ...], every part sharded as the whole batch was.

    A part that the devices do not divide is replicated: each device computes all of it.
    """
    shape = (parts, x.shape[0] // parts, *x.shape[1:])
    if not is_sharded(x):
        return x.reshape(shape)
    if shape[1] % shard_count(x):
        return gathered(x).reshape(shape)
    own = jax.typeof(x).sharding
    return jnp.reshape(x, shape, out_sharding=NamedSharding(own.mesh, PartitionSpec(None, *own.spec)))


def swap_neighbours(x: Array) -> Array:
    """[N, ...] -> the examples 1, 0, 3, 2, ..., sharded as before. Pairs on different devices are gathered first."""
    pairs = x if (x.shape[0] // 2) % shard_count(x) == 0 else gathered(x)
    return sharded_with(pairs.reshape(-1, 2, *x.shape[1:])[:, ::-1].reshape(x.shape), x)


def shard_count(x: Array) -> int:
    """Into how many shards the first axis of `x` is cut on a mesh of explicit axes."""
    sharding = jax.typeof(x).sharding
    axes = sharding.spec[0] or ()
    return math.prod(sharding.mesh.shape[axis] for axis in (axes if isinstance(axes, tuple) else (axes,)))
