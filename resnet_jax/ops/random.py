"""Random numbers per example, keyed by the example's index in the global batch.

Device d of D holds examples [d * n, (d + 1) * n) of the batch. A sample that depends on the key and that index alone
is the same on one device, on four and on eight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from resnet_jax.types import Array


def sample_per_example(sample: Callable[[Array], Any], key: Array, index: Array) -> Any:
    """`sample(key of one example)` for each of `index` int [N], stacked along a new first axis."""
    return jax.vmap(lambda i: sample(jax.random.fold_in(key, i)))(index)


def drop_path(x: Array, rate: float, key: Array, index: Array) -> Array:
    """Zeroes whole examples of [N, ...] with probability `rate` and scales the others to keep the mean.

    Huang et al. 2016, "Deep Networks with Stochastic Depth", in the inverted form (scaled in training).
    """
    keep = sample_per_example(lambda k: jax.random.bernoulli(k, 1 - rate), key, index)
    return jnp.where(keep.reshape(keep.shape + (1,) * (x.ndim - 1)), x / (1 - rate), 0)


def dropout(x: Array, rate: float, key: Array, index: Array) -> Array:
    """Zeroes single values of [N, ...] with probability `rate` and scales the others to keep the mean."""
    keep = sample_per_example(lambda k: jax.random.bernoulli(k, 1 - rate, x.shape[1:]), key, index)
    return jnp.where(keep, x / (1 - rate), 0)
