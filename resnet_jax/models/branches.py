"""Branches: F(x), what a block learns beside its shortcut. [N, H, W, Ci] -> [N, H/s, W/s, features]."""

from __future__ import annotations

import flax.linen as nn

from resnet_jax.models.layers import Layers
from resnet_jax.types import Array


class Basic(nn.Module):
    """Two 3x3 convolutions (He et al. 2015, figure 5 left). 18 C^2 weights at C = features, norms apart."""

    layers: Layers
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        layers = self.layers
        y = layers.conv(self.features, 3, self.strides, name="conv1")(x)
        y = layers.act(layers.norm(name="norm1")(y))
        y = layers.conv(self.features, 3, name="conv2")(y)
        return layers.last_norm(name="norm2")(y)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, a quarter as wide inside (He et al. 2015, figure 5 right). 17/16 C^2 weights at C = features."""

    layers: Layers
    features: int
    strides: int = 1
    # v1.5: the stride sits on the 3x3, not on the first 1x1 as in the paper ("v1"). Worth about half a point of top-1.
    strides_in_1x1: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        layers, width = self.layers, self.features // 4
        first, second = (self.strides, 1) if self.strides_in_1x1 else (1, self.strides)
        y = layers.conv(width, 1, first, name="conv1")(x)
        y = layers.act(layers.norm(name="norm1")(y))
        y = layers.conv(width, 3, second, name="conv2")(y)
        y = layers.act(layers.norm(name="norm2")(y))
        y = layers.conv(self.features, 1, name="conv3")(y)
        return layers.last_norm(name="norm3")(y)
