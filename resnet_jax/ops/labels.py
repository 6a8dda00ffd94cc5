"""Class labels as distributions over the classes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from resnet_jax.types import Array


def one_hot(labels: Array, num_classes: int, dtype: Any = jnp.float32) -> Array:
    """int [N] -> [N, num_classes]; a label outside 0 .. num_classes - 1 becomes a row of NaN, not of zeros.

    Raises:
      ValueError: labels of another type or rank.
    """
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"expected labels int [N], got {labels.dtype} {list(labels.shape)}")
    if labels.dtype.itemsize < 4:  # num_classes may not fit
        labels = labels.astype(jnp.int32)
    valid = (labels >= 0) & (labels < num_classes)
    return jnp.where(valid[:, None], jax.nn.one_hot(labels, num_classes, dtype=dtype), jnp.nan)
