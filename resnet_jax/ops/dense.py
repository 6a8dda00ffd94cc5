"""The matrix product of a fully connected layer."""

from __future__ import annotations

import math

from resnet_jax.ops.tally import add_macs
from resnet_jax.types import Array


def dense(x: Array, kernel: Array) -> Array:
    """[..., Ci], [Ci, Co] -> [..., Co]."""
    add_macs(math.prod(x.shape[:-1]) * kernel.size)
    return x @ kernel
