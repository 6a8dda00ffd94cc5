"""A batch as steps use it: with a mask, and each example's place in the global batch."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jax import lax

from resnet_jax.errors import check_type
from resnet_jax.types import ARRAYS, AS_ARRAY, Array, Batch


def complete(batch: Batch, axis_name: str | None) -> dict[str, Array]:
    """The batch with a "mask" [N] (1 where there is none) and "index" [N], each example's place in the global batch.

    Raises:
      TypeError, ValueError: labels or a mask of another type or shape; no image or label.
    """
    check_type(batch, Mapping, 'a batch {"image": ..., "label": ...}')
    if missing := [name for name in ("image", "label") if name not in batch]:
        raise ValueError(f"expected a batch with image and label, got one without {' and '.join(missing)}")
    label = batch["label"]
    check_type(label, ARRAYS, "labels (an array)", AS_ARRAY)
    if not label.ndim:
        raise ValueError("expected labels with a row per example, got a single number")
    n = label.shape[0]
    first = 0 if axis_name is None else n * lax.axis_index(axis_name)
    # Made from the labels, so that it is sharded as they are.
    ones = jnp.ones_like(label, jnp.float32).max(range(1, label.ndim))
    mask = batch.get("mask", ones)
    check_type(mask, (*ARRAYS, list, tuple, int, float), "a mask (an array)", "omit it where all examples count")
    mask = jnp.asarray(mask)
    if mask.shape != (n,):
        raise ValueError(f"expected a mask [{n}], one number per example, got {list(mask.shape)}")
    if jnp.issubdtype(mask.dtype, jnp.complexfloating):
        raise TypeError(f"expected a mask of bool, int or float, got {mask.dtype}")
    if not jnp.issubdtype(mask.dtype, jnp.floating):  # 255 in a mask of uint8 is no weight
        mask = mask.astype(bool).astype(jnp.float32)
    return {**batch, "mask": mask, "index": first + jnp.arange(n)}


def without_ignored(batch: Batch) -> dict[str, Array]:
    """The batch with labels of 0 where the mask is 0: any label may stand there, and none must reach the gradient."""
    label = batch["label"]
    is_used = jnp.expand_dims(batch["mask"] != 0, range(1, label.ndim))
    return {**batch, "label": jnp.where(is_used, label, jnp.zeros_like(label))}
