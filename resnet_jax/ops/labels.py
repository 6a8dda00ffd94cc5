"""Class labels as distributions over the classes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from resnet_jax.types import Array


def at_least_int32(labels: Array) -> Array:
    """Integer labels in a type that holds any number of classes, unlike uint8."""
    return labels.astype(jnp.int32) if labels.dtype.itemsize < 4 else labels


def one_hot(labels: Array, num_classes: int, dtype: Any = jnp.float32) -> Array:
    """int [N] -> [N, num_classes]; a label outside 0 .. num_classes - 1 gives a row of NaN, not of zeros.

    Raises:
      ValueError: the labels have another type or rank.
    """
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"expected labels int [N], got {labels.dtype} {list(labels.shape)}")
    labels = at_least_int32(labels)
    valid = (labels >= 0) & (labels < num_classes)
    return jnp.where(valid[:, None], jax.nn.one_hot(labels, num_classes, dtype=dtype), jnp.nan)
