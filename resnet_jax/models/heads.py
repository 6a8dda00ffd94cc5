"""Heads: pooled features to logits."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax.models.layers import Dense, Dtype
from resnet_jax.types import Array


class LinearHead(nn.Module):
    """One dense layer: [N, C] -> logits [N, num_classes], in the dtype of the pooled features.

    With `num_classes` 0 there is no layer, and the logits are [N, 0].
    """

    num_classes: int
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, pooled: Array) -> Array:
        if not self.num_classes:
            return pooled[:, :0]
        return Dense(self.num_classes, pooled.dtype, self.param_dtype, name="dense")(pooled)
