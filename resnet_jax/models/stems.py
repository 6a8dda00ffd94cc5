"""Stems: the layers before stage 1. [N, *spatial, C] -> (the stem's feature map, the input of stage 1)."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.protocols import StemPool
from resnet_jax.types import Array


class MaxPool(nn.Module):
    """3x3 max pooling with stride 2."""

    context: BlockContext

    def __call__(self, x: Array) -> Array:
        return self.context.max_pool(x)


class AveragePool(nn.Module):
    """2x2 average pooling with stride 2."""

    context: BlockContext

    def __call__(self, x: Array) -> Array:
        return self.context.pool(ops.avg_pool, x, 2, window=2)


class MaxBlurPool(nn.Module):
    """3x3 max pooling with stride 1, then a blur with stride 2 (Zhang 2019, section 3)."""

    context: BlockContext

    def __call__(self, x: Array) -> Array:
        return self.context.pool(ops.blur_pool, self.context.max_pool(x, strides=1), 2)


class ConvPool(nn.Module):
    """A 3x3 convolution with stride 2 in place of pooling (Bello et al. 2021, "Revisiting ResNets", ResNet-RS)."""

    context: BlockContext

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.context.conv(x.shape[-1], 3, 2, name="conv")(x)
        return self.context.act(self.context.norm(name="norm")(y))


class PaddedMaxPool(nn.Module):
    """3x3 max pooling with stride 2 and zeros at the border, which may be the maximum: BiT pools before activations."""

    context: BlockContext

    def __call__(self, x: Array) -> Array:
        x = self.context.zero_behind(x)
        return ops.max_pool(jnp.pad(x, ((0, 0), *[(1, 1)] * (x.ndim - 2), (0, 0))), padding=0)


class ImageNetStem(nn.Module):
    """7x7 convolution with stride 2, then 3x3 max-pooling with stride 2 (He et al. 2015, table 1)."""

    context: BlockContext
    features: int
    pool: StemPool = MaxPool
    bare: bool = False  # no last norm and activation: pre-activation blocks start with theirs

    total_strides: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = self.context.conv(self.features, 7, 2, name="conv")(x)
        if not self.bare:
            x = self.context.act(self.context.norm(name="norm")(x))
        return x, self.pool(self.context, name="pool")(x)


class DeepStem(nn.Module):
    """Three 3x3 convolutions, the first with stride 2, then pooling (He et al. 2018, "Bag of Tricks", ResNet-C)."""

    context: BlockContext
    features: int
    widths: tuple[int, int] = (32, 32)  # of the first two
    pool: StemPool = MaxPool
    bare: bool = False

    total_strides: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        for i, width in enumerate((*self.widths, self.features), 1):
            x = self.context.conv(width, 3, 2 if i == 1 else 1, name=f"conv{i}")(x)
            if not (self.bare and i == 3):
                x = self.context.act(self.context.norm(name=f"norm{i}")(x))
        return x, self.pool(self.context, name="pool")(x)


class CifarStem(nn.Module):
    """One 3x3 convolution at full resolution (He et al. 2015, section 4.2)."""

    context: BlockContext
    features: int
    bare: bool = False

    total_strides: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = self.context.conv(self.features, 3, self.total_strides, name="conv")(x)
        if not self.bare:
            x = self.context.act(self.context.norm(name="norm")(x))
        return x, x


class HalvingStem(CifarStem):
    """One 3x3 convolution with stride 2 (Tan and Le 2019, "EfficientNet", table 1)."""

    total_strides: ClassVar[int] = 2


STEMS = {"imagenet": ImageNetStem, "cifar": CifarStem, "deep": DeepStem, "halving": HalvingStem}
