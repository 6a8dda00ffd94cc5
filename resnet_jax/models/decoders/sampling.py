"""Balanced samples of anchors and proposals, on which R-CNN's losses are computed (Ren et al. 2015, section 3.1.3)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax import ops
from resnet_jax.types import Array


def takes_all(count: int, size: int, positive_fraction: float) -> bool:
    """Whether a sample of `size` holds all of `count` candidates, whatever their labels: nothing is random."""
    return int(size * positive_fraction) >= count


def balanced_sample(labels: Array, order: Array, *, size: int, positive_fraction: float) -> Array:
    """Samples of one image: labels int [A], at least 1: positive, 0: negative, -1: ignored -> bool [A].

    At most `size * positive_fraction` positives, then negatives up to `size`: those with the smallest `order` float
    [A] in [0, 1).
    """
    positive, negative = labels >= 1, labels == 0
    # One sort: positives by their order, then negatives by theirs, then the ignored.
    ranked = jnp.argsort(order + jnp.where(positive, 0, jnp.where(negative, 1, 2)))
    rank = jnp.zeros_like(ranked).at[ranked].set(jnp.arange(len(ranked), dtype=ranked.dtype), unique_indices=True)
    positives = positive.sum()
    sampled = jnp.minimum(positives, int(size * positive_fraction))
    return (positive & (rank < sampled)) | (negative & (rank - positives < size - sampled))


def random_orders(key: Array | None, index: Array, counts: tuple[int, ...]) -> Array:
    """Random orders float32 [N, A] of each image's candidates, keyed by `index` int [N]; A is the sum of `counts`.

    The candidates come in groups. Numbers of a group do not depend on its count: padding at its end changes none. All
    are 0 without a key, for samples that take all candidates.
    """
    if key is None:
        return jnp.zeros((len(index), sum(counts)), jnp.float32)

    def orders(key: Array) -> Array:
        return jnp.concatenate([_uniform(jax.random.fold_in(key, i), count) for i, count in enumerate(counts)])

    return ops.sample_per_example(orders, key, index)


def _uniform(key: Array, count: int, block: int = 256) -> Array:
    """Uniform [count] in [0, 1), in blocks with keys of their own: more numbers begin with the same ones."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(-(-count // block)))
    return jax.vmap(lambda k: jax.random.uniform(k, (block,)))(keys).reshape(-1)[:count]


def choose(is_sampled: Array, count: int) -> tuple[Array, Array]:
    """Indices int [count] of the sampled candidates, in ascending order, and which of them are no padding."""
    _, indices = lax.top_k(jnp.where(is_sampled, jnp.arange(len(is_sampled), 0, -1), 0), min(count, len(is_sampled)))
    return indices, is_sampled[indices]
