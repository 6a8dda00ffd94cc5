"""Initialisers of weights: (key, shape, dtype) -> array."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from resnet_jax.types import Array, Dtype

Initializer = Callable[..., Array]  # (key, shape, dtype) -> Array of this shape


def kaiming_normal(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """Normal with variance 2 / fan_out, fan_out = k * k * Co: He et al. 2015, "Delving Deep into Rectifiers", eq. 14.

    Samples are flat, then reshaped: XLA takes several times as long to compile the same samples in four dimensions.
    """
    fan_out = math.prod(shape[:-2]) * shape[-1]
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape) * math.sqrt(2 / fan_out)


def depthwise_normal(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """`kaiming_normal` of one group: outputs of a depthwise kernel share no inputs, so fan_out is k * k."""
    return kaiming_normal(key, shape, dtype) * math.sqrt(shape[-1])


def linear_uniform(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """Uniform in +-1 / sqrt(fan_in), PyTorch's initialisation of linear layers: shape [Ci, Co]."""
    bound = 1 / math.sqrt(shape[0])
    return jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound).reshape(shape)
