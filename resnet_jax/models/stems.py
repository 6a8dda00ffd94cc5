"""Stems: what comes before the first stage. [N, H, W, C] -> (the stem's feature map, the input of stage 1)."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn

from resnet_jax import ops
from resnet_jax.models.layers import Layers
from resnet_jax.types import Array


class ImageNetStem(nn.Module):
    """7x7 convolution with stride 2, then 3x3 max-pooling with stride 2 (He et al. 2015, table 1)."""

    layers: Layers
    features: int

    total_strides: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = self.layers.conv(self.features, 7, 2, name="conv")(x)
        x = self.layers.act(self.layers.norm(name="norm")(x))
        return x, ops.max_pool(x)


class CifarStem(nn.Module):
    """One 3x3 convolution at full resolution (He et al. 2015, section 4.2)."""

    layers: Layers
    features: int

    total_strides: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = self.layers.conv(self.features, 3, name="conv")(x)
        x = self.layers.act(self.layers.norm(name="norm")(x))
        return x, x


STEMS = {"imagenet": ImageNetStem, "cifar": CifarStem}
