"""Combines: how F(x) meets the shortcut. Modules called (x, y, s): block input, branch output, shortcut output."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.types import Array


class Add(nn.Module):
    """y + s (He et al. 2015, eq. 1)."""

    context: BlockContext
    features: int
    strides: int = 1

    whole_shortcut: ClassVar[bool] = True  # False: s alone does not carry the signal; no zero initialisation

    def __call__(self, x: Array, y: Array, s: Array) -> Array:
        return y + s


class HighwayGate(nn.Module):
    """`y*T + s*C` with gates T(x) in (0, 1) and C = 1 - T (Srivastava et al. 2015, eq. 2 and 3).

    `coupled=False` makes C a gate with its own weights. T = 1 is the plain net, T = 0 the shortcut; T = C = 1, which
    only uncoupled gates approach, is the residual net. The gate is a 3x3 convolution of a map, a dense layer of a
    vector.
    """

    context: BlockContext
    features: int
    strides: int = 1
    coupled: bool = True
    bias: float = -2.0  # initial bias of T: the block starts mostly as its shortcut

    whole_shortcut: ClassVar[bool] = False

    @nn.compact
    def __call__(self, x: Array, y: Array, s: Array) -> Array:
        t = self._gate("transform", x, self.bias)
        c = 1 - t if self.coupled else self._gate("carry", x, -self.bias)
        return y * t + s * c

    def _gate(self, name: str, x: Array, initial_bias: float) -> Array:
        if x.ndim == 2:
            logits = self.context.dense(self.features, name=name, bias_init=None)(x)
        else:
            logits = self.context.conv(self.features, 3, self.strides, name=name)(x)
        init = nn.initializers.constant(initial_bias)
        bias = self.param(f"{name}_bias", init, (self.features,), self.context.param_dtype)
        return jax.nn.sigmoid(logits + ops.unshard(bias).astype(logits.dtype).reshape((1,) * (x.ndim - 1) + (-1,)))
