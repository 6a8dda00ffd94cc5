"""Arrays on a mesh of explicit axes (`jax.make_mesh`), whose shardings are part of their types."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from resnet_jax.types import Array


def unshard(parameter: Array) -> Array:
    """The whole parameter on every device, whatever axes it is sharded over (FSDP); its gradient is sharded like it.

    Only explicit axes need it: on others the compiler gathers, and the parameter is returned as it is.
    """
    if not is_sharded(parameter):
        return parameter
    return jax.sharding.reshard(parameter, NamedSharding(jax.typeof(parameter).sharding.mesh, PartitionSpec()))


def is_sharded(x: Array) -> bool:
    """Whether `x` is sharded over an explicit axis."""
    return any(axes is not None for axes in jax.typeof(x).sharding.spec)


def is_split_in_space(x: Array) -> bool:
    """Whether a spatial axis of `x` [N, *spatial, C] is sharded over an explicit axis."""
    return any(axes is not None for axes in jax.typeof(x).sharding.spec[1:-1])


def shard_like(x: Array, batch: Array) -> Array:
    """`x` [N, ...] with its examples on the devices of the examples of `batch` [N, ...], as `jax.vmap` needs them."""
    sharding = jax.typeof(batch).sharding
    if sharding.spec[0] is None:
        return x
    return jax.sharding.reshard(x, NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[0])))


def gather_like(x: Array, index: tuple[Array, ...], batch: Array, *, fill: float | None = None) -> Array:
    """`x[index]`, where each index is [N, ...], with its examples on the devices of those of `batch` [N, ...].

    An index outside of `x` has the value `fill`; None: jax.numpy's default.
    """
    options: dict[str, Any] = {} if fill is None else {"mode": "fill", "fill_value": fill}
    sharding = jax.typeof(batch).sharding
    if sharding.spec[0] is not None:
        options["out_sharding"] = NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[0]))
    return x.at[index].get(**options)


def split_batch(x: Array, parts: int) -> Array:
    """[N, ...] -> [parts, N / parts, ...], each part sharded like the whole batch.

    Parts whose size the number of shards does not divide are replicated: each device computes all of them.
    """
    shape = (parts, x.shape[0] // parts, *x.shape[1:])
    if not is_sharded(x):
        return x.reshape(shape)
    if shape[1] % shard_count(x):
        return unshard(x).reshape(shape)
    sharding = jax.typeof(x).sharding
    return jnp.reshape(x, shape, out_sharding=NamedSharding(sharding.mesh, PartitionSpec(None, *sharding.spec)))


def swap_neighbours(x: Array) -> Array:
    """[N, ...] -> examples 1, 0, 3, 2, ..., sharded like `x`. Pairs split between devices are gathered first."""
    pairs = x if (x.shape[0] // 2) % shard_count(x) == 0 else unshard(x)
    return shard_like(pairs.reshape(-1, 2, *x.shape[1:])[:, ::-1].reshape(x.shape), x)


def shard_count(x: Array) -> int:
    """Number of shards of the first axis of `x` on a mesh of explicit axes."""
    sharding = jax.typeof(x).sharding
    axes = sharding.spec[0] or ()
    return math.prod(sharding.mesh.shape[axis] for axis in (axes if isinstance(axes, tuple) else (axes,)))
