"""Gradient accumulation: a shard of the batch in equal parts, one after the other."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.metrics.typed import merge
from resnet_jax.ops import split_batch
from resnet_jax.ops.lowering import traced_platform
from resnet_jax.training.core import Aux, Gradient, Gradients
from resnet_jax.types import Array, Batch


def accumulated(gradient: Gradient, parts: int) -> Gradient:
    """`gradient` summed over `parts` equal parts of the shard. Running statistics move once for each part.

    Raises:
      ValueError: when traced, the parts do not divide the examples of the shard.
    """
    if parts == 1:
        return gradient

    def sums(params: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]) -> Gradients:
        split = split_parts(batch, parts)

        def add(carry: Gradients, part: Batch) -> tuple[Gradients, None]:
            return _added(carry, gradient(params, carry.aux.batch_stats, part, rngs)), None

        first, rest = jax.tree.map(lambda x: x[0], split), jax.tree.map(lambda x: x[1:], split)
        carry = gradient(params, batch_stats, first, rngs)
        # On CPU a convolution's gradient inside a loop is some forty times slower than outside it.
        return lax.scan(add, carry, rest, unroll=traced_platform() == "cpu")[0]

    return sums


def split_parts(batch: Batch, parts: int) -> dict[str, Array]:
    """A shard's batch as [parts, N / parts, ...].

    Raises:
      ValueError: when traced, the parts do not divide the examples of the shard.
    """
    size = batch["label"].shape[0]
    if size % parts:
        raise ValueError(f"accumulate={parts} does not divide the {size} examples of a shard")
    split: dict[str, Array] = jax.tree.map(lambda x: split_batch(x, parts), dict(batch))
    return split


def _added(one: Gradients, other: Gradients) -> Gradients:
    def sums(of: Gradients) -> Any:
        return of.by_term, of.aux.weights, of.aux.losses, of.aux.squares

    by_term, weights, losses, squares = jax.tree.map(jnp.add, sums(one), sums(other))
    metrics = merge(one.aux.metrics, other.aux.metrics)
    return Gradients(by_term, Aux(other.aux.batch_stats, weights, losses, metrics, squares, other.aux.least))
