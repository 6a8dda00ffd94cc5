"""Convolutions of series."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jax import lax

from resnet_jax import ops
from resnet_jax.models.layers import BiasedConv, Conv
from resnet_jax.types import Array, at_least_float32


class CausalConv(Conv):
    """Convolution without bias whose output at a position depends on no later one: [N, L, Ci] -> [N, L, features]."""

    causal: ClassVar[bool] = True


class WeightNormConv(BiasedConv):
    """Causal convolution with kernel g v / |v|, the norm |v| over inputs and window, and a bias.

    Salimans and Kingma 2016, "Weight Normalization", eq. 2. The parameters are v, "kernel" [k, Ci, features], g,
    "scale" [features], which starts as |v|, and "bias". A kernel of zeros has no direction: v must not be zero.
    """

    causal: ClassVar[bool] = True
    zero_init_is_safe: ClassVar[bool] = False

    def transform_kernel(self, kernel: Array) -> Array:
        wide = kernel.astype(at_least_float32(self.param_dtype))
        squares = jnp.square(wide).sum(tuple(range(kernel.ndim - 1)))

        def norm(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
            return jnp.sqrt(squares).astype(dtype)

        scale = ops.unshard(self.param("scale", norm, (self.features,), self.param_dtype)).astype(wide.dtype)
        return wide * (scale * lax.rsqrt(squares)).reshape((1,) * (kernel.ndim - 1) + (-1,))
