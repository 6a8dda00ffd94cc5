"""Initialisers of weights: (key, shape, dtype) -> array."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
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
    """Uniform in +-1 / sqrt(fan_in), PyTorch's initialisation of linear layers and convolutions: [..., Ci, Co]."""
    bound = 1 / math.sqrt(math.prod(shape[:-1]))
    return jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound).reshape(shape)


def glorot_uniform(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """Uniform with variance 2 / (fan_in + fan_out): Glorot and Bengio 2010, eq. 16; Keras' default."""
    window = math.prod(shape[:-2])
    bound = math.sqrt(6 / (window * (shape[-2] + shape[-1])))
    return jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound).reshape(shape)


def scaled_normal(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32, *, deviation: float = 1.0) -> Array:
    """Normal with this standard deviation."""
    return jax.random.normal(key, shape, dtype) * jnp.asarray(deviation, dtype)


def gated_normal(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """Normal with variance 4 / fan_in, before a gated linear unit: [..., Ci, Co] (Gehring et al. 2017, section 3.5)."""
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape) * math.sqrt(4 / math.prod(shape[:-1]))


def _normal(variance: Callable[[int, int], float], key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    window = math.prod(shape[:-2])
    scale = math.sqrt(variance(window * shape[-2], window * shape[-1]))
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape) * jnp.asarray(scale, dtype)


# Normal initialisers of convolution kernels [k, k, Ci, Co]; fan_in = k * k * Ci and fan_out = k * k * Co.
KERNELS: dict[str, Callable[..., Array]] = {
    name: partial(_normal, variance)
    for name, variance in {
        "fan_out": lambda fan_in, fan_out: 2 / fan_out,  # He et al. 2015, "Delving Deep into Rectifiers", eq. 14
        "fan_in": lambda fan_in, fan_out: 2 / fan_in,  # eq. 10
        "lecun": lambda fan_in, fan_out: 1 / fan_in,  # LeCun et al. 1998, "Efficient BackProp", eq. 16
        "small": lambda fan_in, fan_out: 0.01**2,  # Krizhevsky et al. 2012, section 5
        "large": lambda fan_in, fan_out: 1.0,
    }.items()
}


def with_kernels(model: nn.Module, kernels: str | None) -> nn.Module:
    """The model with kernels of convolutions initialised as `kernels` names, unless a block has an initialiser."""
    return model if kernels is None else model.clone(conv=partial(model.conv, kernel_init=KERNELS[kernels]))
