"""Branches: F(x), what a block learns beside its shortcut. [N, H, W, Ci] -> [N, H/s, W/s, features]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.attention import SelectiveKernel, SqueezeExcite
from resnet_jax.models.context import BlockContext
from resnet_jax.models.initializers import depthwise_normal
from resnet_jax.models.layers import CondConv
from resnet_jax.types import Array


def inner_width(features: int, base_width: int) -> int:
    """Channels of one group inside a bottleneck: `base_width` at 256 features, in proportion elsewhere."""
    return features // 4 * base_width // 64


class Basic(nn.Module):
    """Two 3x3 convolutions (He et al. 2015, figure 5 left). 18 C^2 weights at C = features, norms apart."""

    context: BlockContext
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        y = context.conv(self.features, 3, self.strides, name="conv1")(x)
        y = context.act(context.norm(name="norm1")(y))
        y = context.conv(self.features, 3, name="conv2")(y)
        return context.last_norm(name="norm2")(y)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, a quarter as wide inside (He et al. 2015, figure 5 right). 17/16 C^2 weights at C = features.

    With `groups` it is ResNeXt's (Xie et al. 2017, figure 3c): `base_width` channels a group where features is 256.
    """

    context: BlockContext
    features: int
    strides: int = 1
    groups: int = 1
    base_width: int = 64
    # v1.5: the stride sits on the 3x3, not on the first 1x1 as in the paper ("v1"). Worth about half a point of top-1.
    strides_in_1x1: bool = False
    pool: Callable[..., Array] | None = None  # (x, strides=, dilation=): takes the strides, behind a 3x3 of stride 1
    pool_of_strides: bool = False  # its windows are as large as its strides: by timm's rule it ends with them

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, width = self.context, inner_width(self.features, self.base_width) * self.groups
        pooled = self.pool is not None and self.strides > 1
        ends = self.pool_of_strides and context.dilation_rule == "timm" and not context.take_strides
        first, second = (self.strides, 1) if self.strides_in_1x1 else (1, self.strides)
        y = context.conv(width, 1, first, name="conv1")(x)
        y = context.act(context.norm(name="norm1")(y))
        y = context.conv(width, 3, second, groups=self.groups, strides_in_pool=pooled, name="conv2")(y)
        y = context.act(context.norm(name="norm2")(y))
        if self.pool is not None and pooled and not ends:
            y = context.pool(self.pool, y, self.strides)
        y = context.conv(self.features, 1, name="conv3")(y)
        return context.last_norm(name="norm3")(y)


class Bottle2neck(nn.Module):
    """A bottleneck whose 3x3 works on `scale` slices, each with the result of the one before (Gao et al. 2019, eq. 1).

    In the first block of a stage the slices are not chained, and the last, which passes, is averaged over 3x3 pixels;
    the average counts the padding, as the published weights want it.
    """

    context: BlockContext
    features: int
    strides: int = 1
    base_width: int = 26
    scale: int = 4
    groups: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, width = self.context, inner_width(self.features, self.base_width) * self.groups
        first = self.strides > 1 or x.shape[-1] != self.features
        y = context.conv(width * self.scale, 1, name="conv1")(x)
        *slices, last = jnp.split(context.act(context.norm(name="norm1")(y)), self.scale, axis=-1)
        done: list[Array] = []
        for i, part in enumerate(slices):
            y = part if first or not done else done[-1] + part
            y = context.conv(width, 3, self.strides, groups=self.groups, name=f"conv2_{i}")(y)
            done.append(context.act(context.norm(name=f"norm2_{i}")(y)))
        if first:
            last = context.pool(ops.avg_pool, last, self.strides, window=3, padding=(1, 1), count_padding=True)
        y = context.conv(self.features, 1, name="conv3")(jnp.concatenate([*done, last], axis=-1))
        return context.last_norm(name="norm3")(y)


class SelectiveBasic(nn.Module):
    """A selective kernel, and a 3x3 convolution: timm's SK-ResNet-18 and 34."""

    context: BlockContext
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        mix = SelectiveKernel(context, self.features, self.strides, split=True, ratio=1 / 8, divisor=16, name="conv1")
        y = context.conv(self.features, 3, name="conv2")(mix(x))
        return context.last_norm(name="norm2")(y)


class SelectiveBottleneck(nn.Module):
    """A bottleneck whose 3x3 is a selective kernel (Li et al. 2019, table 1, with ResNeXt's width)."""

    context: BlockContext
    features: int
    strides: int = 1
    groups: int = 32
    base_width: int = 4

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, width = self.context, inner_width(self.features, self.base_width) * self.groups
        y = context.act(context.norm(name="norm1")(context.conv(width, 1, name="conv1")(x)))
        y = SelectiveKernel(context, width, self.strides, groups=self.groups, name="conv2")(y)
        y = context.conv(self.features, 1, name="conv3")(y)
        return context.last_norm(name="norm3")(y)


class PreActBasic(nn.Module):
    """Two 3x3 convolutions, of an input that its block has normalised (He et al. 2016, figure 4e)."""

    context: BlockContext
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context = self.context
        y = context.conv(self.features, 3, self.strides, name="conv1")(x)
        y = context.act(context.norm(name="norm2")(y))
        return context.last_conv(self.features, 3, name="conv2")(y)


class PreActBottleneck(nn.Module):
    """1x1, 3x3, 1x1, a quarter as wide inside, of an input its block has normalised. The stride sits on the 3x3."""

    context: BlockContext
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, width = self.context, self.features // 4
        y = context.conv(width, 1, name="conv1")(x)
        y = context.act(context.norm(name="norm2")(y))
        y = context.conv(width, 3, self.strides, name="conv2")(y)
        y = context.act(context.norm(name="norm3")(y))
        return context.last_conv(self.features, 1, name="conv3")(y)


class MBConv(nn.Module):
    """1x1 to `expansion` times the channels, depthwise, squeeze-excite, 1x1 without activation.

    Tan and Le 2019, "EfficientNet", table 1; Sandler et al. 2018, "MobileNetV2", figure 4d. With `experts` all three
    convolutions are sums of so many, routed once for the block (Yang et al. 2019, "CondConv", section 4).
    """

    context: BlockContext
    features: int
    strides: int = 1
    kernel_size: int = 3
    expansion: int = 6
    squeeze: float | None = 1 / 4  # of the block's input channels; None: no squeeze-excite
    experts: int | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        context, channels = self.context, x.shape[-1]
        width, options = channels * self.expansion, dict[str, Any]()
        if self.experts is not None:
            routes = jax.nn.sigmoid(context.dense(self.experts, name="routing")(ops.global_pool(x)))
            context, options = context.with_conv(CondConv, experts=self.experts), {"routes": routes}
        y = x
        if self.expansion > 1:
            y = context.act(context.norm(name="norm1")(context.conv(width, 1, name="conv1")(y, **options)))
        depthwise = context.conv(
            width, self.kernel_size, self.strides, groups=width, kernel_init=depthwise_normal, name="conv2"
        )
        y = context.act(context.norm(name="norm2")(depthwise(y, **options)))
        if self.squeeze is not None:
            y = SqueezeExcite(context, width, reduced=round(channels * self.squeeze), name="attend")(y)
        return context.norm(name="norm3")(context.conv(self.features, 1, name="conv3")(y, **options))
